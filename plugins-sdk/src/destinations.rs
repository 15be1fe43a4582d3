//! What a scheduler remembers of the addresses that clients have asked for, as LVS's locality-based ones do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Address, mix};

/// How often a memory is gone through, in seconds.
const CHECK: f64 = 60.0;
/// So long without a lack of room, and everything that has expired goes.
const FULL_CHECK: f64 = 30.0 * CHECK;
/// What has not been asked for so long may go where room is lacking.
const IDLE: f64 = 6.0 * CHECK;
/// The end of a list.
const NONE: u32 = u32::MAX;

/// A memory of destinations, and of when each was last asked for.
///
/// Once a minute, where there are more than `size`, some of those go that nobody has asked for in six minutes, the
/// longest unused first. After half an hour without such a need, those go that nobody has asked for in the expiration
/// time. At twice `size` nothing new is remembered: destinations come from the network, and memory is limited.
///
/// All memory is taken at the beginning. A table that grows would be copied while a connection waits.
#[derive(Clone, Debug)]
pub struct Destinations<V> {
    size: usize,
    /// The first entry of each bucket.
    buckets: Vec<u32>,
    entries: Vec<Entry<V>>,
    /// The first entry that is free.
    free: u32,
    count: usize,
    /// Makes it a matter of luck who shares a bucket.
    seed: u32,
    checked: f64,
    /// Seconds without a lack of room since the last full check.
    quiet: f64,
}

#[derive(Clone, Debug)]
struct Entry<V> {
    key: Address,
    next: u32,
    /// Asked for since the last check. A look at the clock would cost half a pick.
    used: bool,
    last_used: f64,
    value: Option<V>,
}

