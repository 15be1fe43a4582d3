//! What the kernel's dumps say of one table, put together as an [`ObservedTable`].

use std::fmt;

use super::encode::{DIGEST_NOTE, GUARD_CHAIN, guard_digest};
use super::shape::{Shape, read_id_key, read_key};
use super::uapi::{self, chain, element, object, rule, set, table};
use crate::kernel::netlink::Attributes;
use crate::kernel::{Remembered, Traffic};
use crate::plan::{Digest, ObservedChain, ObservedTable};
use crate::ruleset::{Elements, Family, Hook, IdMap, Ids, Key, MapName, Slots};
use crate::scheduler::BackendId;

/// All hooks that a chain of ours can have.
const HOOKS: [Hook; 8] = [
    Hook::QueuePrerouting,
    Hook::QueueOutput,
    Hook::NatPrerouting,
    Hook::NatOutput,
    Hook::NatPostrouting,
    Hook::FilterForward,
    Hook::FilterInput,
    Hook::FilterOutput,
];

/// A set of ours whose elements are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetOfOurs {
    /// One of the maps and sets with a fixed name.
    Map(MapName),
    /// A map to backend ids that the kernel does not fill by itself.
    Ids(IdMap),
    /// A slot map.
    Slots(String),
}

impl fmt::Display for SetOfOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetOfOurs::Map(map) => map.fmt(f),
            SetOfOurs::Ids(map) => map.fmt(f),
            SetOfOurs::Slots(name) => name.fmt(f),
        }
    }
}

/// A table as far as it is read.
#[derive(Debug)]
pub struct Reading {
    family: Family,
    /// What was found.
    pub table: ObservedTable,
}

impl Reading {
    /// A table of which nothing is known yet.
    pub fn new(family: Family) -> Self {
        Reading {
            family,
            table: ObservedTable::default(),
        }
    }

    /// Remembers the first thing that is wrong.
    fn damage(&mut self, words: String) {
        self.table.damage.get_or_insert(words);
    }

    /// Takes the table's own attributes.
    pub fn table(&mut self, dump: Attributes<'_>) {
        let flags = dump.u32(table::FLAGS).unwrap_or_default();
        // NFT_TABLE_F_DORMANT, NFT_TABLE_F_OWNER, NFT_TABLE_F_PERSIST
        let flag = |bit: u32, word: &'static str| (flags & bit != 0).then_some(word);
        let words: Vec<_> = [flag(1, "dormant"), flag(2, "owner"), flag(4, "persist")]
            .into_iter()
            .flatten()
            .collect();
        if !words.is_empty() {
            self.damage(format!("the table has flags {}", words.join(",")));
        }
    }

    /// Takes a chain.
    pub fn chain(&mut self, dump: Attributes<'_>) {
        let Some(name) = dump.text(chain::NAME) else {
            return;
        };
        let flags = dump.u32(chain::FLAGS).unwrap_or_default();
        if flags & chain::FOREIGN_FLAGS != 0 {
            return self.damage(format!("chain `{name}` is not ours: flags {flags:#x}"));
        }
        let hook = match dump.get(chain::HOOK) {
            None => None,
            Some(at) => {
                let hook = read_hook(dump.text(chain::TYPE).as_deref(), Attributes(at));
                if hook.is_none() {
                    return self.damage(format!("chain `{name}` stands at a hook that is not ours"));
                }
                if dump.u32(chain::POLICY) != Some(libc::NF_ACCEPT as u32) {
                    self.damage(format!("chain `{name}` has another policy than accept"));
                }
                hook
            }
        };
        self.table.chains.entry(name).or_default().hook = hook;
    }

    /// Takes a rule. Rules of a chain come in order.
    pub fn rule(&mut self, dump: Attributes<'_>) {
        if let Some(chain) = dump.text(rule::CHAIN) {
            let digest = read_digest(dump.get(rule::USERDATA).unwrap_or_default());
            self.table.chains.entry(chain).or_default().rules.push(digest);
        }
    }

