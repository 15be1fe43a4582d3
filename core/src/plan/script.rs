//! Plans as scripts for nft.

use std::fmt;

use super::{Op, Plan, SlotChange};
use crate::kernel::Remembered;
use crate::ruleset::text;
use crate::ruleset::{Family, GUARD, Key, TABLE};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = |family: &Family| format!("{} {TABLE}", family.nft());
        match self {
            Op::AddGuard(family) => write!(f, "add table {} {GUARD}", family.nft()),
            Op::AddTable(family) => write!(f, "add table {}", ours(family)),
            Op::DeleteTable(family) => write!(f, "delete table {}", ours(family)),
            Op::AddMap(family, map) => {
                let word = if map.has_verdicts() { "map" } else { "set" };
                write!(
                    f,
                    "add {word} {} {map} {{ {} }}",
                    ours(family),
                    text::map_shape(*family, *map).join("; ")
                )
            }
            Op::AddSlots(family, name, size) => {
                write!(f, "add map {} {name} {{ {} }}", ours(family), text::slots_shape(*size).join("; "))
            }
            Op::AddIdMap(family, map) => {
                let shape = text::id_map_shape(*family, map).join("; ");
                write!(f, "add map {} {map} {{ {shape} }}", ours(family))
            }
            Op::AddChain(family, name, None) => write!(f, "add chain {} {name}", ours(family)),
            Op::AddChain(family, name, Some(hook)) => {
                write!(f, "add chain {} {name} {{ {} }}", ours(family), text::hook(*hook))
            }
            Op::FlushChain(family, name) => write!(f, "flush chain {} {name}", ours(family)),
            Op::AddRule(family, chain, rule) => {
                write!(f, "add rule {} {chain} {}", ours(family), text::rule(*family, rule))
            }
            Op::DeleteElements(family, map, elements) => {
                let keys: Vec<_> = elements.keys().map(Key::to_string).collect();
                write!(f, "delete element {} {map} {{ {} }}", ours(family), keys.join(", "))
            }
            Op::AddElements(family, map, elements) => {
                write!(f, "add element {} {map} {{ {} }}", ours(family), text::elements(elements).join(", "))
            }
            Op::ChangeSlots(family, name, changes) => fmt_slots(f, &ours(family), name, changes),
            Op::Remember(family, map, clients) => {
                let client = |it: &Remembered| {
                    let Remembered {
                        client,
                        backend,
                        expires,
                    } = it;
                    format!("{client} timeout {expires}s : {}", text::class(*backend))
                };
                let clients: Vec<_> = clients.iter().map(client).collect();
                write!(f, "add element {} {map} {{ {} }}", ours(family), clients.join(", "))
            }
            Op::DeleteIds(family, map, ids) | Op::Forget(family, map, ids) => {
                let keys: Vec<_> = ids.keys().map(Key::to_string).collect();
                write!(f, "delete element {} {map} {{ {} }}", ours(family), keys.join(", "))
            }
            Op::AddIds(family, map, ids) => {
                write!(f, "add element {} {map} {{ {} }}", ours(family), text::id_elements(ids).join(", "))
            }
            Op::DeleteIdMap(family, map) => write!(f, "delete map {} {map}", ours(family)),
            Op::DeleteChain(family, name) => write!(f, "delete chain {} {name}", ours(family)),
            Op::DeleteSlots(family, name) => write!(f, "delete map {} {name}", ours(family)),
            Op::DeleteMap(family, map) => {
                let word = if map.has_verdicts() { "map" } else { "set" };
                write!(f, "delete {word} {} {map}", ours(family))
            }
        }
    }
}

fn fmt_slots(f: &mut fmt::Formatter<'_>, table: &str, name: &str, changes: &[SlotChange]) -> fmt::Result {
    let gone: Vec<_> = changes
        .iter()
        .filter(|(_, old, _)| old.is_some())
        .map(|it| it.0.to_string())
        .collect();
    let new: Vec<_> = changes
        .iter()
        .filter_map(|(slot, _, new)| new.map(|id| format!("{slot} : {}", text::class(id))))
        .collect();
    if !gone.is_empty() {
        write!(f, "delete element {table} {name} {{ {} }}", gone.join(", "))?;
    }
    if !gone.is_empty() && !new.is_empty() {
        writeln!(f)?;
    }
    if !new.is_empty() {
        write!(f, "add element {table} {name} {{ {} }}", new.join(", "))?;
    }
    Ok(())
}
