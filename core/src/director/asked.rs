//! Answers the tc program's questions: who gets a connection of a service whose scheduler decides one by one.
//!
//! A thread of its own waits for questions and has the engine pick. Where the director is away or slow, the program
//! goes on by the hash of the client; so the thread's end harms nobody.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wvs_tc_bpf::{Question, Questions};

use super::engine::Engine;
use super::server::Step;
use crate::scheduler::{Dispatch, NewFlow};

/// For how long the program asks without having heard from us. Between two beats lies a third of it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon the thread sees that it is not wanted any more.
const TURN: Duration = Duration::from_millis(200);

/// The way to the engine; it does not keep the engine going.
pub type Steps = Weak<Sender<Step>>;

/// The thread that answers.
#[derive(Debug)]
pub struct Answering {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Answering {
    fn start(questions: Questions, steps: Steps) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("answers".into())
            .spawn(move || answer_all(questions, &steps, &stopped))?;
        Ok(Answering { stop, thread })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn answer_all(mut questions: Questions, steps: &Steps, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match questions.wait(TURN) {
            Ok(Some(question)) => {
                let Some(steps) = steps.upgrade() else { return };
                answer(&questions, question, &steps);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot take the program's questions"
                );
                return;
            }
        }
    }
}

/// Has the engine pick. A connection that nobody takes is not answered: its client asks again.
fn answer(questions: &Questions, question: Question, steps: &Sender<Step>) {
    let (picked, pick) = mpsc::sync_channel(1);
    let (service, flow) = (question.service, flow(&question));
    let step: Step = Box::new(move |engine| {
        let _ = picked.send(engine.pick_by_number(service, &flow));
    });
    if steps.send(step).is_err() {
        return;
    }
    let Ok(Some((backend, generation))) = pick.recv() else {
        return;
    };
    if let Err(error) = questions.answer(&question, backend, generation) {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot answer the program");
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
        let alive = self.answering.as_ref().is_some_and(|it| !it.thread.is_finished());
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

    /// Who gets a connection of the service of a number: its id and generation.
    fn pick_by_number(&mut self, service: u32, flow: &NewFlow) -> Option<(u16, u16)> {
        let key = self.tc.numbers.pool(service)?.clone();
        let id = self.pick(&key, flow, Instant::now())?.backend?;
        Some((id.0, self.ids.generation(id)))
    }
}
