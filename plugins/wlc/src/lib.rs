//! Weighted least connection: new connections go where there are fewest for the weight.
#![forbid(unsafe_code)]

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use wvs_plugin::{About, Backend, CountingScheduler, Dispatch, NO_BACKEND, Params, Scheduler, interleave};

/// What an active connection counts; an inactive one counts 1 (LVS has the same ratio).
const ACTIVE: u32 = 256;

/// The weighted least connection scheduler.
#[derive(Debug, Default)]
pub struct WeightedLeastConnection {
    backends: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    id: u32,
    weight: u32,
    overhead: u32,
}

/// A usable backend with the connections it has and those planned for it.
#[derive(Debug, PartialEq, Eq)]
struct Level {
    overhead: u32,
    weight: u32,
    index: u32,
}

impl Level {
    /// Compares overhead per weight. Products of two u32 are exact in u64; WebAssembly has no
    /// wider product, and emulating one makes a plan four times as slow.
    fn compare(&self, other: &Self) -> Ordering {
        let mine = u64::from(self.overhead) * u64::from(other.weight);
        mine.cmp(&(u64::from(other.overhead) * u64::from(self.weight)))
    }
}

impl Ord for Level {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other)
            .then_with(|| other.weight.cmp(&self.weight))
            .then_with(|| self.index.cmp(&other.index))
    }
}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Scheduler for WeightedLeastConnection {
    const ABOUT: About = About {
        name: "wlc",
        version: env!("CARGO_PKG_VERSION"),
        summary: "weighted least connection: fewest active and inactive connections per weight",
        params: &[],
    };

    fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
        Ok((Self::default(), Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        let overhead_of = |id| {
            self.backends
                .iter()
                .find(|known| known.id == id)
                .map_or(0, |known| known.overhead)
        };
        self.backends = backends
            .iter()
            .map(|backend| Counted {
                id: backend.id,
                weight: backend.effective_weight(),
                overhead: overhead_of(backend.id),
            })
            .collect();
        Ok(())
    }

    /// The next `slots` picks, as if each opened a connection that stays.
    ///
    /// While some backends have fewer connections per weight than the fullest one, LVS's rule
    /// decides pick by pick. Once they are level the rule would only go round and round, in bursts
    /// where weights differ, so the rest of the plan is a smooth weighted round robin.
    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let mut table = Vec::with_capacity(slots as usize);
        let mut levels: BinaryHeap<Reverse<Level>> = self.levels().map(Reverse).collect();
        let fullest = self.levels().max_by(Level::compare);
        while table.len() < slots as usize
            && let (Some(mut least), Some(fullest)) = (levels.peek_mut(), &fullest)
            && least.0.compare(fullest) == Ordering::Less
        {
            table.push(self.backends[least.0.index as usize].id);
            least.0.overhead = least.0.overhead.saturating_add(ACTIVE);
        }
        let weights: Vec<u32> = self.backends.iter().map(|backend| backend.weight).collect();
        let rest = interleave(&weights, slots - table.len() as u32);
        table.extend(rest.iter().map(|&index| self.backends[index as usize].id));
        table.resize(slots as usize, NO_BACKEND);
        Ok(table)
    }
}

impl WeightedLeastConnection {
    fn levels(&self) -> impl Iterator<Item = Level> {
        self.backends
            .iter()
            .enumerate()
            .filter(|(_, backend)| backend.weight > 0)
            .map(|(index, backend)| Level {
                overhead: backend.overhead,
                weight: backend.weight,
                index: index as u32,
            })
    }
}

impl CountingScheduler for WeightedLeastConnection {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        for ((backend, active), inactive) in self.backends.iter_mut().zip(active).zip(inactive) {
            backend.overhead = active.saturating_mul(ACTIVE).saturating_add(*inactive);
        }
    }
}

wvs_plugin::export!(WeightedLeastConnection, load);
