//! Things that happen to a service, one after the other, by chance.

use std::fmt;

use super::subject::Dice;
use crate::scheduler::stage::{Change, ChangeKind, Stage};
use crate::scheduler::{Candidate, Load};

/// No more backends at once.
const MANY: usize = 24;

/// Something that happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// To its backends.
    Change(Change),
    /// So many connections open at a backend.
    Connect(u16, u32),
    /// So many are over; they are still counted, as inactive.
    Close(u16, u32),
    /// Those that are over are forgotten.
    Forget(u16),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Change(change) => change.fmt(f),
            Event::Connect(backend, count) => write!(f, "connect b{backend} {count}"),
            Event::Close(backend, count) => write!(f, "close b{backend} {count}"),
            Event::Forget(backend) => write!(f, "forget b{backend}"),
        }
    }
}

impl Event {
    /// To whom it happens.
    pub(super) fn backend_mut(&mut self) -> &mut u16 {
        match self {
            Event::Change(change) => &mut change.backend,
            Event::Connect(backend, _) | Event::Close(backend, _) | Event::Forget(backend) => backend,
        }
    }
}

/// A service and what happens to it. It begins without backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) number: u32,
    pub(super) slots: u32,
    pub(super) events: Vec<Event>,
}

impl Sequence {
    /// The same numbers make the same sequence. In every other one nobody connects: shares are by weight then, whatever
    /// a scheduler looks at.
    pub(super) fn new(seed: u64, number: u32) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(number) << 32);
        // Knuth's generator needs a few steps to leave its seed behind.
        (0..4).for_each(|_| {
            dice.below(2);
        });
        let slots = [16, 17, 64, 100, 256, 256, 512, 1024][dice.below(8) as usize];
        let length = 8 + dice.below(28);
        let quiet = number % 2 == 1;
        let mut scene = Scene::default();
        let mut next = 1;
        let mut events = Vec::new();
        for _ in 0..length {
            let event = random(&mut dice, &scene, &mut next, quiet);
            scene.happen(event);
            events.push(event);
        }
        Self {
            number,
            slots,
            events,
        }
    }

    /// In which nobody ever connects.
    pub(super) fn is_quiet(&self) -> bool {
        !self
            .events
            .iter()
            .any(|event| matches!(event, Event::Connect(..)))
    }
}

fn random(dice: &mut Dice, scene: &Scene, next: &mut u16, quiet: bool) -> Event {
    let backends = scene.stage.backends();
    if backends.is_empty() || (backends.len() < MANY && dice.below(10) < 3) {
        *next += 1;
        let kind = ChangeKind::Add(Some(weight(dice)));
        return Event::Change(Change {
            backend: *next - 1,
            kind,
        });
    }
    let it = &backends[dice.below(backends.len() as u32) as usize];
    let backend = it.id.0;
    let kind = match dice.below(if quiet { 8 } else { 14 }) {
        0 | 1 => ChangeKind::Remove,
        2 | 3 => ChangeKind::Weight(weight(dice)),
        4 if it.draining => ChangeKind::Undrain,
        4 => ChangeKind::Drain,
        5 if it.down => ChangeKind::Up,
        5 => ChangeKind::Down,
        6 => ChangeKind::Weight(1 + dice.below(4)),
        7 if it.overloaded => ChangeKind::Free,
        7 => ChangeKind::Full,
        8..=11 => return Event::Connect(backend, 1 + dice.below(40)),
        12 => return Event::Close(backend, 1 + dice.below(40)),
        _ => return Event::Forget(backend),
    };
    Event::Change(Change { backend, kind })
}

/// Mostly small, as weights are.
fn weight(dice: &mut Dice) -> u32 {
    match dice.below(12) {
        0 => 0,
        1..=4 => 1,
        5..=9 => 1 + dice.below(8),
        10 => 1 + dice.below(100),
        _ => 1 + dice.below(65_535),
    }
}

/// A service as far as a sequence has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    pub(super) stage: Stage,
    /// By the number of the backend.
    loads: Vec<Load>,
}

impl Scene {
    /// What cannot happen, because what led to it was left out, does not.
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Change(change) => {
                if self.stage.apply(change).is_ok() && matches!(change.kind, ChangeKind::Add(_)) {
                    *self.load(change.backend) = Load::default();
                }
            }
            Event::Connect(backend, count) => {
                self.load(backend).active += count;
            }
            Event::Close(backend, count) => {
                let load = self.load(backend);
                let count = count.min(load.active);
                load.active -= count;
                load.inactive += count;
            }
            Event::Forget(backend) => self.load(backend).inactive = 0,
        }
    }

    fn load(&mut self, backend: u16) -> &mut Load {
        let place = usize::from(backend);
        if self.loads.len() <= place {
            self.loads.resize(place + 1, Load::default());
        }
        &mut self.loads[place]
    }

    /// The connections of the backends, in their order.
    pub(super) fn loads(&self) -> Vec<Load> {
        let of = |known: &Candidate| {
            self.loads
                .get(usize::from(known.id.0))
                .copied()
                .unwrap_or_default()
        };
        self.stage.backends().iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_differ_repeat_and_make_sense() {
        assert_eq!(Sequence::new(1, 5), Sequence::new(1, 5));
        assert_ne!(Sequence::new(1, 5).events, Sequence::new(2, 5).events);
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..200 {
            let sequence = Sequence::new(1, number);
            assert!(sequence.is_quiet() || number % 2 == 0);
            let mut scene = Scene::default();
            for event in sequence.events {
                if let Event::Change(change) = event {
                    assert_eq!(scene.stage.clone().apply(change), Ok(()));
                }
                scene.happen(event);
                seen.insert(event.to_string().split(' ').next().unwrap().to_owned());
            }
        }
        let all = "add close connect down drain forget free full remove undrain up weight";
        assert_eq!(seen.into_iter().collect::<Vec<_>>().join(" "), all);
    }
}
