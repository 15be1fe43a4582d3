//! The ruleset as text, to the letter as `nft -s list table` prints it.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::{
    CHOSEN, Elements, Family, Hook, IdMap, Ids, Key, MOST_CLIENTS, MapName, Ruleset, Slots, TABLE, Table,
};
use crate::scheduler::BackendId;

mod rule;

pub use rule::{mask, rule};

/// A backend id as nft writes a packet priority: `0:2a`.
pub fn class(id: BackendId) -> String {
    format!("0:{:x}", id.0)
}

fn address_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    }
}

/// The declarations of a map or set, without its elements.
pub fn map_shape(family: Family, map: MapName) -> Vec<String> {
    let address = address_type(family);
    let key = match map {
        MapName::Backends | MapName::Chosen => "classid".to_owned(),
        MapName::Attended => "inet_proto".to_owned(),
        MapName::Closed => address.to_owned(),
        MapName::AskedMarks | MapName::Marks | MapName::Received | MapName::Sent | MapName::Sources => {
            "mark".to_owned()
        }
        MapName::Asked | MapName::ServiceRanges | MapName::Services => {
            format!("{address} . inet_proto . inet_service")
        }
    };
    let verdict = if map.has_verdicts() { " : verdict" } else { "" };
    let mut shape = vec![format!("type {key}{verdict}")];
    if map.has_ranges() {
        shape.push("flags interval".to_owned());
    }
    if map.is_dynamic() {
        shape.push("flags timeout".to_owned());
    }
    if map.has_counters() {
        shape.push("counter".to_owned());
    }
    shape
}

/// The declarations of a map to backend ids, without its elements.
pub fn id_map_shape(family: Family, map: &IdMap) -> Vec<String> {
    let client = format!("type {} : classid", address_type(family));
    match map {
        IdMap::Answers(_) | IdMap::Held(_) => vec!["type classid : classid".to_owned()],
        IdMap::Pins(..) => vec![client],
        IdMap::Group(_) | IdMap::Persist(_) => {
            vec![
                client,
                format!("size {MOST_CLIENTS}"),
                "flags dynamic,timeout".to_owned(),
            ]
        }
    }
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
        Hook::QueuePrerouting => "dstnat - 1",
        Hook::QueueOutput => "-101",
        Hook::NatPrerouting => "dstnat",
        Hook::NatOutput => "-100",
        Hook::NatPostrouting => "srcnat",
        Hook::FilterForward | Hook::FilterInput | Hook::FilterOutput => "filter",
    };
    format!("type {} hook {} priority {priority}; policy accept;", hook.chain_type(), hook.name())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Service(address, protocol, port) => write!(f, "{address} . {protocol} . {port}"),
            Key::ServiceRange(address, protocol, first, last) if first == last => {
                write!(f, "{address} . {protocol} . {first}")
            }
            Key::ServiceRange(address, protocol, first, last) => {
                write!(f, "{address} . {protocol} . {first}-{last}")
            }
            Key::Mark(mark) => write!(f, "{mark:#010x}"),
            Key::Backend(id) => f.write_str(&class(*id)),
            Key::Chosen(id) => write!(f, "{:x}:{:x}", CHOSEN >> 16, id.0),
            Key::Protocol(protocol) => write!(f, "{protocol}"),
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

/// The elements of a map to backend ids, one string each.
pub fn id_elements(ids: &Ids) -> Vec<String> {
    ids.iter()
        .map(|(key, id)| format!("{key} : {}", class(*id)))
        .collect()
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

/// One table: slot maps, maps to ids, other maps, chains, as a plan makes them and nft lists them, in the order of their making.
pub fn table(family: Family, table: &Table) -> String {
    let mut blocks: Vec<String> = Vec::new();
    for (name, slots) in &table.slots {
        let lines = lines(&slot_elements(slots), PER_LINE_NUMBERS);
        blocks.push(block("map", name, &slots_shape(slots.len() as u32), &lines));
    }
    for (map, ids) in &table.ids {
        let per_line = match map {
            IdMap::Answers(_) | IdMap::Held(_) => PER_LINE_NUMBERS,
            _ => per_line_addresses(family),
        };
        let lines = lines(&id_elements(ids), per_line);
        blocks.push(block("map", &map.to_string(), &id_map_shape(family, map), &lines));
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
        (MapName::Asked | MapName::Services | MapName::ServiceRanges, _) => 1,
        (MapName::Closed, family) => per_line_addresses(family),
        _ => PER_LINE_NUMBERS,
    }
}

fn per_line_addresses(family: Family) -> usize {
    match family {
        Family::V4 => 2,
        Family::V6 => 1,
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
