//! Tables for hash dispatch: every director makes the same one, and few clients move.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Backend, NO_BACKEND, Param, ParamKind, apportion};

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

/// Whether the clients of a backend that takes no connections go to others: LVS's `sh-fallback` and `mh-fallback`.
///
/// Read it with [`Params::boolean`](crate::Params::boolean), for [`fill_by_hash`] and [`stand_in`].
pub const FALLBACK: Param = Param {
    key: "fallback",
    kind: ParamKind::Boolean,
    default: "true",
    help: "clients of a backend that takes no connections go to others until it does; else they are refused",
};

/// A table in which each backend that has a weight has its share of the places, rounded, and whose places stay with
/// their backend when others come and go.
///
/// This is [`rendezvous`], whose shares are proportional only on average (off by a tenth with 3
/// backends in 256 slots); backends above their share then give their weakest slots to those below.
/// When a backend leaves, its slots move, and of the others 1 % (10 backends in 4096 slots) to
/// 6 % (3 of unequal weights in 256).
///
/// Whoever drains, is down or overloaded keeps its places, and with a `fallback` others [stand in](stand_in): so no
/// other client moves. Ids and the order of the list have no influence: directors that number their backends
/// differently still agree.
#[must_use]
pub fn fill_by_hash(backends: &[Backend], slots: u32, fallback: bool) -> Vec<u32> {
    let mut listed = by_identity(backends);
    listed.retain(|backend| backend.weight > 0);
    let contenders: Vec<Contender> = listed.iter().map(Contender::new).collect();
    let mut places = draw(&contenders, slots, negative_log2);
    if !contenders.is_empty() {
        settle(&contenders, &mut places);
    }
    stand_in(&listed, places, fallback)
}

/// Makes a table of places, each of which is an index into backends that are listed [by identity](by_identity).
///
/// Where a place's backend is not [usable](Backend::usable) the entry is [`NO_BACKEND`], or with a `fallback` that of
/// the usable ones which is best for this slot by [`rendezvous`]. So a client only moves if its own backend goes, also
/// when another one is away already.
#[must_use]
pub fn stand_in(backends: &[Backend], places: Vec<u32>, fallback: bool) -> Vec<u32> {
    let contenders: Vec<Contender> = backends
        .iter()
        .filter(|backend| fallback && backend.usable())
        .map(Contender::new)
        .collect();
    let mut table = places;
    for (slot, entry) in (0..).zip(&mut table) {
        let own = backends.get(*entry as usize).filter(|own| own.usable());
        *entry = match own {
            Some(own) => own.id,
            None if contenders.is_empty() => NO_BACKEND,
            None => contenders[best(&contenders, slot, negative_log2_closely, |_| true)].id,
        };
    }
    table
}

/// Weighted rendezvous: in each slot every usable backend has a number made from the slot and its
/// address and port, and the best one has the slot.
///
/// When a backend leaves, only its own slots move; one that comes takes slots and moves no others.
/// Shares are proportional to the weights on average: of n slots that are due to a backend it gets
/// some √n more or less. Ids and the order of the list have no influence.
#[must_use]
pub fn rendezvous(backends: &[Backend], slots: u32) -> Vec<u32> {
    let mut usable = by_identity(backends);
    usable.retain(Backend::usable);
    let contenders: Vec<Contender> = usable.iter().map(Contender::new).collect();
    let places = draw(&contenders, slots, negative_log2_closely);
    stand_in(&usable, places, false)
}

/// Who is best for each slot; [`NO_BACKEND`] if nobody is there.
fn draw(contenders: &[Contender], slots: u32, log: impl Fn(u32) -> u32) -> Vec<u32> {
    if contenders.is_empty() {
        return vec![NO_BACKEND; slots as usize];
    }
    (0..slots)
        .map(|slot| best(contenders, slot, &log, |_| true) as u32)
        .collect()
}

/// The backends in an order that every director has: by address and port.
#[must_use]
pub fn by_identity(backends: &[Backend]) -> Vec<Backend> {
    // The standard sorts cost 5 KB of module; the heap is there for other reasons.
    let order: BinaryHeap<_> = backends
        .iter()
        .enumerate()
        .map(|(index, backend)| (backend.identity(), index))
        .collect();
    let sorted = order.into_sorted_vec();
    sorted.into_iter().map(|(_, index)| backends[index]).collect()
}

/// A slot's number, scattered.
#[derive(Clone, Copy)]
struct Slot(u32);

impl Slot {
    fn new(slot: u32) -> Self {
        Self(mix(slot.wrapping_add(0x9e37_79b9)))
    }
}

struct Contender {
    id: u32,
    weight: u32,
    seed: u32,
}

impl Contender {
    fn new(backend: &Backend) -> Self {
        Self {
            id: backend.id,
            weight: backend.weight,
            seed: backend.hash(0),
        }
    }

