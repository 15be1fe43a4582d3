//! Where the kernel enters our chains by itself.

/// The base chains we have. All have policy accept. Those of queues stand right before those of NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `type filter hook prerouting priority dstnat - 1`: connections whose scheduler is asked.
    QueuePrerouting,
    /// `type filter hook output priority -101`: the same, of clients on the director.
    QueueOutput,
    /// `type nat hook prerouting priority dstnat`
    NatPrerouting,
    /// `type nat hook output priority -100`: clients on the director.
    NatOutput,
    /// `type nat hook postrouting priority srcnat`: full NAT.
    NatPostrouting,
    /// `type filter hook forward priority filter`: accounting.
    FilterForward,
    /// `type filter hook input priority filter`: accounting of clients on the director.
    FilterInput,
    /// `type filter hook output priority filter`: accounting of clients on the director.
    FilterOutput,
}

impl Hook {
    /// nft's chain type: `nat` or `filter`.
    pub fn chain_type(self) -> &'static str {
        match self {
            Hook::NatPrerouting | Hook::NatOutput | Hook::NatPostrouting => "nat",
            Hook::QueuePrerouting
            | Hook::QueueOutput
            | Hook::FilterForward
            | Hook::FilterInput
            | Hook::FilterOutput => "filter",
        }
    }

    /// nft's name of the hook.
    pub fn name(self) -> &'static str {
        match self {
            Hook::QueuePrerouting | Hook::NatPrerouting => "prerouting",
            Hook::QueueOutput | Hook::NatOutput | Hook::FilterOutput => "output",
            Hook::NatPostrouting => "postrouting",
            Hook::FilterForward => "forward",
            Hook::FilterInput => "input",
        }
    }

    /// The hook number of `enum nf_inet_hooks`.
    pub fn number(self) -> u32 {
        match self {
            Hook::QueuePrerouting | Hook::NatPrerouting => 0,
            Hook::FilterInput => 1,
            Hook::FilterForward => 2,
            Hook::QueueOutput | Hook::NatOutput | Hook::FilterOutput => 3,
            Hook::NatPostrouting => 4,
        }
    }

    /// The priority of `enum nf_ip_hook_priorities`.
    pub fn priority(self) -> i32 {
        match self {
            Hook::QueuePrerouting | Hook::QueueOutput => -101,
            Hook::NatPrerouting | Hook::NatOutput => -100,
            Hook::NatPostrouting => 100,
            Hook::FilterForward | Hook::FilterInput | Hook::FilterOutput => 0,
        }
    }
}