impl<V> Destinations<V> {
    /// Begins to remember, some `size` destinations. `now` is [`host::now`](crate::host::now).
    #[must_use]
    pub fn new(size: u32, seed: u32, now: f64) -> Self {
        let size = size.max(1);
        let most = (size as usize).saturating_mul(2);
        Self {
            size: size as usize,
            buckets: vec![NONE; (size as usize).next_power_of_two()],
            entries: Vec::with_capacity(most),
            free: NONE,
            count: 0,
            seed,
            checked: now,
            quiet: 0.0,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// What is remembered of a destination that a client asks for.
    pub fn recall(&mut self, destination: Address) -> Option<&mut V> {
        let mut at = self.buckets[self.bucket(destination)];
        while at != NONE {
            let entry = &self.entries[at as usize];
            if same(entry.key, destination) {
                let entry = &mut self.entries[at as usize];
                entry.used = true;
                return entry.value.as_mut();
            }
            at = entry.next;
        }
        None
    }

    /// Remembers something of a destination that is not remembered yet, if there is room.
    pub fn remember(&mut self, destination: Address, value: V) {
        let most = self.size.saturating_mul(2);
        if self.count >= most {
            return;
        }
        let bucket = self.bucket(destination);
        let entry = Entry {
            key: destination,
            next: self.buckets[bucket],
            used: true,
            last_used: self.checked,
            value: Some(value),
        };
        let at = match self.free {
            NONE => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
            free => {
                self.free = self.entries[free as usize].next;
                self.entries[free as usize] = entry;
                free
            }
        };
        self.buckets[bucket] = at;
        self.count += 1;
    }

    /// Forgets what is to be forgotten, if it is time to look. `expiration` is in seconds.
    pub fn check(&mut self, now: f64, expiration: f64) {
        let passed = now - self.checked;
        if passed < CHECK {
            return;
        }
        self.checked = now;
        for entry in self.entries.iter_mut().filter(|entry| entry.used) {
            (entry.used, entry.last_used) = (false, now);
        }
        if self.count > self.size {
            self.make_room(now);
            return;
        }
        self.quiet += passed;
        if self.quiet >= FULL_CHECK {
            self.quiet = 0.0;
            for at in 0..self.entries.len() as u32 {
                if now - self.entries[at as usize].last_used >= expiration {
                    self.forget(at);
                }
            }
        }
    }

    /// A third more than there are too many go, if they have been idle, but not all at once.
    fn make_room(&mut self, now: f64) {
        let goal = ((self.count - self.size) * 4 / 3).min(self.size / 2).max(1);
        let idle = (0..).zip(&self.entries).filter_map(|(at, entry)| {
            let idle = entry.value.is_some() && now - entry.last_used >= IDLE;
            // Times are not negative, and the bits of such numbers are in their order.
            idle.then_some(Reverse((entry.last_used.to_bits(), words(entry.key), at)))
        });
        let mut idle: BinaryHeap<_> = idle.collect();
        for _ in 0..goal {
            match idle.pop() {
                Some(Reverse((_, _, at))) => self.forget(at),
                None => return,
            }
        }
    }

    fn forget(&mut self, at: u32) {
        let entry = &self.entries[at as usize];
        if entry.value.is_none() {
            return;
        }
        let (bucket, next) = (self.bucket(entry.key), entry.next);
        if self.buckets[bucket] == at {
            self.buckets[bucket] = next;
        } else {
            let mut before = self.buckets[bucket];
            while self.entries[before as usize].next != at {
                before = self.entries[before as usize].next;
            }
            self.entries[before as usize].next = next;
        }
        let entry = &mut self.entries[at as usize];
        (entry.value, entry.next) = (None, self.free);
        self.free = at;
        self.count -= 1;
    }

    fn bucket(&self, key: Address) -> usize {
        let hash = words(key).iter().fold(self.seed, |hash, word| mix(hash ^ word));
        hash as usize & (self.buckets.len() - 1)
    }
}

fn words(address: Address) -> [u32; 4] {
    let Address { a, b, c, d } = address;
    [a, b, c, d]
}

/// Most addresses differ in their last word.
fn same(one: Address, other: Address) -> bool {
    (one.d, one.c, one.b, one.a) == (other.d, other.c, other.b, other.a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(d: u32) -> Address {
        Address {
            a: 0,
            b: 0,
            c: 0xffff,
            d,
        }
    }

    /// Half of the addresses are asked for, and at each check some go.
    #[test]
    fn it_remembers_what_a_map_would() {
        let mut known = Destinations::new(40, 7, 0.0);
        let mut model: std::collections::BTreeMap<u32, (u32, f64)> = Default::default();
        let mut random = 1_u32;
        let mut next = |below: u32| {
            random = mix(random.wrapping_add(0x9e37_79b9));
            random % below
        };
        let (mut forgotten, mut full, mut now) = (0, 0, 0.0);
        for minute in 1..3000 {
            for _ in 0..next(if minute % 50 == 0 { 400 } else { 30 }) {
                // Most of the time the same ones, now and then a crowd.
                let at = next(if minute % 50 == 0 { 200 } else { 60 }) * 0x0100_0001;
                let room = model.len() < 80;
                match (known.recall(address(at)), model.get_mut(&at)) {
                    (None, None) if room => {
                        let value = next(1000);
                        known.remember(address(at), value);
                        model.insert(at, (value, f64::INFINITY));
                    }
                    (None, None) => {
                        full += 1;
                        known.remember(address(at), 0);
                        assert!(known.recall(address(at)).is_none());
                    }
                    (Some(value), Some(expected)) => {
                        assert_eq!(*value, expected.0);
                        expected.1 = f64::INFINITY;
                    }
                    (found, expected) => panic!("minute {minute}: {found:?}, not {expected:?}"),
                }
            }
            now += CHECK;
            known.check(now, 1e9);
            let before = model.len();
            for entry in model.values_mut().filter(|entry| entry.1 == f64::INFINITY) {
                entry.1 = now;
            }
            if before > 40 {
                let mut idle: Vec<(u64, u32)> = model
                    .iter()
                    .filter(|(_, entry)| now - entry.1 >= IDLE)
                    .map(|(at, entry)| (entry.1.to_bits(), *at))
                    .collect();
                idle.sort_unstable();
                idle.truncate(((before - 40) * 4 / 3).min(20));
                for (_, at) in idle {
                    model.remove(&at);
                }
            }
            forgotten += before - model.len();
            assert_eq!(known.count(), model.len());
        }
        assert!(forgotten > 100 && full > 0, "{forgotten} {full}");
    }

    #[test]
    fn it_never_grows_beyond_twice_its_size() {
        let mut known = Destinations::new(8, 1, 0.0);
        for d in 0..100 {
            known.remember(address(d), d);
        }
        assert_eq!(known.count(), 16);
        assert_eq!((known.recall(address(15)).copied(), known.recall(address(16))), (Some(15), None));
        // Those that were asked for stay, whatever the need.
        for minute in 1..=6 {
            known.check(60.0 * f64::from(minute), 1e9);
        }
        assert_eq!(known.count(), 16);
        known.recall(address(3));
        known.check(420.0, 1e9);
        assert_eq!((known.count(), known.recall(address(3)).copied()), (12, Some(3)));
        known.remember(address(200), 200);
        assert_eq!(known.recall(address(200)).copied(), Some(200));
    }

    #[test]
    fn what_has_expired_goes_each_half_hour() {
        let mut known = Destinations::new(8, 1, 0.0);
        known.remember(address(1), 'a');
        known.remember(address(2), 'b');
        for minute in 1..30 {
            known.recall(address(2));
            known.check(60.0 * f64::from(minute), 600.0);
            assert_eq!(known.count(), 2);
        }
        known.check(1800.0, 600.0);
        assert_eq!((known.count(), known.recall(address(2)).copied()), (1, Some('b')));
        // After a long silence the first request counts, although the clock was not looked at.
        known.recall(address(2));
        known.check(100_000.0, 600.0);
        assert_eq!(known.count(), 1);
        known.check(102_000.0, 600.0);
        assert_eq!(known.count(), 0);
    }
}
