//! Maglev hashing: even shares, and a change moves few clients; the same table on every director.
//!
//! Each backend has an order of its own of all slots, made from its address and port, and in turns
//! each takes the next one of its order that is still free (Eisenbud et al., "Maglev", NSDI 2016).
#![forbid(unsafe_code)]

use wvs_plugin::{
    About, Backend, Dispatch, HashKey, NO_BACKEND, Param, ParamKind, Params, Scheduler, by_identity,
    greatest_common_divisor,
};

/// The Maglev scheduler.
#[derive(Debug, Default)]
pub struct Maglev {
    /// Those with a weight, also if they take no new connections for now.
    backends: Vec<Backend>,
}

impl Scheduler for Maglev {
    const ABOUT: About = About {
        name: "mh",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Maglev hash of the client's address; a backend that drains or fails moves no other clients",
        params: &[Param {
            key: "port",
            kind: ParamKind::Boolean,
            default: "false",
            help: "hash the client's port too, so that one client's connections spread",
        }],
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let key = if params.boolean("port")? {
            HashKey::SourceAndPort
        } else {
            HashKey::Source
        };
        Ok((Self::default(), Dispatch::Hash(key)))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.backends = by_identity(backends);
        self.backends.retain(|backend| backend.weight > 0);
        Ok(())
    }

    /// Who is away for now has had its slots, so that the others have theirs; then the others take
    /// them over, in turns again.
    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let mut table = vec![NO_BACKEND; slots as usize];
        let takers = takers(&self.backends, slots);
        take_turns(&mut table, &takers);
        let (stay, away): (Vec<Taker>, Vec<Taker>) = takers.into_iter().partition(|taker| taker.usable);
        if !away.is_empty() {
            for entry in &mut table {
                if away.iter().any(|taker| taker.id == *entry) {
                    *entry = NO_BACKEND;
                }
            }
            take_turns(&mut table, &stay);
        }
        Ok(table)
    }
}

struct Taker {
    id: u32,
    usable: bool,
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
fn takers(backends: &[Backend], slots: u32) -> Vec<Taker> {
    let weights = || backends.iter().map(|backend| backend.weight);
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
    let taker = |backend: &Backend| Taker {
        id: backend.id,
        usable: backend.usable(),
        turns: turns(backend.weight, shift),
        offset: backend.hash(OFFSET_SEED) % prime,
        skip: backend.hash(SKIP_SEED) % (prime - 1) + 1,
        prime,
    };
    backends.iter().map(taker).collect()
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
                table[*next as usize] = taker.id;
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
