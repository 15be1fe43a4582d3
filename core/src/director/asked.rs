//! Answers the tc program's questions: who gets a connection of a service whose scheduler decides one by one.
//!
//! A thread of its own waits for questions and has the engine pick. Where the director is away or slow, the program
//! goes on by the hash of the client; so the thread's end harms nobody.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wvs_tc_bpf::{Question, Questions};

use super::engine::Engine;
use super::server::Step;
use crate::scheduler::{Dispatch, NewFlow};

/// For how long the program asks without having heard from us; between two beats lies an eighth of it. Less than the
/// second after which a client repeats itself (RFC 6298), so that the repetition is not lost, too.
const PATIENCE: Duration = Duration::from_millis(800);
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
    let mut in_hand = None;
    while in_hand.is_none() && !stop.load(Ordering::Relaxed) {
        match questions.wait(TURN) {
            Ok(Some(question)) => in_hand = answer(&questions, question, steps, stop),
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

/// Has the engine pick. Where nobody is asked any more, the packet goes on by what the program does instead. Gives the
/// question back where the engine is away.
fn answer(questions: &Questions, question: Question, steps: &Steps, stop: &AtomicBool) -> Option<Question> {
    let Some(picked) = pick(&question, steps, stop) else {
        return Some(question);
    };
    let answered = match picked {
        Some((backend, generation)) => questions.answer(&question, backend, generation),
        None => questions.let_go(&question),
    };
    if let Err(error) = answered {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot answer the program");
    }
    None
}

fn pick(question: &Question, steps: &Steps, stop: &AtomicBool) -> Option<Option<(u16, u16)>> {
    let (picked, pick) = mpsc::sync_channel(1);
    let (service, flow) = (question.service, flow(question));
    let step: Step = Box::new(move |engine| {
        let _ = picked.send(engine.pick_by_number(service, &flow));
    });
    steps.upgrade()?.send(step).ok()?;
    loop {
        match pick.recv_timeout(GLANCE) {
            Ok(picked) => return Some(picked),
            // Who has it stop waits for it, and picks nothing.
            Err(RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => {}
            Err(_) => return None,
        }
    }
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

    /// Who gets a connection of the service of a number: its id and generation, or the id 0 where nobody does. None where
    /// the program has ceased to ask for it: the service may have gone, or have a scheduler that cannot be asked.
    fn pick_by_number(&mut self, service: u32, flow: &NewFlow) -> Option<(u16, u16)> {
        let table = &self.tc.installed.services.get(&service)?.table;
        if table.dispatch != Dispatch::Flow {
            return None;
        }
        let key = self.tc.numbers.pool(service)?.clone();
        let pick = self.pick(&key, flow, Instant::now())?;
        Some(pick.backend.map_or((0, 0), |id| (id.0, self.ids.generation(id))))
    }
}
