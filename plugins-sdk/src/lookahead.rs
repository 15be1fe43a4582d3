//! Looking ahead: the next picks of a scheduler that goes by the connections of the backends.
//!
//! No connection waits for a plugin, so such a scheduler plans the picks to come, as if each opened
//! a connection that stays. The director asks for another plan when counts have moved.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::{Backend, NO_BACKEND, interleave};

/// What an active connection counts in the [overhead](Counted::overhead); an inactive one counts 1.
/// LVS has the same ratio.
pub const ACTIVE: u32 = 256;

/// A backend and its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The backend.
    pub id: u32,
    /// Its weight, or 0 if it takes no new connections.
    pub weight: u32,
    /// Connections that are established, or on the way there.
    pub active: u32,
    /// All others.
    pub inactive: u32,
}

impl Counted {
    /// All connections in one number, as LVS reckons them.
    #[must_use]
    pub fn overhead(&self) -> u32 {
        self.active.saturating_mul(ACTIVE).saturating_add(self.inactive)
    }
}

/// The backends of the last update with the counts of the last observation.
#[derive(Clone, Debug, Default)]
pub struct Counts(Vec<Counted>);

impl Counts {
    /// For [`Scheduler::update`](crate::Scheduler::update): a backend that was there keeps its counts.
    pub fn update(&mut self, backends: &[Backend]) {
        // Lists mostly keep their order, so the search goes on where it last found something.
        let mut from = 0;
        let mut counts_of = |id| {
            let (before, after) = self.0.split_at(from);
            let found = after.iter().chain(before).position(|known| known.id == id)?;
            let index = (from + found) % self.0.len();
            from = index + 1;
            Some((self.0[index].active, self.0[index].inactive))
        };
        let counted = backends.iter().map(|backend| {
            let (active, inactive) = counts_of(backend.id).unwrap_or_default();
            Counted {
                id: backend.id,
                weight: backend.effective_weight(),
                active,
                inactive,
            }
        });
        self.0 = counted.collect();
    }

    /// For [`CountingScheduler::observe`](crate::CountingScheduler::observe).
    pub fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        for ((backend, &active), &inactive) in self.0.iter_mut().zip(active).zip(inactive) {
            (backend.active, backend.inactive) = (active, inactive);
        }
    }

    /// All backends, in the order of the last update.
    #[must_use]
    pub fn backends(&self) -> &[Counted] {
        &self.0
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Counted> {
        self.0.get_mut(index)
    }

    /// Those that take new connections.
    pub fn usable(&self) -> impl Iterator<Item = &Counted> {
        self.0.iter().filter(|backend| backend.weight > 0)
    }
}

/// How much a backend has to do: `load` per `weight`, and each new connection adds `step` to the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What it has to do now.
    pub load: u32,
    /// What a connection adds.
    pub step: u32,
    /// How much it can do.
    pub weight: u32,
}

impl Cost {
    /// The overhead per weight: fewest connections.
    #[must_use]
    pub fn overhead(backend: &Counted) -> Self {
        Self {
            load: backend.overhead(),
            step: ACTIVE,
            weight: backend.weight,
        }
    }

    /// The active connections per weight, the one to come among them: shortest expected delay.
    #[must_use]
    pub fn expected_delay(backend: &Counted) -> Self {
        Self {
            load: backend.active.saturating_add(1),
            step: 1,
            weight: backend.weight,
        }
    }

    /// Both loads, each times the other's weight. Products of two u32 are exact in u64; WebAssembly has no wider
    /// product, and emulating one makes a plan four times as slow.
    fn products(&self, other: &Self) -> (u64, u64) {
        let product = |load: u32, weight: u32| u64::from(load) * u64::from(weight);
        (product(self.load, other.weight), product(other.load, self.weight))
    }

    fn is_below(&self, other: &Self) -> bool {
        let (mine, theirs) = self.products(other);
        mine < theirs
    }
}

/// A backend with what it has to do and what is planned for it.
#[derive(Debug, PartialEq, Eq)]
struct Level {
    cost: Cost,
    index: u32,
}

