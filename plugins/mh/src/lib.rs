//! Maglev hashing: even shares, and a change moves few clients; the same table on every director.
//!
//! Each backend has an order of its own of all slots, made from its address and port, and in turns
//! each takes the next one of its order that is still free (Eisenbud et al., "Maglev", NSDI 2016).
#![forbid(unsafe_code)]

use wvs_plugin::{
    About, Backend, Dispatch, FALLBACK, HashKey, NO_BACKEND, Param, ParamKind, Params, Scheduler,
    by_identity, greatest_common_divisor, stand_in,
};

/// The Maglev scheduler.
#[derive(Debug, Default)]
pub struct Maglev {
    /// Those that have places, also if they take no new connections for now.
    backends: Vec<Backend>,
    /// By which weight they have them: the last one that was not 0.
    weights: Vec<u32>,
    fallback: bool,
}

impl Scheduler for Maglev {
    const ABOUT: About = About {
        name: "mh",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Maglev hash of the client's address; a backend that drains, fails or gets weight 0 moves no other clients",
        params: &[
            Param {
                key: "port",
                kind: ParamKind::Boolean,
                default: "false",
                help: "hash the client's port too, so that one client's connections spread",
            },
            FALLBACK,
        ],
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let key = if params.boolean("port")? {
            HashKey::SourceAndPort
        } else {
            HashKey::Source
        };
        let scheduler = Self {
            fallback: params.boolean(FALLBACK.key)?,
            ..Self::default()
        };
        Ok((scheduler, Dispatch::Hash(key)))
    }

    /// As in LVS: at weight 0 a backend keeps its places, so that the others keep theirs. Who never had a weight has none.
    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        let before = std::mem::take(&mut self.backends)
            .into_iter()
            .zip(self.weights.drain(..));
        let remembered: Vec<(u32, u32)> = before.map(|(backend, weight)| (backend.id, weight)).collect();
        let last = |id| {
            remembered
                .iter()
                .find(|(known, _)| *known == id)
                .map(|(_, weight)| *weight)
        };
        for backend in by_identity(backends) {
            let weight = match backend.weight {
                0 => last(backend.id),
                weight => Some(weight),
            };
            if let Some(weight) = weight {
                self.backends.push(backend);
                self.weights.push(weight);
            }
        }
        Ok(())
    }

    /// Who is away for now has its places, so that the others have theirs.
    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let mut places = vec![NO_BACKEND; slots as usize];
        take_turns(&mut places, &takers(&self.backends, &self.weights, slots));
        Ok(stand_in(&self.backends, places, self.fallback))
    }
}

struct Taker {
    index: u32,
    /// How many slots it takes when it is its turn.
    turns: u32,
    /// Its order of the slots: every `skip`-th of `prime`, from `offset` on.
    offset: u32,
    skip: u32,
    prime: u32,
}

/// Weights become turns as in LVS: without their common divisor, and shifted until the heaviest has
/// half as many bits as the number of slots; and further if all turns together are more than all
/// slots, or the last ones would get nothing.
fn takers(backends: &[Backend], weights: &[u32], slots: u32) -> Vec<Taker> {
    let weights = || weights.iter().copied();
    let divisor = weights().fold(0, greatest_common_divisor).max(1);
    let heaviest = weights().max().unwrap_or(0) / divisor;
    let bits = |number: u32| u32::BITS - number.leading_zeros();
    let mut shift = bits(heaviest).saturating_sub(bits(slots.saturating_sub(1)) / 2);
    let turns = |weight: u32, shift: u32| (weight / divisor).checked_shr(shift).unwrap_or(0).max(1);
    let sum = |shift| {
        weights()
            .map(|weight| u64::from(turns(weight, shift)))
            .sum::<u64>()
    };
    while shift < bits(heaviest) && sum(shift) > u64::from(slots) {
        shift += 1;
    }
    let prime = prime_from(slots);
    let taker = |((index, backend), weight): ((u32, &Backend), u32)| Taker {
        index,
        turns: turns(weight, shift),
        offset: backend.hash(OFFSET_SEED) % prime,
        skip: backend.hash(SKIP_SEED) % (prime - 1) + 1,
        prime,
    };
    (0..).zip(backends).zip(weights()).map(taker).collect()
}

const OFFSET_SEED: u32 = 0x6d61_676c;
const SKIP_SEED: u32 = 0x6576_6d68;

/// Fills the empty slots.
fn take_turns(table: &mut [u32], takers: &[Taker]) {
    let mut free = table.iter().filter(|entry| **entry == NO_BACKEND).count();
    let mut next: Vec<u32> = takers.iter().map(|taker| taker.offset).collect();
    if takers.is_empty() {
        return;
    }
    loop {
        for (taker, next) in takers.iter().zip(&mut next) {
            for _ in 0..taker.turns {
                if free == 0 {
                    return;
                }
                // Slots from the end of the table to the prime do not exist.
                while table.get(*next as usize) != Some(&NO_BACKEND) {
                    *next = (*next + taker.skip) % taker.prime;
                }
                table[*next as usize] = taker.index;
                free -= 1;
            }
        }
    }
}

/// The first prime number from 3 on that is not below this one: every step below it leads round all numbers.
fn prime_from(number: u32) -> u32 {
    let is_prime = |n: &u32| (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (number.max(3)..).find(is_prime).unwrap_or(number)
}

wvs_plugin::export!(Maglev);
