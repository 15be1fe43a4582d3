//! Answers the tc program's questions: who gets a connection of a service whose scheduler decides one by one.
//!
//! A thread of its own waits for questions and has the engine pick. Where the director is away or slow, the program
//! goes on by the hash of the client; so the thread's end harms nobody.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wvs_tc_bpf::layout::ANSWER_NOBODY;
use wvs_tc_bpf::{Question, Questions};

use super::engine::Engine;
use super::server::Step;
use crate::scheduler::{BackendId, Dispatch, NewFlow};

/// For how long the program asks without having heard from us; between two beats lies an eighth of it. Less than the
/// second after which a client repeats itself (RFC 6298), so that the repetition is not lost, too.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a connection waits for the engine.
const LONGEST: Duration = Duration::from_millis(500);
/// How soon the thread sees that it is not wanted any more, while nobody asks and while the engine picks.
const TURN: Duration = Duration::from_millis(50);
const GLANCE: Duration = Duration::from_millis(10);

/// The way to the engine; it does not keep the engine going.
pub type Steps = Weak<Sender<Step>>;

/// The thread that answers.
#[derive(Debug)]
pub struct Answering {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    fn start(questions: Questions, steps: Steps) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("answers".into())
            .spawn(move || answer_all(questions, &steps, &stopped))?;
        let thread = Some(thread);
        Ok(Answering { stop, thread })
    }

    fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|it| !it.is_finished())
    }
}

impl Drop for Answering {
    /// Waits until nobody waits for an answer any more.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer_all(mut questions: Questions, steps: &Steps, stop: &AtomicBool) {
    let (mut in_hand, mut desk) = (
        None,
        Desk {
            steps,
            stop,
            late: None,
        },
    );
    while in_hand.is_none() && !stop.load(Ordering::Relaxed) {
        match questions.wait(TURN) {
            Ok(Some(question)) => in_hand = desk.answer(&questions, question),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot take the program's questions"
                );
                break;
            }
        }
    }
    if let Err(error) = questions.end(in_hand) {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "connections that waited have to be begun again by their clients");
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picked {
    /// A backend of that generation gets it.
    Backend(u16, u16),
    /// It is refused.
    Nobody,
    /// The engine does something else: the hash chooses.
    Undecided,
    /// The program has ceased to ask for it, as the service may have gone, or have a scheduler that cannot be asked.
    Unasked,
}

/// Where questions are answered.
struct Desk<'a> {
    steps: &'a Steps,
    stop: &'a AtomicBool,
    /// An answer that did not come in time. Until it does, nobody waits for another.
    late: Option<Receiver<Picked>>,
}

impl Desk<'_> {
    /// Has the engine pick. Gives the question back where that is away.
    fn answer(&mut self, questions: &Questions, question: Question) -> Option<Question> {
        let Some(picked) = self.pick(question.service, flow(&question)) else {
            return Some(question);
        };
        let answered = match picked {
            Picked::Backend(id, generation) => questions.answer(&question, id, generation),
            Picked::Nobody => questions.answer(&question, 0, ANSWER_NOBODY),
            Picked::Undecided => questions.leave(&question),
            Picked::Unasked => questions.let_go(&question),
        };
        if let Err(error) = answered {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot answer the program");
        }
        None
    }

    fn pick(&mut self, service: u32, flow: NewFlow) -> Option<Picked> {
        if let Some(late) = &self.late
            && late.try_recv() == Err(TryRecvError::Empty)
        {
            return Some(Picked::Undecided);
        }
        self.late = None;
        let (picked, pick) = mpsc::sync_channel(1);
        let gone = Arc::new(AtomicBool::new(false));
        let step = step(service, flow, picked, gone.clone());
        self.steps.upgrade()?.send(step).ok()?;
        let begun = Instant::now();
        loop {
            match pick.recv_timeout(GLANCE) {
                Ok(picked) => return Some(picked),
                // Who has it stop waits for it, and picks nothing.
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::Relaxed) => return None,
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < LONGEST => {}
                Err(RecvTimeoutError::Timeout) => {
                    gone.store(true, Ordering::Relaxed);
                    self.late = Some(pick);
                    return Some(Picked::Undecided);
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

/// Picks for a connection, unless it is gone when its turn comes.
fn step(service: u32, flow: NewFlow, picked: SyncSender<Picked>, gone: Arc<AtomicBool>) -> Step {
    Box::new(move |engine| {
        if !gone.load(Ordering::Relaxed) {
            let _ = picked.send(engine.pick_by_number(service, &flow).unwrap_or(Picked::Unasked));
        }
    })
}

fn flow(question: &Question) -> NewFlow {
    let end = |(address, port): (IpAddr, u16)| SocketAddr::new(address, port);
    NewFlow::new(end(question.client()), end(question.listener()), question.key.proto, question.mark)
}

impl Engine {
    /// Starts and stops answering, as schedulers come and go that decide for each connection.
    pub(super) fn answer_questions(&mut self) {
        let wanted = self
            .tc
            .desired
            .services
            .values()
            .any(|it| it.table.dispatch == Dispatch::Flow);
        let alive = self.answering.as_ref().is_some_and(Answering::is_alive);
        match (wanted, alive) {
            (true, false) if self.steps.strong_count() > 0 => self.begin_answering(),
            (false, true) => self.answering = None,
            _ => {}
        }
    }

    fn begin_answering(&mut self) {
        let begun = match self.doors.tc.questions(PATIENCE) {
            Ok(Some(questions)) => {
                Answering::start(questions, self.steps.clone()).map_err(|error| error.to_string())
            }
            Ok(None) => return,
            Err(error) => Err(crate::chain(&error)),
        };
        match begun {
            Ok(answering) => self.answering = Some(answering),
            Err(error) => tracing::error!(error, "cannot answer the program; the hash of the client chooses"),
        }
    }

    /// Who gets a connection of the service of a number; none where the program does not ask for it.
    fn pick_by_number(&mut self, service: u32, flow: &NewFlow) -> Option<Picked> {
        let table = &self.tc.installed.services.get(&service)?.table;
        if table.dispatch != Dispatch::Flow {
            return None;
        }
        let key = self.tc.numbers.pool(service)?.clone();
        let Some(pick) = self.pick(&key, flow, Instant::now()) else {
            return Some(Picked::Undecided);
        };
        let generation = |id: BackendId| Picked::Backend(id.0, self.ids.generation(id));
        Some(pick.backend.map_or(Picked::Nobody, generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody waits for an engine that one has waited for in vain, until that has come to it.
    #[test]
    fn a_busy_engine_is_waited_for_once() {
        let (steps, todo) = mpsc::channel();
        let steps = Arc::new(steps);
        let (ways, stop) = (Arc::downgrade(&steps), AtomicBool::new(false));
        let mut desk = Desk {
            steps: &ways,
            stop: &stop,
            late: None,
        };
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut pick = || desk.pick(1, NewFlow::new(nowhere, nowhere, 6, 0));
        let begun = Instant::now();
        assert_eq!(pick(), Some(Picked::Undecided));
        assert!(begun.elapsed() >= LONGEST);
        for _ in 0..100 {
            assert_eq!(pick(), Some(Picked::Undecided));
        }
        assert_eq!(todo.try_iter().count(), 1);
        // It has come to it, and is asked again.
        assert_eq!(pick(), Some(Picked::Undecided));
        assert_eq!(todo.try_iter().count(), 1);
        // Who stops waits for nothing, and nobody is asked who is gone.
        stop.store(true, Ordering::Relaxed);
        assert_eq!(pick(), None);
        drop((steps, todo));
        assert_eq!(pick(), None);
    }
}
