//! The sysctls of a lab's namespaces.

use std::path::Path;

use crate::topology::Topology;

/// What a host of a lab is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Director,
    Switch,
    Router,
    RealServer,
}

/// What differs from the kernel's defaults, and why.
pub(super) fn settings(topology: Topology, role: Role) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        // An address is usable at once: nobody else can have it.
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/router_solicitations", "0"),
        // IPv4 settings of a new namespace are copies of the host's (devconf_inherit_init_net).
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        // By default a host sends six ICMP errors and then one a second, which would turn
        // refused datagrams into time-outs.
        ("net/ipv4/icmp_ratelimit", "0"),
        ("net/ipv6/icmp/ratelimit", "0"),
    ];
    // Frames between ports of a bridge are nobody else's business; without br_netfilter in the kernel they never were.
    if Path::new("/proc/sys/net/bridge").exists() {
        settings.extend([
            ("net/bridge/bridge-nf-call-iptables", "0"),
            ("net/bridge/bridge-nf-call-ip6tables", "0"),
        ]);
    }
    match role {
        Role::Client => settings.push(("net/ipv4/ip_local_port_range", "10000 65000")),
        Role::Director | Role::Router => settings.extend([
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            // Nobody is to learn a shorter way than the one that a test is about.
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/default/send_redirects", "0"),
        ]),
        // The virtual addresses on `lo` are not to be found by ARP, nor to be asked from. IPv6 does neither by itself.
        Role::RealServer if topology.has_switch() => settings.extend([
            ("net/ipv4/conf/all/arp_ignore", "1"),
            ("net/ipv4/conf/all/arp_announce", "2"),
        ]),
        Role::RealServer | Role::Switch => {}
    }
    settings
}
