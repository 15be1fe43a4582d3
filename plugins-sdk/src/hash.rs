//! Tables for hash dispatch: every director makes the same one, and few clients move.

use crate::{Backend, NO_BACKEND, apportion};

/// Scatters a number over all 32 bits; every input has its own output.
#[must_use]
pub fn mix(mut x: u32) -> u32 {
    // Multipliers found by a search for low bias, for shifts 16, 15, 16.
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A table in which each usable backend has its share by weight, rounded, and whose slots stay
/// with their backend when others come and go.
///
/// Weighted rendezvous: in each slot every backend has a number made from the slot and its address
/// and port, and the best one has the slot. That alone is proportional only on average (off by a
/// tenth with 3 backends in 256 slots), so backends above their share then give their weakest slots
/// to those below. When a backend leaves, its slots move, and 1 % of the others (10 backends in 4096
/// slots) to 4 % (in 256).
///
/// Ids and the order of the list have no influence: directors that number their backends
/// differently still agree.
#[must_use]
pub fn fill_by_hash(backends: &[Backend], slots: u32) -> Vec<u32> {
    let mut contenders: Vec<Contender> = backends
        .iter()
        .filter(|backend| backend.usable())
        .map(Contender::new)
        .collect();
    // Insertion sort: the list mostly comes in order, and the standard sorts cost 5 KB of module.
    for sorted in 1..contenders.len() {
        let mut at = sorted;
        while at > 0 && contenders[at].identity < contenders[at - 1].identity {
            contenders.swap(at, at - 1);
            at -= 1;
        }
    }
    if contenders.is_empty() {
        return vec![NO_BACKEND; slots as usize];
    }
    let mut owners: Vec<u32> = (0..slots)
        .map(|slot| best(&contenders, slot, |_| true) as u32)
        .collect();
    settle(&contenders, &mut owners);
    for owner in &mut owners {
        *owner = contenders[*owner as usize].id;
    }
    owners
}

struct Contender {
    id: u32,
    weight: u32,
    /// What every director knows it by.
    identity: ([u32; 4], u16),
    seed: u32,
}

impl Contender {
    fn new(backend: &Backend) -> Self {
        let address = backend.address;
        let words = [address.a, address.b, address.c, address.d];
        let seed = words
            .iter()
            .fold(mix(u32::from(backend.port)), |hash, word| mix(hash ^ word));
        Self {
            id: backend.id,
            weight: backend.weight,
            identity: (words, backend.port),
            seed,
        }
    }

    fn draw(&self, slot: u32) -> u32 {
        mix(self.seed ^ mix(slot.wrapping_add(0x9e37_79b9)))
    }

    /// The draw as a cost: exponentially distributed, so that of several backends one has the
    /// lowest cost per weight with the probability of its weight.
    fn cost(&self, slot: u32) -> u32 {
        negative_log2(self.draw(slot))
    }
}

/// −log2 of `(x + 1) / 2^32` with 26 fractional bits, to 1 %: weights need no more, for the shares
/// are settled afterwards. In integers, so that every processor agrees.
fn negative_log2(x: u32) -> u32 {
    let zeros = x.leading_zeros().min(31);
    let fraction = ((u64::from(x) << (zeros + 1)) as u32) >> 6;
    let rest = (1 << 26) - fraction;
    // log2(1 + f) ≈ f + 0.344·f·(1 − f)
    let bend = (((u64::from(fraction) * u64::from(rest)) >> 26) * 352) >> 10;
    (zeros << 26) + rest - bend as u32
}

fn best(contenders: &[Contender], slot: u32, may: impl Fn(usize) -> bool) -> usize {
    let mut best = 0;
    // The worst there is; a real one is always better.
    let (mut best_cost, mut best_weight) = (u32::MAX, 1);
    for (index, contender) in contenders.iter().enumerate().filter(|(index, _)| may(*index)) {
        let cost = contender.cost(slot);
        if u64::from(cost) * u64::from(best_weight) < u64::from(best_cost) * u64::from(contender.weight) {
            (best, best_cost, best_weight) = (index, cost, contender.weight);
        }
    }
    best
}

/// Moves the weakest slots of those above their share to those below.
fn settle(contenders: &[Contender], owners: &mut [u32]) {
    let weights: Vec<u32> = contenders.iter().map(|contender| contender.weight).collect();
    let mut wanting = apportion(&weights, owners.len() as u32);
    let mut held: Vec<Vec<(u32, u32)>> = contenders.iter().map(|_| Vec::new()).collect();
    for (slot, &owner) in owners.iter().enumerate() {
        let draw = contenders[owner as usize].draw(slot as u32);
        held[owner as usize].push((draw, slot as u32));
    }
    let mut given_up = Vec::new();
    for (held, wanting) in held.into_iter().zip(&mut wanting) {
        let share = *wanting as usize;
        *wanting = wanting.saturating_sub(held.len() as u32);
        if held.len() > share {
            let surplus = held.len() - share;
            let mut weakest: std::collections::BinaryHeap<_> =
                held.into_iter().map(std::cmp::Reverse).collect();
            given_up.extend((0..surplus).filter_map(|_| weakest.pop()).map(|held| held.0.1));
        }
    }
    for slot in given_up {
        let owner = best(contenders, slot, |index| wanting[index] > 0);
        wanting[owner] -= 1;
        owners[slot as usize] = owner as u32;
    }
}
