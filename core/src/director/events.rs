//! What happens, told to whoever listens.
//!
//! Nobody is waited for: a reader that is too slow loses the oldest events and is told how many. Packets are sampled
//! only while somebody wants samples, by the smallest share that anybody asked for; who asked for fewer gets fewer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt};

use crate::api::{Event, Happening};

/// How many of the last events are kept for those who come later. Samples are not among them.
const RECENT: usize = 100;
/// How many events wait for the slowest reader: more than there are samples at one look.
const WAITING: usize = 4096;

/// Where events are told and heard.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Mutex<Board>>);

#[derive(Debug)]
struct Board {
    recent: VecDeque<Event>,
    /// None once the director stops: no stream must keep it.
    sender: Option<broadcast::Sender<Event>>,
    /// The shares that readers want, by reader.
    samplers: BTreeMap<u64, u32>,
    next: u64,
}

impl Default for Board {
    fn default() -> Self {
        Board {
            recent: VecDeque::new(),
            sender: Some(broadcast::Sender::new(WAITING)),
            samplers: BTreeMap::new(),
            next: 0,
        }
    }
}

impl Events {
    fn board(&self) -> MutexGuard<'_, Board> {
        // Nothing that can panic is done while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that something happened now.
    pub fn say(&self, what: Happening) {
        let event = Event { time: now(), what };
        let mut board = self.board();
        if !event.what.is_of_samples() {
            if board.recent.len() == RECENT {
                board.recent.pop_front();
            }
            board.recent.push_back(event.clone());
        }
        if let Some(sender) = &board.sender {
            // Where nobody listens there is nobody to tell.
            let _ = sender.send(event);
        }
    }

    /// The last events, the oldest first.
    pub fn recent(&self) -> Vec<Event> {
        self.board().recent.iter().cloned().collect()
    }

    /// The last events and then all that come, until [`close`](Events::close). With `sample`, one in so many packets
    /// is among them.
    pub fn follow(&self, sample: Option<u32>) -> impl Stream<Item = Event> + Send + 'static {
        let mut board = self.board();
        let recent: Vec<_> = board.recent.iter().cloned().collect();
        let receiver = match &board.sender {
            Some(sender) => sender.subscribe(),
            // A channel without a sender ends at once.
            None => broadcast::Sender::new(1).subscribe(),
        };
        let reader = board.next;
        board.next += 1;
        if let Some(every) = sample {
            board.samplers.insert(reader, every.max(1));
        }
        drop(board);
        let wants = Wants {
            events: self.clone(),
            reader,
        };
        let mut thinner = Thinner::new(sample);
        let live = BroadcastStream::new(receiver).filter_map(move |heard| {
            let _lives_as_long_as_the_stream = &wants;
            match heard {
                Ok(event) => thinner.thin(event),
                Err(BroadcastStreamRecvError::Lagged(events)) => Some(Event {
                    time: now(),
                    what: Happening::Missed { events },
                }),
            }
        });
        tokio_stream::iter(recent).chain(live)
    }

    /// One in how many packets is to be sampled; none where nobody listens.
    pub fn sampling(&self) -> Option<u32> {
        self.board().samplers.values().copied().min()
    }

    /// Ends all streams.
    pub fn close(&self) {
        self.board().sender = None;
    }
}

/// A reader's wish for samples, for as long as it reads.
struct Wants {
    events: Events,
    reader: u64,
}

impl Drop for Wants {
    fn drop(&mut self) {
        self.events.board().samplers.remove(&self.reader);
    }
}

/// Leaves a reader as many samples as it asked for.
struct Thinner {
    every: Option<u32>,
    /// Packets that were sampled for others and not shown.
    passed: u32,
}

impl Thinner {
    fn new(every: Option<u32>) -> Self {
        Thinner { every, passed: 0 }
    }

    fn thin(&mut self, mut event: Event) -> Option<Event> {
        let wanted = self.every.is_some() || !event.what.is_of_samples();
        let Some(sample) = event.what.sample_mut() else {
            return wanted.then_some(event);
        };
        let every = self.every?;
        self.passed = self.passed.saturating_add(sample.one_in);
        if self.passed < every {
            return None;
        }
        sample.one_in = std::mem::take(&mut self.passed);
        Some(event)
    }
}

/// As RFC 3339 has it, in milliseconds.
fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Sample;

    fn repaired(steps: usize) -> Happening {
        Happening::Repaired { steps }
    }

    fn sample(one_in: u32) -> Happening {
        Happening::Scheduled(Sample {
            protocol: "tcp".into(),
            client: "192.0.2.7:1".parse().unwrap(),
            target: "10.0.0.100:80".parse().unwrap(),
            service: None,
            backend: None,
            interface: "eth0".into(),
            mark: 0,
            length: 60,
            one_in,
        })
    }

    /// What a stream has for its reader until it ends.
    fn all(stream: impl Stream<Item = Event> + Send + 'static) -> Vec<Happening> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let events: Vec<Event> = runtime.block_on(stream.collect());
        events.into_iter().map(|event| event.what).collect()
    }

    #[test]
    fn who_comes_late_hears_the_last_hundred() {
        let events = Events::default();
        (0..250).for_each(|steps| events.say(repaired(steps)));
        events.say(sample(1));
        let recent = events.recent();
        assert_eq!((recent.len(), &recent[0].what), (100, &repaired(150)));
        let stream = events.follow(None);
        events.say(repaired(7));
        events.close();
        let heard = all(stream);
        assert_eq!((heard.len(), &heard[100]), (101, &repaired(7)));
        assert_eq!(all(events.follow(Some(1))).len(), 100);
    }

    #[test]
    fn who_is_too_slow_is_told_how_much_was_missed() {
        let events = Events::default();
        let stream = events.follow(None);
        (0..WAITING + 5).for_each(|steps| events.say(repaired(steps)));
        events.close();
        let heard = all(stream);
        assert_eq!(heard[..2], [Happening::Missed { events: 5 }, repaired(5)]);
        assert_eq!(heard.len(), WAITING + 1);
    }

    #[test]
    fn samples_are_taken_for_those_who_want_them_only() {
        let events = Events::default();
        assert_eq!(events.sampling(), None);
        let (none, few, many) = (events.follow(None), events.follow(Some(10)), events.follow(Some(3)));
        assert_eq!(events.sampling(), Some(3));
        (0..40).for_each(|_| events.say(sample(3)));
        events.say(Happening::Unreported { packets: 5 });
        drop(many);
        assert_eq!(events.sampling(), Some(10));
        events.close();
        assert_eq!(all(none), []);
        let heard = all(few);
        // 120 packets, and four samples of three make the first ten.
        assert_eq!(heard[..10], vec![sample(12); 10]);
        assert_eq!(heard[10..], [Happening::Unreported { packets: 5 }]);
        assert_eq!(events.recent(), []);
        assert_eq!(events.sampling(), None);
    }
}
