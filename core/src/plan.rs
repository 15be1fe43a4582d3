//! What would change: `plan(desired, observed)`, pure and printable as an nft script.
//!
//! A plan is applied as one netlink batch, so the kernel sees all of it or nothing. Planning against what a
//! plan has just made gives an empty plan, and an empty plan sends nothing.

#[cfg(test)]
pub(crate) mod model;
mod script;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::kernel::Remembered;
use crate::ruleset::text;
use crate::ruleset::{Chain, Elements, Family, Hook, IdMap, Ids, Key, MapName, Rule, Ruleset, Slots, Table};
use crate::scheduler::BackendId;

/// What the kernel holds of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The ruleset's generation at the time; every commit by anybody raises it.
    pub generation: u32,
    /// Our tables.
    pub tables: BTreeMap<Family, ObservedTable>,
    /// The families whose guard table stands whole.
    pub guards: Vec<Family>,
}

/// One of our tables as read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedTable {
    /// Slot maps of the right shape.
    pub slots: BTreeMap<String, Slots>,
    /// Maps to backend ids of the right shape. Those that the kernel fills are not read: they are empty here.
    pub ids: BTreeMap<IdMap, Ids>,
    /// Maps and sets of the right shape.
    pub maps: BTreeMap<MapName, Elements>,
    /// Chains.
    pub chains: BTreeMap<String, ObservedChain>,
    /// Something in it that is not ours or not of our shape, in words. The table is then made anew.
    pub damage: Option<String>,
}

/// A chain as read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedChain {
    /// Where the kernel enters it.
    pub hook: Option<Hook>,
    /// The digests that our rules carry in their user data; `None` where a rule has none.
    pub rules: Vec<Option<Digest>>,
}

/// A rule's fingerprint: the first eight bytes of the SHA-256 of its text and comment.
///
/// The kernel does not print expressions back as they were sent, so rules are compared by this mark, which
/// nobody who edits a rule with nft keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 8]);

impl Digest {
    /// The digest of a rule.
    pub fn of(family: Family, rule: &Rule) -> Self {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::digest(text::rule(family, rule).as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        Digest(first)
    }
}

/// One slot that changes: its number, the backend that leaves it and the one that takes it.
pub type SlotChange = (u32, Option<BackendId>, Option<BackendId>);

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Makes the guard table.
    AddGuard(Family),
    /// Makes our table.
    AddTable(Family),
    /// Deletes our table; always followed by an [`Op::AddTable`] of the same plan.
    DeleteTable(Family),
    /// Makes an empty map or set.
    AddMap(Family, MapName),
    /// Makes an empty slot map for so many slots.
    AddSlots(Family, String, u32),
    /// Makes an empty map to backend ids.
    AddIdMap(Family, IdMap),
    /// Makes an empty chain.
    AddChain(Family, String, Option<Hook>),
    /// Deletes all rules of a chain.
    FlushChain(Family, String),
    /// Appends a rule.
    AddRule(Family, String, Rule),
    /// Deletes elements.
    DeleteElements(Family, MapName, Elements),
    /// Adds elements.
    AddElements(Family, MapName, Elements),
    /// Changes slots.
    ChangeSlots(Family, String, Vec<SlotChange>),
    /// Deletes elements of a map to backend ids.
    DeleteIds(Family, IdMap, Ids),
    /// Adds elements to a map to backend ids.
    AddIds(Family, IdMap, Ids),
    /// Remembers clients of a map that was made anew, for as long as they had left.
    Remember(Family, IdMap, Vec<Remembered>),
    /// Forgets clients of a map that the kernel fills, where they still have these backends.
    Forget(Family, IdMap, Ids),
    /// Deletes a chain, which has no rules left and to which nothing leads.
    DeleteChain(Family, String),
    /// Deletes a slot map, which no rule uses.
    DeleteSlots(Family, String),
    /// Deletes a map to backend ids, which no rule uses.
    DeleteIdMap(Family, IdMap),
    /// Deletes a map or set, which no rule uses.
    DeleteMap(Family, MapName),
}

/// The steps from what is to what should be, in an order that the kernel accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub ops: Vec<Op>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

