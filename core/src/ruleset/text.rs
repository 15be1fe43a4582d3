//! The ruleset as text, to the letter as `nft -s list table` prints it.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::{Direction, Elements, Family, Hook, Key, MapName, Rule, Ruleset, Slots, Statement, TABLE, Table};
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
        MapName::Backends => "classid".to_owned(),
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
        Statement::GotoService(map) => format!("{ip} daddr . meta l4proto . th dport vmap @{map}"),
        Statement::GotoMarked => format!("meta mark vmap @{}", MapName::Marks),
        Statement::ToClosed => format!("{ip} daddr @{}", MapName::Closed),
        Statement::Counter => "counter".to_owned(),
        Statement::Cycle { map, size } => format!("meta priority set numgen inc mod {size} map @{map}"),
        Statement::Hash { map, size, key, seed } => {
            format!("meta priority set jhash {} mod {size} seed {seed:#x} map @{map}", hash_key(ip, *key))
        }
        Statement::GotoBackend => format!("meta priority vmap @{}", MapName::Backends),
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
        Statement::Snat { first, last } => format!("snat to {first}-{last}"),
        Statement::Masquerade => "masquerade".to_owned(),
        Statement::RejectTcp => "reject with tcp reset".to_owned(),
        Statement::Reject => "reject".to_owned(),
        Statement::Direction(Direction::Original) => "ct direction original".to_owned(),
        Statement::Direction(Direction::Reply) => "ct direction reply".to_owned(),
        Statement::Account { set, mask } => format!("ct mark & {mask:#010x} == @{set}"),
        Statement::GotoSource { mask } => format!("ct mark & {mask:#010x} vmap @{}", MapName::Sources),
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

/// One table.
pub fn table(family: Family, table: &Table) -> String {
    let mut blocks: Vec<String> = Vec::new();
    for (name, slots) in &table.slots {
        blocks.push(block("map", name, slots_shape(slots.len() as u32), slot_elements(slots)));
    }
    for (&map, content) in &table.maps {
        let word = if map.has_verdicts() { "map" } else { "set" };
        let counted = |text: String| match (map.has_counters(), text.split_once(" : ")) {
            (false, _) => text,
            (true, Some((key, verdict))) => format!("{key} counter : {verdict}"),
            (true, None) => format!("{text} counter"),
        };
        let content = elements(content).into_iter().map(counted).collect();
        blocks.push(block(word, map.as_str(), map_shape(family, map), content));
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

/// nft's layout of a map or set. It breaks lines of elements by their type's width, which `lines` follows.
fn block(word: &str, name: &str, shape: Vec<String>, elements: Vec<String>) -> String {
    let mut text = format!("\t{word} {name} {{\n");
    for line in shape {
        let _ = writeln!(text, "\t\t{line}");
    }
    if !elements.is_empty() {
        let _ = writeln!(text, "\t\telements = {{ {} }}", elements.join(", "));
    }
    text.push_str("\t}\n");
    text
}