    fn draw(&self, slot: Slot) -> u32 {
        mix(self.seed ^ slot.0)
    }
}

/// −log2 of `(x + 1) / 2^32` with 26 fractional bits, to 0.01: enough where the shares are settled
/// afterwards. In integers, so that every processor agrees.
fn negative_log2(x: u32) -> u32 {
    let zeros = x.leading_zeros().min(31);
    let fraction = ((u64::from(x) << (zeros + 1)) as u32) >> 6;
    let rest = (1 << 26) - fraction;
    // log2(1 + f) ≈ f + 0.344·f·(1 − f)
    let bend = (((u64::from(fraction) * u64::from(rest)) >> 26) * 352) >> 10;
    (zeros << 26) + rest - bend as u32
}

/// The same to a thousandth of the value, also where that is small: there the winners are, and any
/// bias would be one of the shares.
fn negative_log2_closely(x: u32) -> u32 {
    let zeros = x.leading_zeros().min(31);
    let fraction = (u64::from(x) << (zeros + 1)) as u32;
    let f = u64::from(fraction);
    let rest = (1 << 32) - f;
    // log2(1 + f) ≈ f + f·(1 − f)·(0.4344 − 0.2204·f + 0.0649·f²), fitted for the smallest error relative to
    // the result: 0.0004.
    let factor = 1_865_935_477 - ((946_708_986 * f) >> 32) + ((((278_760_128 * f) >> 32) * f) >> 32);
    let bend = (((f * rest.min(u64::from(u32::MAX))) >> 32) * factor) >> 32;
    (zeros << 26) + ((rest - bend) >> 6) as u32
}

/// Whose draw is best. The logarithm makes it a cost, exponentially distributed: of several
/// backends one has the lowest cost per weight with the probability of its weight.
fn best(contenders: &[Contender], slot: u32, log: impl Fn(u32) -> u32, may: impl Fn(usize) -> bool) -> usize {
    let slot = Slot::new(slot);
    let mut best = 0;
    // The worst there is; a real one is always better.
    let (mut best_cost, mut best_weight) = (u32::MAX, 1);
    let mut best_draw = 0;
    for (index, contender) in contenders.iter().enumerate().filter(|(index, _)| may(*index)) {
        let draw = contender.draw(slot);
        // A lower draw costs more, so most need no logarithm: that is half of the time.
        if draw < best_draw && contender.weight <= best_weight {
            continue;
        }
        let cost = log(draw);
        if u64::from(cost) * u64::from(best_weight) < u64::from(best_cost) * u64::from(contender.weight) {
            (best, best_cost, best_weight, best_draw) = (index, cost, contender.weight, draw);
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
        let draw = contenders[owner as usize].draw(Slot::new(slot as u32));
        held[owner as usize].push((draw, slot as u32));
    }
    let mut given_up = Vec::new();
    for (held, wanting) in held.into_iter().zip(&mut wanting) {
        let share = *wanting as usize;
        *wanting = wanting.saturating_sub(held.len() as u32);
        if held.len() > share {
            let surplus = held.len() - share;
            let mut weakest: BinaryHeap<_> = held.into_iter().map(Reverse).collect();
            given_up.extend((0..surplus).filter_map(|_| weakest.pop()).map(|held| held.0.1));
        }
    }
    for slot in given_up {
        let owner = best(contenders, slot, negative_log2, |index| wanting[index] > 0);
        wanting[owner] -= 1;
        owners[slot as usize] = owner as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_never_rise_where_powers_of_two_meet() {
        for x in (1..32).flat_map(|bit| (1_u32 << bit) - 1..(1_u32 << bit) + 1) {
            assert!(negative_log2(x) >= negative_log2(x + 1), "{x}");
            assert!(negative_log2_closely(x) >= negative_log2_closely(x + 1), "{x}");
        }
    }

    #[test]
    fn logarithms_are_as_close_as_they_say() {
        for n in 0..2_000_000_u32 {
            // Most of them anywhere, some near the ends.
            let x = match n % 4 {
                0 => u32::MAX - n,
                1 => n,
                _ => mix(n),
            };
            // They take x for x + 1, which matters where it is so small that it never wins.
            let exact = -((f64::from(x) + 1.0) / 4_294_967_296.0).log2();
            let coarse = f64::from(negative_log2(x)) / f64::from(1 << 26);
            let close = f64::from(negative_log2_closely(x)) / f64::from(1 << 26);
            // Lower draws never cost less.
            let higher = x.saturating_add(1);
            assert!(negative_log2(x) >= negative_log2(higher), "{x}");
            assert!(negative_log2_closely(x) >= negative_log2_closely(higher), "{x}");
            assert!((coarse - exact).abs() < 0.01 || x < 10_000, "{x}: {coarse}, {exact}");
            assert!((close - exact).abs() < 0.001 * exact + 3e-8 || x < 10_000, "{x}: {close}, {exact}");
        }
    }
}
