//! What a real server needs, how it is, and what is to be done: pure.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::arp::arp;
use super::receive::{Receiver, loose, receive, receiver};
use super::segments::segments;
use super::{Change, Mode, Seen, Wish};
use crate::ruleset::Family;

/// One thing that a real server needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub name: String,
    /// How it should be.
    pub wanted: String,
    /// How it is.
    pub is: String,
    /// Whether that is well enough.
    pub ok: bool,
    /// In a word.
    pub state: State,
    /// Why it is needed.
    pub why: String,
    /// What to do about it, where `wvs real-server setup` does not do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The changes that bring it about.
    #[serde(skip)]
    pub changes: Vec<Change>,
}

/// How an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Setup brings it about.
    Missing,
    /// It is in the way, and the operator has to decide.
    Wrong,
    /// It could be better.
    Advice,
}

impl Item {
    pub(super) fn new(name: impl Into<String>, wanted: impl Into<String>) -> Self {
        Item {
            name: name.into(),
            wanted: wanted.into(),
            is: String::new(),
            ok: true,
            state: State::Ok,
            why: String::new(),
            fix: None,
            changes: Vec::new(),
        }
    }

    pub(super) fn because(self, why: &str) -> Self {
        Item {
            why: why.to_owned(),
            ..self
        }
    }

    pub(super) fn ok(self, is: impl Into<String>) -> Self {
        Item {
            is: is.into(),
            ..self
        }
    }

    pub(super) fn missing(self, is: impl Into<String>, changes: impl Into<Vec<Change>>) -> Self {
        Item {
            is: is.into(),
            ok: false,
            state: State::Missing,
            changes: changes.into(),
            ..self
        }
    }

    pub(super) fn wrong(self, is: impl Into<String>, fix: impl Into<String>) -> Self {
        Item {
            is: is.into(),
            ok: false,
            state: State::Wrong,
            fix: Some(fix.into()),
            ..self
        }
    }

    pub(super) fn advice(self, is: impl Into<String>, fix: impl Into<String>) -> Self {
        Item {
            is: is.into(),
            state: State::Advice,
            fix: Some(fix.into()),
            ..self
        }
    }
}

/// Items as they are collected, in the order in which they are brought about.
#[derive(Debug, Default)]
pub(super) struct Items(Vec<Item>);

impl Items {
    pub(super) fn add(&mut self, item: Item) {
        self.0.push(item);
    }
}

const LO: &str = "lo";

const WHY_V4: &str = "the host takes in packets for its own addresses only; without a network (/32), so that nothing else \
     becomes an address of this host";
const WHY_V6: &str = "the host takes in packets for its own addresses only. IPv6 needs no setting to keep it from \
     neighbours: solicitations are answered only for addresses of the interface that they come in on";
const WHY_ELSEWHERE: &str = "neighbours that ask there are answered, and then pass the director by";

/// Says of each thing that a wish needs how it should be and how it is. Addresses come last: whoever asks for one
/// must not be answered in between.
pub fn judge(wish: &Wish, seen: &Seen) -> Vec<Item> {
    let mut items = Items::default();
    obstacles(wish, seen, &mut items);
    if wish.has(Family::V4) {
        arp(seen, &mut items);
    }
    if wish.mode == Mode::Tun {
        receive(wish, seen, &mut items);
    }
    incoming(wish, seen, &mut items);
    for vip in &wish.vips {
        address(wish, seen, *vip, &mut items);
    }
    if wish.mode == Mode::Tun {
        segments(wish, seen, &mut items);
    }
    items.0
}

/// The changes that bring all items about, in order.
pub fn plan(items: &[Item]) -> Vec<Change> {
    items
        .iter()
        .flat_map(|item| item.changes.iter().cloned())
        .collect()
}

/// What no setup can mend, or should without being asked. Listed only where it is.
fn obstacles(wish: &Wish, seen: &Seen, items: &mut Items) {
    if !seen.interfaces.get(LO).is_some_and(|lo| lo.up) {
        let lo = Item::new(LO, "up").because("the addresses of this host are reached through it");
        items.add(lo.wrong("down", "ip link set lo up"));
    }
    if wish.has(Family::V6) && seen.ipv6_off {
        let ipv6 = Item::new("IPv6", "on").because("there are virtual addresses of IPv6");
        items.add(
            ipv6.wrong("off", "sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0"),
        );
    }
    if let Some(interface) = &wish.interface
        && !seen.interfaces.contains_key(interface)
    {
        let named =
            Item::new(format!("interface {interface}"), "there").because("it was named with --interface");
        items.add(named.wrong("missing", format!("name one of {}", seen.names())));
    }
}

/// Where packets come in by a named interface, and answers leave by another.
fn incoming(wish: &Wish, seen: &Seen, items: &mut Items) {
    let is_at_device =
        |family| wish.mode == Mode::Tun && matches!(receiver(wish, seen, family), Receiver::Device(_));
    let attached = || {
        (wish.mode == Mode::Tun)
            .then(|| seen.decapsulation.interfaces.first())
            .flatten()
    };
    let Some(interface) = wish.interface.as_ref().or_else(attached) else {
        return;
    };
    let leaves_there = seen
        .ways
        .get(&Family::V4)
        .is_some_and(|way| way.interface == *interface);
    if wish.has(Family::V4)
        && !is_at_device(Family::V4)
        && !leaves_there
        && seen.interfaces.contains_key(interface)
    {
        items.add(loose(seen, interface, true));
    }
}

/// Where a virtual address belongs.
fn place(wish: &Wish, seen: &Seen, family: Family) -> &'static str {
    match (wish.mode, receiver(wish, seen, family)) {
        // A device without an IPv4 address takes in nothing when its filter is loose (fib_validate_source).
        (Mode::Tun, Receiver::Device(device)) => device.name(),
        _ => LO,
    }
}

fn address(wish: &Wish, seen: &Seen, vip: IpAddr, items: &mut Items) {
    let family = Family::of(vip);
    let (whole, why) = match family {
        Family::V4 => (32, WHY_V4),
        Family::V6 => (128, WHY_V6),
    };
    let place = place(wish, seen, family);
    let found = || {
        seen.interfaces.iter().flat_map(|(name, interface)| {
            let of_it = interface.addresses.iter().filter(|(address, _)| *address == vip);
            of_it.map(move |(_, length)| (name.as_str(), interface, *length))
        })
    };
    let item = Item::new(vip.to_string(), format!("/{whole} on {place}")).because(why);
    let fitting = found()
        .filter(|(name, interface, length)| {
            *length == whole && (*name == place || (place == LO && !interface.asks))
        })
        // Its own place before others.
        .min_by_key(|(name, ..)| *name != place);
    let broad = found().find(|(_, interface, length)| *length != whole && !interface.asks);
    items.add(match (fitting, broad) {
        (_, Some((name, _, length))) => item.wrong(
            format!("/{length} on {name}"),
            format!("all of that network is this host now: ip address delete {vip}/{length} dev {name}"),
        ),
        (Some((name, ..)), None) => item.ok(format!("/{whole} on {name}")),
        (None, None) => {
            let change = Change::Address {
                address: vip,
                interface: place.to_owned(),
            };
            item.missing("missing", [change])
        }
    });
    for (name, _, length) in found().filter(|(_, interface, _)| interface.asks) {
        let item =
            Item::new(format!("{vip} elsewhere"), "on no interface with neighbours").because(WHY_ELSEWHERE);
        items.add(
            item.wrong(
                format!("/{length} on {name}"),
                format!("ip address delete {vip}/{length} dev {name}"),
            ),
        );
    }
}
