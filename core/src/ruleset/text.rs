//! The ruleset as text, to the letter as `nft -s list table` prints it.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::{
    CHOSEN, Direction, Elements, Family, Hook, Key, MapName, Rule, Ruleset, Slots, Statement, TABLE, Table,
};
use crate::scheduler::{BackendId, HashKey};

/// A backend id as nft writes a packet priority: `0:2a`.
pub fn class(id: BackendId) -> String {
    format!("0:{:x}", id.0)
}

/// The declarations of a map or set, without its elements.
pub fn map_shape(family: Family, map: MapName) -> Vec<String> {
    let address = match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    };
    let key = match map {
        MapName::Backends | MapName::Chosen => "classid".to_owned(),
        MapName::Closed => address.to_owned(),
        MapName::Marks | MapName::Received | MapName::Sent | MapName::Sources => "mark".to_owned(),
        MapName::ServiceRanges | MapName::Services => format!("{address} . inet_proto . inet_service"),
    };
    let verdict = if map.has_verdicts() { " : verdict" } else { "" };
    let mut shape = vec![format!("type {key}{verdict}")];
    if map == MapName::ServiceRanges {
        shape.push("flags interval".to_owned());
    }
    if map.has_counters() {
        shape.push("counter".to_owned());
    }
    shape
}

/// The declarations of a slot map, without its elements.
///
/// The size has room for twice the slots: kernels count an element that is deleted and one that is added in
/// the same transaction both.
pub fn slots_shape(slots: u32) -> Vec<String> {
    vec![
        format!("typeof numgen inc mod {slots} : meta priority"),
        format!("size {}", slots_size(slots)),
    ]
}

/// The `size` of a slot map for so many slots.
pub fn slots_size(slots: u32) -> u32 {
    slots * 2
}

/// The declaration of a base chain.
pub fn hook(hook: Hook) -> String {
    let priority = match hook {
        Hook::NatPrerouting => "dstnat",
        Hook::NatOutput => "-100",
        Hook::NatPostrouting => "srcnat",
        Hook::FilterForward | Hook::FilterInput | Hook::FilterOutput => "filter",
    };
    format!("type {} hook {} priority {priority}; policy accept;", hook.chain_type(), hook.name())
}

/// A rule on one line, with its comment.
pub fn rule(family: Family, rule: &Rule) -> String {
    let mut words: Vec<String> = rule.statements.iter().map(|it| statement(family, it)).collect();
    if let Some(comment) = &rule.comment {
        words.push(format!("comment \"{comment}\""));
    }
    words.join(" ")
}

fn statement(family: Family, statement: &Statement) -> String {
    let ip = family.nft();
    match statement {
        Statement::Jump(chain) => format!("jump {chain}"),
        Statement::Return => "return".to_owned(),
        Statement::Accept => "accept".to_owned(),
        Statement::GotoService(map) => format!("{ip} daddr . meta l4proto . th dport vmap @{map}"),
        Statement::GotoMarked => format!("meta mark vmap @{}", MapName::Marks),
        Statement::ToClosed => format!("{ip} daddr @{}", MapName::Closed),
        Statement::Counter => "counter".to_owned(),
        Statement::Cycle { map, size } => format!("meta priority set numgen inc mod {size} map @{map}"),
        Statement::Hash { map, size, key, seed } => {
            format!("meta priority set jhash {} mod {size} seed {seed:#x} map @{map}", hash_key(ip, *key))
        }
        Statement::GotoBackend => format!("meta priority vmap @{}", MapName::Backends),
        Statement::GotoChosen => format!("meta priority vmap @{}", MapName::Chosen),
        Statement::FromHere => "iif 0".to_owned(),
        Statement::ClearPriority => "meta priority set none".to_owned(),
        Statement::SetMark { mask, bits } => {
            // nft folds the bits that are about to be set into the mask.
            format!("ct mark set ct mark & {:#010x} | {bits:#010x}", !mask | bits)
        }
        Statement::Protocols(protocols) => match protocols.as_slice() {
            [one] => format!("meta l4proto {one}"),
            many => {
                let names: Vec<_> = many.iter().map(|it| it.name()).collect();
                format!("meta l4proto {{ {} }}", names.join(", "))
            }
        },
        Statement::Dnat { address, port } => format!("dnat to {}", endpoint(*address, *port)),
        Statement::Snat { first, last } if first == last => format!("snat to {first}"),
        Statement::Snat { first, last } => format!("snat to {}", pool(*first, *last)),
        Statement::Masquerade => "masquerade".to_owned(),
        Statement::RejectTcp => "reject with tcp reset".to_owned(),
        Statement::Reject => "reject".to_owned(),
        Statement::Direction(Direction::Original) => "ct direction original".to_owned(),
        Statement::Direction(Direction::Reply) => "ct direction reply".to_owned(),
        Statement::Account { set, mask } => format!("ct mark & {mask:#010x} == @{set}"),
        Statement::GotoSource { mask } => format!("ct mark & {mask:#010x} vmap @{}", MapName::Sources),
    }
}