    /// Takes a set, and says whether its elements are to be read.
    pub fn set(&mut self, dump: Attributes<'_>) -> Option<SetOfOurs> {
        let name = dump.text(set::NAME)?;
        let shape = Shape::read(dump);
        if shape.flags & libc::NFT_SET_ANONYMOUS as u32 != 0 {
            // It belongs to a rule, by which it is judged.
            return None;
        }
        if let Some(map) = MapName::from_kernel(&name) {
            let ours = shape == Shape::of(self.family, map);
            if ours {
                self.table.maps.insert(map, Elements::new());
                return (!map.is_dynamic()).then_some(SetOfOurs::Map(map));
            }
        } else if let Some(map) = IdMap::from_kernel(&name) {
            if shape == Shape::of_ids(self.family, &map) {
                self.table.ids.insert(map.clone(), Ids::new());
                return (!map.is_dynamic()).then_some(SetOfOurs::Ids(map));
            }
        } else if !name.starts_with("slots-") {
            self.damage(format!("the set `{name}` is not ours"));
            return None;
        } else if shape == Shape::slots(shape.size / 2) {
            self.table
                .slots
                .insert(name.clone(), vec![None; shape.size as usize / 2]);
            return Some(SetOfOurs::Slots(name));
        }
        self.damage(format!("the set `{name}` is not as we make it"));
        None
    }

    /// Takes the elements of one message.
    pub fn elements(&mut self, of: &SetOfOurs, dump: Attributes<'_>) {
        for (_, item) in dump.nested(element::LIST) {
            let item = Attributes(item);
            let taken = match of {
                SetOfOurs::Map(map) => self.element(*map, item),
                SetOfOurs::Ids(map) => self.id(map, item),
                SetOfOurs::Slots(name) => self.slot(name, item),
            };
            if taken.is_none() {
                let words = format!("the set `{of}` has an element that is not ours");
                return self.damage(words);
            }
        }
    }

    fn element(&mut self, map: MapName, item: Attributes<'_>) -> Option<()> {
        let (key, target) = read_element(self.family, map, item)?;
        self.table.maps.entry(map).or_default().insert(key, target);
        Some(())
    }

    fn id(&mut self, map: &IdMap, item: Attributes<'_>) -> Option<()> {
        let key = item.nested(element::KEY).get(element::DATA_VALUE)?;
        let (key, id) = (read_id_key(self.family, map, key)?, read_id(item)?);
        self.table.ids.get_mut(map)?.insert(key, id);
        Some(())
    }

    fn slot(&mut self, name: &str, item: Attributes<'_>) -> Option<()> {
        let slot = number(item.nested(element::KEY).get(element::DATA_VALUE)?)?;
        let id = read_id(item)?;
        let slots: &mut Slots = self.table.slots.get_mut(name)?;
        *slots.get_mut(slot as usize)? = Some(id);
        Some(())
    }

    /// Takes a named object or a flowtable: we make none.
    pub fn foreign(&mut self, what: &str, dump: Attributes<'_>) {
        let name = dump.text(object::NAME).unwrap_or_default();
        self.damage(format!("the {what} `{name}` is not ours"));
    }

    /// Whether this is the guard, whole.
    pub fn is_guard(&self) -> bool {
        let whole = ObservedChain {
            hook: Some(Hook::NatPrerouting),
            rules: vec![Some(guard_digest())],
        };
        let chains = &self.table.chains;
        self.table.damage.is_none() && chains.len() == 1 && chains.get(GUARD_CHAIN) == Some(&whole)
    }
}

fn read_hook(kind: Option<&str>, at: Attributes<'_>) -> Option<Hook> {
    let number = at.u32(chain::HOOK_NUMBER)?;
    let priority = at.u32(chain::HOOK_PRIORITY)?.cast_signed();
    HOOKS.into_iter().find(|hook| {
        Some(hook.chain_type()) == kind && (hook.number(), hook.priority()) == (number, priority)
    })
}

/// Our digest in a rule's user data: notes of type, length and value.
fn read_digest(mut userdata: &[u8]) -> Option<Digest> {
    while let [kind, length, rest @ ..] = userdata {
        let value = rest.get(..usize::from(*length))?;
        if *kind == DIGEST_NOTE {
            return value.try_into().ok().map(Digest);
        }
        userdata = &rest[value.len()..];
    }
    None
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|it| u32::from_ne_bytes(*it))
}