impl Observed {
    /// What the kernel holds once a plan towards `desired` has been committed as `generation`.
    pub fn after(desired: &Ruleset, mut before: Observed, generation: u32) -> Self {
        before.generation = generation;
        for (&family, table) in &desired.tables {
            if !before.guards.contains(&family) {
                before.guards.push(family);
            }
            before.tables.insert(family, ObservedTable::of(family, table));
        }
        for (&family, table) in &mut before.tables {
            if !desired.tables.contains_key(&family) {
                *table = ObservedTable::of(family, &Table::default());
            }
        }
        before
    }
}

impl ObservedTable {
    fn of(family: Family, table: &Table) -> Self {
        let chain = |chain: &Chain| ObservedChain {
            hook: chain.hook,
            rules: chain
                .rules
                .iter()
                .map(|rule| Some(Digest::of(family, rule)))
                .collect(),
        };
        ObservedTable {
            slots: table.slots.clone(),
            ids: table.ids.clone(),
            maps: table.maps.clone(),
            chains: table
                .chains
                .iter()
                .map(|(name, it)| (name.clone(), chain(it)))
                .collect(),
            damage: None,
        }
    }
}

/// Plans the way from `observed` to `desired`.
///
/// A table that is no longer wanted is emptied, not deleted: flows may still need its hooks. The guards are
/// made first.
pub fn plan(desired: &Ruleset, observed: &Observed) -> Plan {
    let mut ops = Vec::new();
    let nothing = Table::default();
    for family in Family::ALL {
        let wanted = desired.tables.get(&family);
        let found = observed.tables.get(&family);
        if wanted.is_some() && !observed.guards.contains(&family) {
            ops.push(Op::AddGuard(family));
        }
        match (wanted, found) {
            (None, None) => {}
            (wanted, Some(found)) if found.damage.is_some() => {
                ops.push(Op::DeleteTable(family));
                ops.push(Op::AddTable(family));
                plan_table(family, wanted.unwrap_or(&nothing), &ObservedTable::default(), &mut ops);
            }
            (Some(wanted), None) => {
                ops.push(Op::AddTable(family));
                plan_table(family, wanted, &ObservedTable::default(), &mut ops);
            }
            (wanted, Some(found)) => plan_table(family, wanted.unwrap_or(&nothing), found, &mut ops),
        }
    }
    Plan { ops }
}

/// The steps within one table: let go of what changes, make what is referred to, refer to it, and drop what
/// is referred to no more.
fn plan_table(family: Family, wanted: &Table, found: &ObservedTable, ops: &mut Vec<Op>) {
    if rehooked(wanted, found) {
        ops.push(Op::DeleteTable(family));
        ops.push(Op::AddTable(family));
        return plan_table(family, wanted, &ObservedTable::default(), ops);
    }
    let rewritten = rewritten_chains(family, wanted, found);
    let gone = || {
        found
            .chains
            .keys()
            .filter(|name| !wanted.chains.contains_key(*name))
    };
    for name in rewritten.iter().copied().chain(gone()) {
        if found
            .chains
            .get(name)
            .is_some_and(|chain| !chain.rules.is_empty())
        {
            ops.push(Op::FlushChain(family, name.clone()));
        }
    }
    plan_slot_maps(family, wanted, found, ops);
    plan_id_maps(family, wanted, found, ops);
    for &name in wanted.maps.keys().filter(|name| !found.maps.contains_key(name)) {
        ops.push(Op::AddMap(family, name));
    }
    for (name, chain) in wanted
        .chains
        .iter()
        .filter(|(name, _)| !found.chains.contains_key(*name))
    {
        ops.push(Op::AddChain(family, name.clone(), chain.hook));
    }
    for name in rewritten {
        let rules = wanted.chains[name].rules.iter();
        ops.extend(rules.map(|rule| Op::AddRule(family, name.clone(), rule.clone())));
    }
    plan_contents(family, wanted, found, ops);
    for name in gone() {
        ops.push(Op::DeleteChain(family, name.clone()));
    }
    for &name in found.maps.keys().filter(|name| !wanted.maps.contains_key(name)) {
        ops.push(Op::DeleteMap(family, name));
    }
}

/// Whether a chain of ours stands at another hook than it should: the kernel cannot move a chain.
fn rehooked(wanted: &Table, found: &ObservedTable) -> bool {
    let moved =
        |(name, chain): (&String, &Chain)| found.chains.get(name).is_some_and(|it| it.hook != chain.hook);
    wanted.chains.iter().any(moved)
}

