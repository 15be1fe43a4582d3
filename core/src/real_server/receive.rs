//! Taking packets out of tunnels: the kernel's devices where it has them, else our decapsulator.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::item::{Item, Items};
use super::{Change, Seen, Wish};
use crate::config::TunnelKind;
use crate::ruleset::Family;

/// The receiving end of a tunnel, as a device of the kernel. It is a device of ours beside the kernel's own `tunl0`
/// or `gre0`, which others may use: it takes in what is for none of theirs, of any sender, for any address of this
/// host (`external`, ip-link(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// IPv4 in IPv4.
    Ipip,
    /// Either family in IPv6.
    Ip6tnl,
    /// Either family in GRE over IPv4.
    Gre,
    /// Either family in GRE over IPv6.
    Ip6gre,
}

impl Device {
    /// All of them.
    pub const ALL: [Device; 4] = [Device::Ipip, Device::Ip6tnl, Device::Gre, Device::Ip6gre];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Device::Ipip => "wvs-ipip",
            Device::Ip6tnl => "wvs-ip6tnl",
            Device::Gre => "wvs-gre",
            Device::Ip6gre => "wvs-ip6gre",
        }
    }

    /// The kernel's word for its kind.
    pub fn kind(self) -> &'static str {
        match self {
            Device::Ipip => "ipip",
            Device::Ip6tnl => "ip6tnl",
            Device::Gre => "gre",
            Device::Ip6gre => "ip6gre",
        }
    }

    /// The one that a family's packets need, if there is one. GUE leaves IP in IP behind when its own headers are
    /// off.
    pub fn of(wish: &Wish, family: Family) -> Option<Self> {
        match (wish.tunnel.kind, wish.outer(family), family) {
            (TunnelKind::Gre, Family::V4, _) => Some(Device::Gre),
            (TunnelKind::Gre, Family::V6, _) => Some(Device::Ip6gre),
            (_, Family::V6, _) => Some(Device::Ip6tnl),
            (_, Family::V4, Family::V4) => Some(Device::Ipip),
            // The kernel's device for that, sit, takes them from one end only, or at an address that must be named.
            (_, Family::V4, Family::V6) => None,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What not every kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// Devices of a kind.
    Device(Device),
    /// GUE (CONFIG_NET_FOU).
    Gue,
}

/// What takes packets out of their tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    /// A device of the kernel.
    Device(Device),
    /// Our program on the interface where they come in.
    Decapsulator,
    /// Nothing that wvs has.
    Nothing,
}

/// What takes a family's packets out of their tunnels, or shall: what is there stays; else a device, if the kernel
/// may have one.
pub(super) fn receiver(wish: &Wish, seen: &Seen, family: Family) -> Receiver {
    // The program knows IP in IP only.
    let is_plain = wish.tunnel.kind == TunnelKind::Ipip;
    let Some(device) = Device::of(wish, family) else {
        return if is_plain {
            Receiver::Decapsulator
        } else {
            Receiver::Nothing
        };
    };
    let is_there = seen.interfaces.contains_key(device.name());
    let is_attached = !seen.decapsulation.interfaces.is_empty();
    if is_plain && !is_there && (is_attached || !can(seen, Ability::Device(device))) {
        Receiver::Decapsulator
    } else {
        Receiver::Device(device)
    }
}

const WHY_DEVICE: &str =
    "takes the outer headers off; a device of our own leaves tunl0 and gre0 to whoever uses them";
const WHY_GUE: &str =
    "the kernel takes the headers of UDP and GUE off, and leaves IP in IP to the tunnel's device";
const WHY_DECAPSULATOR: &str = "this kernel has no device for such tunnels, so a tc program takes the outer headers off; it is pinned and stays";
const WHY_ENDS: &str = "the program takes apart only what is sent to these, the interface's own addresses";
const WHY_LOOSE: &str = "answers do not leave by the tunnel, and a strict filter drops what comes out of it. The larger \
     of `all` and the device's own setting holds, so that 0 on the device would do nothing where `all` is 1, but 2 \
     (loose) does";

/// Whether a filter is strict.
const STRICT: u32 = 1;
const LOOSE: &str = "2";

/// The items of taking packets out of tunnels.
pub(super) fn receive(wish: &Wish, seen: &Seen, items: &mut Items) {
    let receivers: Vec<_> = wish
        .families()
        .map(|family| (family, receiver(wish, seen, family)))
        .collect();
    let mut outer: Vec<_> = receivers
        .iter()
        .filter(|(_, it)| matches!(it, Receiver::Device(_)))
        .map(|(family, _)| wish.outer(*family))
        .collect();
    outer.dedup();
    outer.into_iter().for_each(|outer| gue(wish, seen, outer, items));
    let mut made = Vec::new();
    for (family, receiver) in &receivers {
        match receiver {
            Receiver::Device(device) => {
                if !made.contains(device) {
                    tunnel_device(wish, seen, *device, items);
                    made.push(*device);
                }
                if *family == Family::V4 {
                    items.add(loose(seen, device.name(), seen.interfaces.contains_key(device.name())));
                }
            }
            Receiver::Decapsulator => {}
            Receiver::Nothing => {
                let item = Item::new(format!("{family} in GUE over {}", wish.outer(*family)), "taken in");
                items.add(item.wrong("not taken in", "gre or ipip as the tunnel, or IPv6 outside"));
            }
        }
    }
    if receivers.iter().any(|(_, it)| *it == Receiver::Decapsulator) {
        decapsulator(wish, seen, items);
    }
}