impl Level {
    /// Of two that cost the same, the first in the list, as with LVS.
    fn is_before(&self, other: &Self) -> bool {
        let (mine, theirs) = self.cost.products(&other.cost);
        // Without branches: which way one goes is as good as random.
        (mine < theirs) | ((mine == theirs) & (self.index < other.index))
    }
}

impl Ord for Level {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_before(other) {
            Ordering::Less
        } else if other.is_before(self) {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }
}

/// A heap only asks for these, and WebAssembly has no comparison with three outcomes.
impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    fn lt(&self, other: &Self) -> bool {
        self.is_before(other)
    }

    fn le(&self, other: &Self) -> bool {
        !other.is_before(self)
    }

    fn gt(&self, other: &Self) -> bool {
        other.is_before(self)
    }

    fn ge(&self, other: &Self) -> bool {
        !self.is_before(other)
    }
}

/// The next `slots` picks of a scheduler that always takes the backend of the lowest cost;
/// [`NO_BACKEND`] if there is none. Backends of weight 0 get nothing, whatever their cost says.
///
/// While some backends cost less than the dearest one, that rule decides pick by pick. Once they
/// are level it would only go round and round, in bursts where weights differ, so the rest of the
/// plan is a smooth weighted round robin.
#[must_use]
pub fn look_ahead(backends: &[Counted], slots: u32, cost: impl Fn(&Counted) -> Cost) -> Vec<u32> {
    let mut weights = vec![0; backends.len()];
    let mut levels = Vec::with_capacity(backends.len());
    for (index, backend) in backends.iter().enumerate().filter(|(_, known)| known.weight > 0) {
        let cost = cost(backend);
        weights[index] = cost.weight;
        levels.push(Reverse(Level {
            cost,
            index: index as u32,
        }));
    }
    let costs = levels.iter().map(|level| level.0.cost);
    let dearest = costs.reduce(|dearest, cost| if cost.is_below(&dearest) { dearest } else { cost });
    let mut levels = BinaryHeap::from(levels);
    let mut table = Vec::with_capacity(slots as usize);
    while table.len() < slots as usize
        && let (Some(mut least), Some(dearest)) = (levels.peek_mut(), &dearest)
        && least.0.cost.is_below(dearest)
    {
        table.push(backends[least.0.index as usize].id);
        least.0.cost.load = least.0.cost.load.saturating_add(least.0.cost.step);
    }
    let rest = interleave(&weights, slots - table.len() as u32);
    table.extend(rest.iter().map(|&index| backends[index as usize].id));
    table.resize(slots as usize, NO_BACKEND);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(update: &[(u32, u32)]) -> Counts {
        let mut counts = Counts::default();
        counts.update(
            &update
                .iter()
                .map(|&(id, _)| Backend::sample(id))
                .collect::<Vec<_>>(),
        );
        let active: Vec<u32> = update.iter().map(|&(_, active)| active).collect();
        counts.observe(&active, &vec![0; active.len()]);
        counts
    }

    #[test]
    fn counts_follow_their_backend_whatever_the_order() {
        let mut counts = counts(&[(1, 10), (2, 20), (3, 30), (4, 40)]);
        for order in [[4, 3, 2, 1], [2, 4, 1, 3], [1, 2, 3, 4]] {
            counts.update(&order.map(Backend::sample));
            let found: Vec<(u32, u32)> = counts.0.iter().map(|known| (known.id, known.active)).collect();
            assert_eq!(found, order.map(|id| (id, id * 10)));
        }
        counts.update(&[5, 3].map(Backend::sample));
        assert_eq!(counts.0.iter().map(|known| known.active).collect::<Vec<_>>(), [0, 30]);
        counts.update(&[]);
        counts.update(&[3].map(Backend::sample));
        assert_eq!(counts.0[0].active, 0);
    }

    #[test]
    fn weight_0_gets_nothing_whatever_its_cost_says() {
        let known = |id, weight| Counted {
            id,
            weight,
            ..Counted::default()
        };
        let all_alike = |_: &Counted| Cost {
            load: 0,
            step: 1,
            weight: 1,
        };
        assert_eq!(look_ahead(&[known(1, 0), known(2, 9), known(3, 1)], 3, all_alike), [2, 3, 2]);
        assert_eq!(look_ahead(&[known(1, 0)], 2, all_alike), [NO_BACKEND; 2]);
    }
}