/// The backend id that an element maps to.
fn read_id(item: Attributes<'_>) -> Option<BackendId> {
    let id = number(item.nested(element::DATA).get(element::DATA_VALUE)?)?;
    u16::try_from(id).ok().filter(|id| *id != 0).map(BackendId)
}

/// The key of an element, and where it goes.
fn read_element(family: Family, map: MapName, item: Attributes<'_>) -> Option<(Key, Option<String>)> {
    let key = item.nested(element::KEY).get(element::DATA_VALUE)?;
    let end = item.nested(element::KEY_END).get(element::DATA_VALUE);
    let key = read_key(family, map, key, end)?;
    if !map.has_verdicts() {
        return Some((key, None));
    }
    let verdict = item.nested(element::DATA).nested(element::DATA_VERDICT);
    let goes = verdict.u32(element::VERDICT_CODE)? == libc::NFT_GOTO as u32;
    Some((key, Some(verdict.text(element::VERDICT_CHAIN).filter(|_| goes)?)))
}

/// What a counter expression has counted.
fn read_counter(expression: Attributes<'_>) -> Option<Traffic> {
    if expression.text(rule::EXPRESSION_NAME).as_deref() != Some("counter") {
        return None;
    }
    let data = expression.nested(rule::EXPRESSION_DATA);
    Some(Traffic {
        packets: data.u64(rule::COUNTER_PACKETS)?,
        bytes: data.u64(rule::COUNTER_BYTES)?,
    })
}

/// The counters of the elements of one message.
pub fn counters(family: Family, map: MapName, dump: Attributes<'_>, mut take: impl FnMut(Key, Traffic)) {
    for (_, item) in dump.nested(element::LIST) {
        let item = Attributes(item);
        let counter = read_counter(item.nested(element::EXPRESSION));
        if let (Some((key, _)), Some(counter)) = (read_element(family, map, item), counter) {
            take(key, counter);
        }
    }
}

/// The clients of one message.
pub fn remembered(family: Family, map: &IdMap, dump: Attributes<'_>, mut take: impl FnMut(Remembered)) {
    for (_, item) in dump.nested(element::LIST) {
        let item = Attributes(item);
        let key = item.nested(element::KEY).get(element::DATA_VALUE);
        let key = key.and_then(|key| read_id_key(family, map, key));
        if let (Some(Key::Address(client)), Some(backend)) = (key, read_id(item)) {
            let milliseconds = item.u64(element::EXPIRATION).unwrap_or_default();
            take(Remembered {
                client,
                backend,
                expires: u32::try_from(milliseconds.div_ceil(1000)).unwrap_or(u32::MAX),
            });
        }
    }
}

/// The first counter in a rule.
pub fn rule_counter(dump: Attributes<'_>) -> Option<Traffic> {
    dump.nested(rule::EXPRESSIONS)
        .filter(|(kind, _)| *kind == uapi::LIST_ITEM)
        .find_map(|(_, item)| read_counter(Attributes(item)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_digest_is_found_behind_a_comment() {
        let userdata = [0, 3, b'a', b'b', 0, DIGEST_NOTE, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(read_digest(&userdata), Some(Digest([1, 2, 3, 4, 5, 6, 7, 8])));
        assert_eq!(read_digest(&userdata[..5]), None);
        assert_eq!(read_digest(&userdata[..12]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes: Vec<u8>, name in "[a-z-]{0,12}") {
            let dump = Attributes(&bytes);
            let mut reading = Reading::new(Family::V6);
            reading.table(dump);
            reading.chain(dump);
            reading.rule(dump);
            reading.set(dump);
            for map in MapName::ALL {
                reading.elements(&SetOfOurs::Map(map), dump);
                counters(Family::V4, map, dump, |_, _| {});
            }
            reading.elements(&SetOfOurs::Slots(name.clone()), dump);
            remembered(Family::V6, &IdMap::Persist(name.clone()), dump, |_| {});
            reading.elements(&SetOfOurs::Ids(IdMap::Held(name)), dump);
            let _ = (rule_counter(dump), read_digest(&bytes), reading.is_guard());
        }
    }
}
