//! Finds a short sequence that shows the same fault.

use super::sequence::{Event, Sequence};
use crate::scheduler::stage::{Change, ChangeKind};

/// How often a sequence is tried at most.
const TRIES: u32 = 400;

/// Leaves out what is not needed: `shows` says whether a sequence still shows the fault.
pub(super) fn shrink(sequence: &Sequence, tries: Option<u32>, shows: impl Fn(&Sequence) -> bool) -> Sequence {
    let mut left = tries.unwrap_or(TRIES);
    let mut best = sequence.clone();
    let mut better = |best: &mut Sequence, other: Sequence| {
        if left == 0 || other == *best {
            return false;
        }
        left -= 1;
        let found = shows(&other);
        if found {
            *best = other;
        }
        found
    };
    let mut length = best.events.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let mut shorter = false;
        while from < best.events.len() {
            let mut other = best.clone();
            other.events.drain(from..(from + length).min(best.events.len()));
            if better(&mut best, other) {
                shorter = true;
            } else {
                from += length;
            }
        }
        match length {
            1 if !shorter => break,
            1 => {}
            _ => length /= 2,
        }
    }
    for index in 0..best.events.len() {
        let mut other = best.clone();
        other.events[index] = simpler(best.events[index]);
        better(&mut best, other);
    }
    let mut other = best.clone();
    renumber(&mut other.events);
    better(&mut best, other);
    for slots in [1, 4, 16] {
        let mut other = best.clone();
        other.slots = slots;
        if slots < best.slots && better(&mut best, other) {
            break;
        }
    }
    best
}

/// Numbers the backends in the order in which they come.
fn renumber(events: &mut [Event]) {
    let mut seen: Vec<u16> = Vec::new();
    for event in events {
        let backend = event.backend_mut();
        let place = seen.iter().position(|known| known == backend);
        let place = place.unwrap_or_else(|| {
            seen.push(*backend);
            seen.len() - 1
        });
        *backend = place as u16 + 1;
    }
}

fn simpler(event: Event) -> Event {
    match event {
        Event::Change(Change {
            backend,
            kind: ChangeKind::Add(Some(2..)),
        }) => Event::Change(Change {
            backend,
            kind: ChangeKind::Add(Some(1)),
        }),
        Event::Connect(backend, _) => Event::Connect(backend, 1),
        Event::Close(backend, _) => Event::Close(backend, 1),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let drains = |sequence: &Sequence| {
            let drained = |event: &Event| event.to_string().starts_with("drain");
            sequence.events.iter().any(drained)
        };
        let sequence = (0..100)
            .map(|number| Sequence::new(3, number))
            .find(|sequence| drains(sequence) && sequence.events.len() > 20)
            .unwrap();
        let short = shrink(&sequence, None, drains);
        assert_eq!(
            (short.events[0].to_string().as_str(), short.events.len(), short.slots),
            ("drain b1", 1, 1)
        );
        // As it was, if nothing may be tried.
        assert_eq!(shrink(&sequence, Some(0), drains), sequence);
    }
}
