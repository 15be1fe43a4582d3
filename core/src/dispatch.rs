//! Dispatch tables: what the data path walks or indexes to choose a backend.

mod width;

use crate::scheduler::{BackendId, Candidate, Dispatch};

pub use width::Width;

/// A scheduler's answer, checked, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DispatchTable {
    /// Walked in order, or indexed by a hash.
    pub dispatch: Dispatch,
    /// One entry per slot; `None` where no backend takes the connection.
    pub slots: Vec<Option<BackendId>>,
}

impl DispatchTable {
    /// A table without a slot, for what has none yet.
    #[must_use]
    pub fn empty() -> Self {
        DispatchTable {
            dispatch: Dispatch::Cycle,
            slots: Vec::new(),
        }
    }

    /// Makes the table usable with these backends: entries that are empty, or name one that takes
    /// no new connections any more, go round the ones that do, by weight. Others stay as they are.
    /// Says how many were changed.
    pub fn repair(&mut self, candidates: &[Candidate]) -> usize {
        let live = |id: BackendId| candidates.iter().any(|known| known.id == id && known.usable());
        let broken: Vec<usize> = (0..self.slots.len())
            .filter(|&slot| !self.slots[slot].is_some_and(live))
            .collect();
        let count = u32::try_from(broken.len()).unwrap_or(u32::MAX);
        let replacements = smooth_round_robin(candidates, count);
        let mut changed = 0;
        for (slot, replacement) in broken.into_iter().zip(replacements) {
            changed += usize::from(self.slots[slot] != replacement);
            self.slots[slot] = replacement;
        }
        changed
    }

    /// Has the table begin at the slot that is drawn next, when so many connections have drawn one.
    pub fn begin_at(&mut self, drawn: u64) {
        let slots = self.slots.len().max(1) as u64;
        let next = usize::try_from(drawn % slots).unwrap_or_default();
        self.slots.rotate_right(next);
    }

    /// The same table with another number of slots: cut off, or begun again.
    #[must_use]
    pub fn resized(&self, slots: u32) -> Self {
        let entries = self.slots.iter().copied().cycle().take(slots as usize);
        let mut slots_now: Vec<_> = entries.collect();
        slots_now.resize(slots as usize, None);
        Self {
            dispatch: self.dispatch,
            slots: slots_now,
        }
    }
}