fn can(seen: &Seen, ability: Ability) -> bool {
    seen.abilities.as_ref().is_none_or(|all| all.contains(&ability))
}

fn gue(wish: &Wish, seen: &Seen, family: Family, items: &mut Items) {
    let TunnelKind::Gue { port } = wish.tunnel.kind else {
        return;
    };
    let item = Item::new(format!("GUE of {family}"), format!("UDP port {port}")).because(WHY_GUE);
    items.add(if seen.gue.contains(&(family, port)) {
        item.ok(format!("UDP port {port}"))
    } else if can(seen, Ability::Gue) {
        item.missing("not taken in", [Change::Gue { family, port }])
    } else {
        item.wrong("the kernel has none", "modprobe fou, or a kernel with CONFIG_NET_FOU, or another tunnel")
    });
}

fn tunnel_device(wish: &Wish, seen: &Seen, device: Device, items: &mut Items) {
    let checksum = wish.tunnel.checksum && wish.tunnel.kind == TunnelKind::Gre;
    let kind = device.kind();
    let item = Item::new(format!("device {device}"), format!("{kind}, up")).because(WHY_DEVICE);
    items.add(match seen.interfaces.get(device.name()) {
        Some(found) if found.kind.as_deref() != Some(kind) => {
            let is = found.kind.as_deref().unwrap_or("of another kind");
            item.wrong(is, format!("ip link delete {device}, if nobody needs it"))
        }
        Some(found) if !found.up => item.missing("down", [Change::Up { device }]),
        Some(_) => item.ok(format!("{kind}, up")),
        None if can(seen, Ability::Device(device)) => {
            item.missing("missing", [Change::Device { device, checksum }])
        }
        None => item.wrong(
            "the kernel has none",
            format!(
                "modprobe {}, or another tunnel: with ipip, wvs has a program of its own",
                module(device)
            ),
        ),
    });
}

fn module(device: Device) -> &'static str {
    match device {
        Device::Ipip => "ipip",
        Device::Ip6tnl => "ip6_tunnel",
        Device::Gre => "ip_gre",
        Device::Ip6gre => "ip6_gre",
    }
}

/// Reverse-path filtering of an interface whose packets' answers leave elsewhere.
pub(super) fn loose(seen: &Seen, interface: &str, is_there: bool) -> Item {
    let name = format!("net.ipv4.conf.{}.rp_filter", interface.replace('.', "/"));
    let item = Item::new(name.clone(), "2, or 0 with `all` at 0").because(WHY_LOOSE);
    let own = seen.interfaces.get(interface).map_or(0, |it| it.arp.rp_filter);
    let change = |before| Change::Sysctl {
        name,
        before,
        after: LOOSE.to_owned(),
    };
    let is = format!("{own}, `all` at {}", seen.all.rp_filter);
    if !is_there {
        item.missing("no such device", [change(None)])
    } else if seen.rp_filter(interface) == STRICT {
        let before = own.to_string();
        // Of a device of ours nothing needs to be restored.
        let is_ours = Device::ALL.iter().any(|device| device.name() == interface);
        item.missing(is, [change((!is_ours).then_some(before))])
    } else {
        item.ok(is)
    }
}

fn decapsulator(wish: &Wish, seen: &Seen, items: &mut Items) {
    let attached = seen.decapsulation.interfaces.first();
    let Some(interface) = wish.interface.as_ref().or(attached) else {
        let wanted = Item::new("decapsulator", "on an interface").because(WHY_DECAPSULATOR);
        items.add(wanted.wrong(
            "no interface",
            format!("name the one that tunnels come in on with --interface; there are {}", seen.names()),
        ));
        return;
    };
    let ends = seen.interfaces.get(interface).map_or_else(Vec::new, |it| {
        let own = it.addresses.iter().map(|(address, _)| *address);
        own.filter(|address| !wish.vips.contains(address) && !is_link_local(*address))
            .collect::<Vec<_>>()
    });
    let item = Item::new("tunnels end at", join(&ends)).because(WHY_ENDS);
    let missing: Vec<_> = ends
        .iter()
        .filter(|end| !seen.decapsulation.addresses.contains(end))
        .map(|end| Change::TunnelEnd { address: *end })
        .collect();
    let is = join(&seen.decapsulation.addresses);
    items.add(if ends.is_empty() {
        item.wrong(is, format!("give {interface} an address, and let that be the backend's in the director"))
    } else if missing.is_empty() {
        item.ok(is)
    } else {
        item.missing(is, missing)
    });
    let item = Item::new("decapsulator", format!("on {interface}")).because(WHY_DECAPSULATOR);
    items.add(if seen.decapsulation.interfaces.contains(interface) {
        item.ok(format!("on {interface}"))
    } else if seen.bpffs {
        let change = Change::Decapsulator {
            interface: interface.clone(),
        };
        item.missing(attached.map_or_else(|| "not attached".to_owned(), |it| format!("on {it}")), [change])
    } else {
        let dir = wish.pin_dir.display();
        item.wrong(
            format!("no BPF file system at {dir}"),
            "mount -t bpf bpf /sys/fs/bpf, or name another with --pin-dir",
        )
    });
}

fn join<'a>(addresses: impl IntoIterator<Item = &'a std::net::IpAddr>) -> String {
    let all: Vec<_> = addresses.into_iter().map(ToString::to_string).collect();
    if all.is_empty() {
        "no address".to_owned()
    } else {
        all.join(", ")
    }
}

/// No tunnel comes from beyond the link to such an address.
fn is_link_local(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => address.is_link_local(),
        std::net::IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