/// A range of addresses. nft writes one that is a prefix as such, whichever way it was given.
fn pool(first: IpAddr, last: IpAddr) -> String {
    let (bits, all, low, high): (u32, u128, u128, u128) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (32, u32::MAX.into(), first.to_bits().into(), last.to_bits().into())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (128, u128::MAX, first.to_bits(), last.to_bits()),
        _ => return format!("{first}-{last}"),
    };
    let differ = low ^ high;
    let is_prefix = differ & differ.wrapping_add(1) == 0 && low & differ == 0 && high & differ == differ;
    if is_prefix && differ != all {
        format!("{first}/{}", bits - differ.count_ones())
    } else {
        format!("{first}-{last}")
    }
}

fn hash_key(ip: &str, key: HashKey) -> String {
    match key {
        HashKey::Source => format!("{ip} saddr"),
        HashKey::SourceAndPort => format!("{ip} saddr . th sport"),
        HashKey::Destination => format!("{ip} daddr"),
        HashKey::Both => format!("{ip} saddr . th sport . {ip} daddr . th dport"),
    }
}

fn endpoint(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (address, None) => address.to_string(),
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Service(address, protocol, port) => write!(f, "{address} . {protocol} . {port}"),
            Key::ServiceRange(address, protocol, first, last) => {
                write!(f, "{address} . {protocol} . {first}-{last}")
            }
            Key::Mark(mark) => write!(f, "{mark:#010x}"),
            Key::Backend(id) => f.write_str(&class(*id)),
            Key::Chosen(id) => write!(f, "{:x}:{:x}", CHOSEN >> 16, id.0),
            Key::Address(address) => write!(f, "{address}"),
        }
    }
}

/// The elements of a map or set, one string each.
pub fn elements(elements: &Elements) -> Vec<String> {
    let element = |(key, target): (&Key, &Option<String>)| match target {
        Some(chain) => format!("{key} : goto {chain}"),
        None => key.to_string(),
    };
    elements.iter().map(element).collect()
}

fn slot_elements(slots: &Slots) -> Vec<String> {
    let element = |(slot, id): (usize, &Option<BackendId>)| id.map(|id| format!("{slot} : {}", class(id)));
    slots.iter().enumerate().filter_map(element).collect()
}

/// The whole ruleset as a script for `nft -f`, equal to what `nft -s list table` prints once it is loaded.
pub fn ruleset(ruleset: &Ruleset) -> String {
    ruleset
        .tables
        .iter()
        .map(|(family, it)| table(*family, it))
        .collect()
}