/// The director's own schedule, for when no plugin answers: each usable backend as often as its
/// weight says, and never in bursts.
///
/// At every pick each backend gains its weight, and the one that then has most pays the sum of all
/// weights.
#[must_use]
pub fn smooth_round_robin(candidates: &[Candidate], slots: u32) -> Vec<Option<BackendId>> {
    let mut credits: Vec<(&Candidate, i64)> = candidates
        .iter()
        .filter(|candidate| candidate.usable())
        .map(|candidate| (candidate, 0))
        .collect();
    let total: i64 = credits
        .iter()
        .map(|(candidate, _)| i64::from(candidate.weight))
        .sum();
    let mut pick = || {
        let mut richest: Option<&mut (&Candidate, i64)> = None;
        for entry in &mut credits {
            entry.1 += i64::from(entry.0.weight);
            if richest.as_ref().is_none_or(|richest| entry.1 > richest.1) {
                richest = Some(entry);
            }
        }
        let (candidate, credit) = richest?;
        *credit -= total;
        Some(candidate.id)
    };
    (0..slots).map(|_| pick()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(id: u16, weight: u32) -> Candidate {
        let address = std::net::Ipv4Addr::new(10, 0, (id >> 8) as u8, id as u8).into();
        Candidate {
            id: BackendId(id),
            weight,
            address,
            port: 80,
            draining: false,
            overloaded: false,
            down: false,
        }
    }

    fn ids(slots: &[Option<BackendId>]) -> Vec<u16> {
        slots.iter().map(|slot| slot.map_or(0, |id| id.0)).collect()
    }

    #[test]
    fn the_heavy_one_does_not_come_in_a_burst() {
        let candidates = [candidate(1, 5), candidate(2, 1), candidate(3, 1)];
        assert_eq!(ids(&smooth_round_robin(&candidates, 7)), [1, 1, 2, 1, 3, 1, 1]);
    }

    #[test]
    fn nobody_usable_means_empty_slots() {
        let mut draining = candidate(2, 3);
        draining.draining = true;
        let mut overloaded = candidate(3, 3);
        overloaded.overloaded = true;
        let nobody = [candidate(1, 0), draining, overloaded];
        assert_eq!(smooth_round_robin(&nobody, 3), vec![None; 3]);
        assert_eq!(smooth_round_robin(&[], 2), vec![None; 2]);
    }

    #[test]
    fn only_broken_entries_are_repaired() {
        let before = vec![
            Some(BackendId(1)),
            Some(BackendId(2)),
            Some(BackendId(9)),
            None,
            Some(BackendId(2)),
        ];
        let mut table = DispatchTable {
            dispatch: Dispatch::Cycle,
            slots: before,
        };
        assert_eq!(table.repair(&[candidate(1, 1), candidate(2, 0), candidate(3, 1)]), 4);
        assert_eq!(ids(&table.slots), [1, 1, 3, 1, 3]);
        assert_eq!(table.repair(&[]), 5);
        assert_eq!(table.slots, vec![None; 5]);
    }

    #[test]
    fn a_table_begins_where_the_next_slot_is() {
        let mut table = DispatchTable {
            dispatch: Dispatch::Cycle,
            slots: [1, 2, 3].map(|id| Some(BackendId(id))).to_vec(),
        };
        table.begin_at(7);
        assert_eq!(ids(&table.slots), [3, 1, 2]);
        DispatchTable::empty().begin_at(7);
    }

    #[test]
    fn a_table_can_change_its_size() {
        let slots = vec![Some(BackendId(1)), Some(BackendId(2))];
        let table = DispatchTable {
            dispatch: Dispatch::Cycle,
            slots,
        };
        assert_eq!(ids(&table.resized(5).slots), [1, 2, 1, 2, 1]);
        assert_eq!(ids(&table.resized(1).slots), [1]);
        let empty = DispatchTable {
            dispatch: Dispatch::Cycle,
            slots: Vec::new(),
        };
        assert_eq!(empty.resized(2).slots, vec![None; 2]);
    }

    proptest! {
        #[test]
        fn a_full_round_is_exactly_proportional(weights in prop::collection::vec(0_u32..20, 1..8)) {
            let candidates: Vec<Candidate> =
                weights.iter().zip(1..).map(|(&weight, id)| candidate(id, weight)).collect();
            let round = smooth_round_robin(&candidates, weights.iter().sum());
            for candidate in &candidates {
                let picks = round.iter().filter(|slot| **slot == Some(candidate.id)).count();
                prop_assert_eq!(picks as u32, candidate.weight);
            }
        }

        #[test]
        fn a_repaired_table_names_only_usable_backends(
            slots in prop::collection::vec(prop::option::of(1_u16..9), 0..40),
            weights in prop::collection::vec(0_u32..4, 0..8),
        ) {
            let candidates: Vec<Candidate> =
                weights.iter().zip(1..).map(|(&weight, id)| candidate(id, weight)).collect();
            let before: Vec<Option<BackendId>> = slots.iter().map(|slot| slot.map(BackendId)).collect();
            let mut table = DispatchTable { dispatch: Dispatch::Cycle, slots: before.clone() };
            table.repair(&candidates);
            let usable = |id: BackendId| candidates.iter().any(|c| c.id == id && c.usable());
            for (old, new) in before.iter().zip(&table.slots) {
                match new {
                    Some(id) => prop_assert!(usable(*id)),
                    None => prop_assert!(weights.iter().all(|weight| *weight == 0)),
                }
                if old.is_some_and(usable) {
                    prop_assert_eq!(old, new);
                }
            }
        }
    }
}