/// The chains that get all of their rules anew; the others keep their `numgen` and their counters.
fn rewritten_chains<'a>(family: Family, wanted: &'a Table, found: &ObservedTable) -> Vec<&'a String> {
    let differs = |(name, chain): &(&String, &Chain)| {
        let digests = chain.rules.iter().map(|rule| Some(Digest::of(family, rule)));
        match found.chains.get(*name) {
            Some(found) => !digests.eq(found.rules.iter().copied()),
            None => true,
        }
    };
    wanted
        .chains
        .iter()
        .filter(differs)
        .map(|(name, _)| name)
        .collect()
}

/// Slot maps come and go with their services; one of another size is another map.
fn plan_slot_maps(family: Family, wanted: &Table, found: &ObservedTable, ops: &mut Vec<Op>) {
    let same = |name: &String, slots: &Slots, other: &BTreeMap<String, Slots>| {
        other.get(name).is_some_and(|it| it.len() == slots.len())
    };
    for (name, _) in found
        .slots
        .iter()
        .filter(|(name, slots)| !same(name, slots, &wanted.slots))
    {
        ops.push(Op::DeleteSlots(family, name.clone()));
    }
    for (name, slots) in wanted
        .slots
        .iter()
        .filter(|(name, slots)| !same(name, slots, &found.slots))
    {
        ops.push(Op::AddSlots(family, name.clone(), slots.len() as u32));
    }
}

/// Maps to backend ids come and go with what their services ask for.
fn plan_id_maps(family: Family, wanted: &Table, found: &ObservedTable, ops: &mut Vec<Op>) {
    let lacking = |a: &BTreeMap<IdMap, Ids>, b: &BTreeMap<IdMap, Ids>| -> Vec<IdMap> {
        a.keys().filter(|map| !b.contains_key(map)).cloned().collect()
    };
    let (gone, new) = (lacking(&found.ids, &wanted.ids), lacking(&wanted.ids, &found.ids));
    ops.extend(gone.into_iter().map(|map| Op::DeleteIdMap(family, map)));
    ops.extend(new.into_iter().map(|map| Op::AddIdMap(family, map)));
}

/// Only the elements that differ.
fn plan_contents(family: Family, wanted: &Table, found: &ObservedTable, ops: &mut Vec<Op>) {
    let nothing = Elements::new();
    for (name, slots) in &wanted.slots {
        let found = found.slots.get(name).filter(|it| it.len() == slots.len());
        let changes = slot_changes(slots, found);
        if !changes.is_empty() {
            ops.push(Op::ChangeSlots(family, name.clone(), changes));
        }
    }
    let no_ids = Ids::new();
    for (map, ids) in &wanted.ids {
        let found = found.ids.get(map).unwrap_or(&no_ids);
        let (gone, new) = (difference(found, ids), difference(ids, found));
        if !gone.is_empty() {
            ops.push(Op::DeleteIds(family, map.clone(), gone));
        }
        if !new.is_empty() {
            ops.push(Op::AddIds(family, map.clone(), new));
        }
    }
    for (&name, elements) in &found.maps {
        let gone = difference(elements, wanted.maps.get(&name).unwrap_or(&nothing));
        if !gone.is_empty() {
            ops.push(Op::DeleteElements(family, name, gone));
        }
    }
    for (&name, elements) in &wanted.maps {
        let new = difference(elements, found.maps.get(&name).unwrap_or(&nothing));
        if !new.is_empty() {
            ops.push(Op::AddElements(family, name, new));
        }
    }
}

/// The slots that differ; all filled ones where there is nothing yet.
pub fn slot_changes(wanted: &Slots, found: Option<&Slots>) -> Vec<SlotChange> {
    let before = |slot: usize| found.and_then(|found| found[slot]);
    (0..wanted.len())
        .filter(|&slot| before(slot) != wanted[slot])
        .map(|slot| (slot as u32, before(slot), wanted[slot]))
        .collect()
}

/// The elements of `a` that `b` lacks or has with another value.
fn difference<T: Clone + PartialEq>(a: &BTreeMap<Key, T>, b: &BTreeMap<Key, T>) -> BTreeMap<Key, T> {
    a.iter()
        .filter(|(key, target)| b.get(key) != Some(target))
        .map(|(key, target)| (*key, target.clone()))
        .collect()
}
