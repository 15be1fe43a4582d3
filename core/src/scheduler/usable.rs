//! Which ids a plugin may answer: checks a pick, and a table of thousands in a microsecond or three.

use super::contract::NO_BACKEND;
use super::{BackendId, Breach, Candidate, Place};

/// So many slots of a table are checked at once.
const BLOCK: usize = 64;

/// How backends stand by their ids, which are small numbers, so an array is faster than a hash: the first place is that of
/// [`NO_BACKEND`], the next that of backend 0.
pub(super) struct Usable(Vec<Standing>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Takes,
    TakesNone,
    Unknown,
}

impl Usable {
    pub(super) fn new(backends: &[Candidate]) -> Self {
        let highest = backends.iter().map(|backend| backend.id.0).max();
        let mut standing = vec![Standing::Unknown; highest.map_or(1, |id| usize::from(id) + 2)];
        standing[0] = Standing::Takes;
        for backend in backends {
            let takes = backend.usable();
            standing[usize::from(backend.id.0) + 1] = if takes {
                Standing::Takes
            } else {
                Standing::TakesNone
            };
        }
        Self(standing)
    }

    fn of(&self, id: u32) -> Standing {
        let place = id.wrapping_add(1) as usize;
        self.0.get(place).copied().unwrap_or(Standing::Unknown)
    }

    /// Whether it may stand in a table.
    fn fits(&self, id: u32) -> bool {
        self.of(id) == Standing::Takes
    }

    /// [`fits`](Self::fits) of all, without branches; but a block of one id is looked up once: schedulers that fill up
    /// one backend after the other make most of such.
    fn all_fit(&self, block: &[u32]) -> bool {
        match block {
            [first, rest @ ..] if rest.iter().fold(0, |differ, id| differ | (id ^ first)) == 0 => {
                self.fits(*first)
            }
            _ => block.iter().fold(true, |all, id| all & self.fits(*id)),
        }
    }

    /// The id, if that backend takes connections; or what is wrong with it.
    pub(super) fn check(&self, place: Place, id: u32) -> Result<BackendId, Breach> {
        match self.of(id) {
            Standing::Takes if id != NO_BACKEND => Ok(BackendId(id as u16)),
            Standing::TakesNone => Err(Breach::Unusable { place, id }),
            _ => Err(Breach::Unknown { place, id }),
        }
    }

    /// A table of so many slots, if each has nobody or a backend that takes connections.
    pub(super) fn table(&self, ids: &[u32], slots: u32) -> Result<Vec<Option<BackendId>>, Breach> {
        if ids.len() != slots as usize {
            return Err(Breach::Length {
                asked: slots,
                came: ids.len(),
            });
        }
        if ids.chunks(BLOCK).any(|block| !self.all_fit(block))
            && let Some(slot) = ids.iter().position(|&id| !self.fits(id))
        {
            self.check(Place::Slot(slot), ids[slot])?;
        }
        // Checked before, so that this is of a known length and done for many at once.
        Ok(ids
            .iter()
            .map(|&id| (id != NO_BACKEND).then_some(BackendId(id as u16)))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scheduler::conform::sample_backends;

    /// Backends 0 to 2 take connections, 3 does not, and 4 does not exist.
    fn known() -> Usable {
        let mut backends = sample_backends(0, 4);
        backends[3].weight = 0;
        Usable::new(&backends)
    }

    fn one_by_one(ids: &[u32]) -> Result<Vec<Option<BackendId>>, Breach> {
        let slot = |(slot, &id)| match id {
            NO_BACKEND => Ok(None),
            _ => known().check(Place::Slot(slot), id).map(Some),
        };
        ids.iter().enumerate().map(slot).collect()
    }

    proptest! {
        #[test]
        fn a_table_is_checked_in_blocks_as_its_slots_are_one_by_one(
            runs in prop::collection::vec(
                (prop_oneof![30 => 0u32..3, 5 => Just(NO_BACKEND), 1 => 3u32..6, 1 => any::<u32>()], 1usize..200), 0..9,
            )
        ) {
            let ids: Vec<u32> = runs.iter().flat_map(|&(id, long)| std::iter::repeat_n(id, long)).collect();
            prop_assert_eq!(known().table(&ids, ids.len() as u32), one_by_one(&ids));
        }
    }

    #[test]
    fn ids_are_what_the_list_says() {
        let known = known();
        assert_eq!(known.check(Place::Choice, 2), Ok(BackendId(2)));
        let place = Place::Choice;
        assert_eq!(known.check(place, 3), Err(Breach::Unusable { place, id: 3 }));
        for id in [4, 5, 1 << 16, NO_BACKEND - 1, NO_BACKEND] {
            assert_eq!(known.check(Place::Choice, id), Err(Breach::Unknown { place, id }));
        }
    }
}