/// One table: slot maps, maps, chains, as a plan makes them and nft lists them, in the order of their making.
pub fn table(family: Family, table: &Table) -> String {
    let mut blocks: Vec<String> = Vec::new();
    for (name, slots) in &table.slots {
        let lines = lines(&slot_elements(slots), PER_LINE_NUMBERS);
        blocks.push(block("map", name, &slots_shape(slots.len() as u32), &lines));
    }
    for (&map, content) in &table.maps {
        let word = if map.has_verdicts() { "map" } else { "set" };
        let lines = lines(&listed_elements(map, content), per_line(family, map));
        blocks.push(block(word, map.as_str(), &map_shape(family, map), &lines));
    }
    for (name, chain) in &table.chains {
        let mut text = format!("\tchain {name} {{\n");
        if let Some(at) = chain.hook {
            let _ = writeln!(text, "\t\t{}", hook(at));
        }
        for it in &chain.rules {
            let _ = writeln!(text, "\t\t{}", rule(family, it));
        }
        text.push_str("\t}\n");
        blocks.push(text);
    }
    format!("table {} {TABLE} {{\n{}}}\n", family.nft(), blocks.join("\n"))
}

/// The elements as `nft -s list` prints them: in its order, with the word `counter` where they count.
fn listed_elements(map: MapName, content: &Elements) -> Vec<String> {
    let mut listed: Vec<_> = content.iter().collect();
    if map == MapName::Services {
        // nft orders a concatenation by the number that its bytes make, the last byte highest.
        listed.sort_by_cached_key(|(key, _)| match key {
            Key::Service(address, protocol, port) => {
                let mut bytes = match address {
                    IpAddr::V4(it) => it.octets().to_vec(),
                    IpAddr::V6(it) => it.octets().to_vec(),
                };
                bytes.push(protocol.number());
                bytes.extend(port.to_be_bytes());
                bytes.reverse();
                bytes
            }
            _ => Vec::new(),
        });
    }
    let counter = if map.has_counters() { " counter" } else { "" };
    let element = |(key, target): (&Key, &Option<String>)| match target {
        Some(chain) => format!("{key}{counter} : goto {chain}"),
        None => format!("{key}{counter}"),
    };
    listed.into_iter().map(element).collect()
}

/// How many marks, class ids and integers nft prints on a line.
const PER_LINE_NUMBERS: usize = 5;

/// How many elements nft prints on a line, which it decides by the type of the key.
fn per_line(family: Family, map: MapName) -> usize {
    match (map, family) {
        (MapName::Services | MapName::ServiceRanges, _) | (MapName::Closed, Family::V6) => 1,
        (MapName::Closed, Family::V4) => 2,
        _ => PER_LINE_NUMBERS,
    }
}

fn lines(elements: &[String], per_line: usize) -> Vec<String> {
    elements.chunks(per_line).map(|line| line.join(", ")).collect()
}

/// nft's layout of a map or set.
fn block(word: &str, name: &str, shape: &[String], lines: &[String]) -> String {
    let mut text = format!("\t{word} {name} {{\n");
    for line in shape {
        let _ = writeln!(text, "\t\t{line}");
    }
    if !lines.is_empty() {
        let _ = writeln!(text, "\t\telements = {{ {} }}", lines.join(",\n\t\t\t     "));
    }
    text.push_str("\t}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::pool;

    #[test]
    fn a_pool_that_is_a_prefix_is_written_as_one() {
        let cases = [
            ("10.1.0.220", "10.1.0.223", "10.1.0.220/30"),
            ("10.1.0.221", "10.1.0.224", "10.1.0.221-10.1.0.224"),
            ("10.1.0.222", "10.1.0.225", "10.1.0.222-10.1.0.225"),
            ("10.1.0.220", "10.1.0.222", "10.1.0.220-10.1.0.222"),
            ("10.1.0.0", "10.1.0.255", "10.1.0.0/24"),
            ("fd00::10", "fd00::1f", "fd00::10/124"),
            ("fd00::10", "fd00::20", "fd00::10-fd00::20"),
        ];
        for (first, last, expected) in cases {
            assert_eq!(pool(first.parse().unwrap(), last.parse().unwrap()), expected);
        }
    }
}
