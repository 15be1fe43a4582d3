//! Who tells neighbours where a virtual address is: the director, and no real server.

use super::item::{Item, Items};
use super::{Arp, Change, Seen};

const WHY_IGNORE: &str = "who asks for a virtual address must hear of the director only. With 1 an interface answers for \
     its own addresses, and those of lo are none. The larger of `all` and the interface's own setting holds; that of \
     lo decides nothing, since nobody asks there";
const WHY_ANNOUNCE: &str = "who is asked from a virtual address learns from the question where that is. With 2 the \
     interface's own address asks";

/// One of the two settings.
struct Setting {
    name: &'static str,
    of: fn(&Arp) -> u32,
    /// Values with which virtual addresses stay unknown.
    good: &'static [u32],
    set: u32,
    wanted: &'static str,
    why: &'static str,
}

const SETTINGS: [Setting; 2] = [
    Setting {
        name: "arp_ignore",
        of: |arp| arp.ignore,
        // 3 answers for addresses of lo, and 4 to 7 are as 0. 8 answers for nothing.
        good: &[1, 2, 8],
        set: 1,
        wanted: "1 or 2",
        why: WHY_IGNORE,
    },
    Setting {
        name: "arp_announce",
        of: |arp| arp.announce,
        // What is larger is as 0.
        good: &[2],
        set: 2,
        wanted: "2",
        why: WHY_ANNOUNCE,
    },
];

/// The settings of IPv4, and those interfaces whose own setting defeats that of all.
///
/// IPv6 has none, and needs none: a solicitation is answered only for an address of the interface that it comes in
/// on (`ndisc_recv_ns`), neither are addresses of `lo` announced, nor do they ask.
pub(super) fn arp(seen: &Seen, items: &mut Items) {
    for setting in &SETTINGS {
        let Setting {
            of,
            good,
            set,
            wanted,
            why,
            ..
        } = *setting;
        let all = of(&seen.all);
        let asked = || seen.interfaces.iter().filter(|(_, it)| it.asks);
        let holds = |all: u32, own: u32| good.contains(&all.max(own));
        let change = |interface: &str, before: u32| Change::Sysctl {
            name: name(interface, setting.name),
            before: Some(before.to_string()),
            after: set.to_string(),
        };
        let each = asked().count() > 0 && asked().all(|(_, it)| holds(all, of(&it.arp)));
        let item = Item::new(name("all", setting.name), wanted).because(why);
        items.add(if good.contains(&all) {
            item.ok(all.to_string())
        } else if each {
            item.ok(format!("{all}, and more on each interface"))
        } else {
            item.missing(all.to_string(), [change("all", all)])
        });
        let all = if good.contains(&all) { all } else { set };
        for (interface, it) in asked().filter(|(_, it)| !holds(all, of(&it.arp))) {
            let own = of(&it.arp);
            let item = Item::new(name(interface, setting.name), format!("at most {set}")).because(why);
            items.add(item.missing(own.to_string(), [change(interface, own)]));
        }
    }
}

/// A setting's dotted name; a dot of an interface's name is a slash there.
fn name(interface: &str, setting: &str) -> String {
    format!("net.ipv4.conf.{}.{setting}", interface.replace('.', "/"))
}
