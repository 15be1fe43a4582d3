//! Answers for connections that wait in a queue of nftables: who gets them, of services whose scheduler decides one by
//! one.
//!
//! A thread of its own takes what waits and has the engine pick, for many at once. Where the engine does something else
//! for too long, what waits goes on without an answer, and the service's slots choose; the same where the queue is full,
//! and where no director is there at all. One that is halted still has its queue: so the engine tells the kernel all the
//! time that it is there, and where it has not for a while, nobody waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::asked::Steps;
use super::engine::Engine;
use super::server::Step;
use crate::config::Config;
use crate::dispatch::DispatchTable;
use crate::kernel::NftError;
use crate::kernel::queue::{AT_ONCE, Queue, QueueError, ROOM, Verdict, Waiting};
use crate::plan::{Op, Plan};
use crate::pool::PoolKey;
use crate::ruleset::build::{asked_service, asks};
use crate::ruleset::{Family, Key, MapName, Protocol, Table};
use crate::scheduler::NewFlow;

/// How long a connection waits for the engine. A client's first repetition comes after a second (RFC 6298).
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is seen meanwhile whether the queue is to be left.
const GLANCE: Duration = Duration::from_millis(10);
/// How often the kernel is told that we are there: thrice in the time after which it asks no more.
const BEAT: Duration = Duration::from_millis(250);
/// How often a queue that somebody else has is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The queue of a director, as far as it has one.
#[derive(Debug, Default)]
pub struct Queued {
    thread: Option<Answering>,
    /// Why there is none, though one is wanted.
    trouble: Option<String>,
    next: Option<Instant>,
    /// When the kernel is to be told next that we are there.
    beat: Option<Instant>,
}

impl Queued {
    /// Why nobody is asked, where somebody should be.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn number(&self) -> Option<u16> {
        let answering = self.thread.as_ref()?;
        let thread = answering.thread.as_ref()?;
        (!thread.is_finished()).then_some(answering.number)
    }
}

/// The thread that answers for a queue.
#[derive(Debug)]
struct Answering {
    number: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    fn start(number: u16, queue: Box<dyn Queue>, steps: Steps) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("queue".into()).spawn(move || {
            let mut answers = Answers::new(queue, steps, stopped);
            let ended = answers.serve().and_then(|()| answers.end());
            if let Err(error) = ended {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the queue ended; the slots choose");
            }
        })?;
        let thread = Some(thread);
        Ok(Answering { number, stop, thread })
    }
}

impl Drop for Answering {
    /// Waits until the queue is empty, so that nothing in it is lost, and until another may take it.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What of connections was decided while more of their packets may wait: a client that repeats itself is one
/// connection, and all of its packets go one way. What was decided before the queue last ran dry, or before as many
/// packets as find room in it, is over.
#[derive(Debug, Default)]
struct Decided {
    recent: HashMap<NewFlow, Verdict>,
    before: HashMap<NewFlow, Verdict>,
}

impl Decided {
    fn of(&self, flow: &NewFlow) -> Option<Verdict> {
        self.recent.get(flow).or_else(|| self.before.get(flow)).copied()
    }

    fn remember(&mut self, flow: NewFlow, verdict: Verdict) {
        self.recent.insert(flow, verdict);
    }

    /// A batch is over, after which the queue was empty or not.
    fn turn(&mut self, is_empty: bool) {
        if is_empty || self.recent.len() >= ROOM {
            self.before = std::mem::take(&mut self.recent);
        }
    }
}

/// What the thread works with.
struct Answers {
    queue: Box<dyn Queue>,
    steps: Steps,
    /// Whether the queue is to be left. The engine waits for that, and picks nothing.
    stop: Arc<AtomicBool>,
    decided: Decided,
    /// An answer that did not come in time. Until it does, nobody waits for another.
    late: Option<Receiver<Vec<Verdict>>>,
}

impl Answers {
    fn new(queue: Box<dyn Queue>, steps: Steps, stop: Arc<AtomicBool>) -> Self {
        Self {
            queue,
            steps,
            stop,
            decided: Decided::default(),
            late: None,
        }
    }

    fn serve(&mut self) -> Result<(), QueueError> {
        while !self.is_to_stop() && self.steps.strong_count() > 0 {
            let waiting = self.queue.wait()?;
            self.answer(&waiting)?;
        }
        Ok(())
    }

    fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn answer(&mut self, waiting: &[Waiting]) -> Result<(), QueueError> {
        let mut asked: Vec<NewFlow> = Vec::new();
        for flow in waiting.iter().filter_map(|it| it.flow) {
            if self.decided.of(&flow).is_none() && !asked.contains(&flow) {
                asked.push(flow);
            }
        }
        if !asked.is_empty()
            && let Some(picked) = self.pick(&asked)
        {
            for (flow, verdict) in asked.into_iter().zip(picked) {
                self.decided.remember(flow, verdict);
            }
        }
        let verdict = |it: &Waiting| {
            let decided = it.flow.and_then(|flow| self.decided.of(&flow));
            (it.id, decided.unwrap_or(Verdict::Undecided))
        };
        let verdicts: Vec<_> = waiting.iter().map(verdict).collect();
        self.decided.turn(waiting.len() < AT_ONCE);
        if verdicts.is_empty() {
            return Ok(());
        }
        self.queue.decide(&verdicts)
    }

    /// Has the engine pick; nothing where it does not in time.
    fn pick(&mut self, flows: &[NewFlow]) -> Option<Vec<Verdict>> {
        if let Some(late) = &self.late
            && late.try_recv() == Err(TryRecvError::Empty)
        {
            return None;
        }
        self.late = None;
        let steps = self.steps.upgrade()?;
        let (picked, pick) = mpsc::sync_channel(1);
        let gone = Arc::new(AtomicBool::new(false));
        steps.send(step(flows.to_vec(), picked, gone.clone())).ok()?;
        let begun = Instant::now();
        loop {
            match pick.recv_timeout(GLANCE) {
                Ok(verdicts) => return Some(verdicts),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < PATIENCE && !self.is_to_stop() => {}
                Err(RecvTimeoutError::Timeout) => {
                    gone.store(true, Ordering::Relaxed);
                    self.late = Some(pick);
                    return None;
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Lets everything go on that still waits.
    fn end(&mut self) -> Result<(), QueueError> {
        self.queue.close()?;
        loop {
            let waiting = self.queue.wait()?;
            if waiting.is_empty() {
                return Ok(());
            }
            let verdicts: Vec<_> = waiting.iter().map(|it| (it.id, Verdict::Undecided)).collect();
            self.queue.decide(&verdicts)?;
        }
    }
}

/// Whether anybody waits by a table.
fn waits(table: &Table) -> bool {
    table.maps.contains_key(&MapName::Attended)
}

/// Picks for connections, unless they are gone when its turn comes.
fn step(flows: Vec<NewFlow>, picked: SyncSender<Vec<Verdict>>, gone: Arc<AtomicBool>) -> Step {
    Box::new(move |engine| {
        if !gone.load(Ordering::Relaxed) {
            let now = Instant::now();
            let verdicts = flows.iter().map(|flow| engine.decide(flow, now)).collect();
            let _ = picked.send(verdicts);
        }
    })
}

impl Engine {
    /// Takes the queue that a configuration's schedulers are to be asked by, if any is; none where nobody is to be asked,
    /// or the queue cannot be had.
    pub(super) fn take_queue(
        &mut self,
        config: &Config,
        tables: &BTreeMap<PoolKey, DispatchTable>,
        dry_run: bool,
    ) -> Option<u16> {
        let mut pools = tables.iter();
        let wanted = pools.any(|(key, table)| config.service(&key.service).is_some_and(|it| asks(it, table)));
        let number = config.director.queue;
        let have = match (wanted, dry_run) {
            (false, _) => false,
            (true, true) => self.queued.trouble.is_none(),
            (true, false) => self.have_queue(number),
        };
        have.then_some(number)
    }

    /// When [`attend`](Engine::attend) has something to do.
    pub fn next_attendance(&self) -> Option<Instant> {
        self.queued.beat
    }

    /// Has the kernel ask, as it should from now on.
    pub(super) fn attend_at_once(&mut self) {
        self.attend_soon();
        self.attend(Instant::now());
    }

    /// Forgets that the kernel has been told.
    pub(super) fn attend_soon(&mut self) {
        let asks = self.desired.tables.values().any(waits) && self.queued.number().is_some();
        self.queued.beat = asks.then(Instant::now);
    }

    /// Tells the kernel that somebody answers, where it is time.
    pub fn attend(&mut self, now: Instant) {
        if self.queued.beat.is_none_or(|beat| now < beat) {
            return;
        }
        let Some(_) = self.queued.number() else {
            // Whoever takes the queue again begins anew.
            self.queued.beat = None;
            return;
        };
        self.queued.beat = Some(now + BEAT);
        let families = self.desired.tables.iter().filter(|(_, table)| waits(table));
        let plan = Plan {
            ops: families.map(|(family, _)| Op::Attend(*family)).collect(),
        };
        for _ in 0..2 {
            match self.doors.nft.commit(&plan, self.observed.generation) {
                Ok(generation) => self.observed.generation = generation,
                Err(NftError::Stale) => {
                    // Somebody changed something, perhaps of ours.
                    if self.repair().is_ok() {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot say that we are there")
                }
            }
            return;
        }
    }

    /// Whether a queue is ours, perhaps from now on.
    fn have_queue(&mut self, number: u16) -> bool {
        if self.queued.number() == Some(number) {
            self.queued.trouble = None;
            return true;
        }
        let taken = self
            .doors
            .queues
            .take(number)
            .map_err(|error| crate::chain(&error));
        let started = taken.and_then(|queue| {
            let thread = Answering::start(number, queue, self.steps.clone());
            thread.map_err(|error| format!("there is no thread for it: {error}"))
        });
        match started {
            Ok(thread) => {
                self.queued.thread = Some(thread);
                self.queued.trouble = None;
                true
            }
            Err(trouble) => {
                if self.queued.trouble.as_ref() != Some(&trouble) {
                    tracing::error!("no scheduler is asked for connections through NAT: {trouble}");
                }
                self.queued.thread = None;
                self.queued.trouble = Some(trouble);
                self.queued.next = Some(Instant::now() + AGAIN);
                false
            }
        }
    }

    /// Lets everything go on that waits. Where others still ask, the slots choose for them meanwhile.
    pub(super) fn empty_queue(&mut self) {
        let number = self.queued.number();
        self.queued.thread = None;
        if let Some(number) = number.filter(|_| self.desired.tables.values().any(waits)) {
            self.have_queue(number);
        }
    }

    /// Gives the queue back where the ruleset has nobody wait any more.
    pub(super) fn leave_queue(&mut self) {
        if !self.desired.tables.values().any(waits) {
            self.queued.thread = None;
        }
        if !self.pools.iter().any(|(key, pool)| {
            self.config
                .service(&key.service)
                .is_some_and(|it| asks(it, pool.table()))
        }) {
            self.queued.trouble = None;
        }
    }

    /// Takes a queue that could not be had, or whose thread ended, as soon as that is possible.
    pub fn look_after_queue(&mut self, now: Instant) {
        let number = self.config.director.queue;
        let waits = self.desired.tables.values().any(waits);
        let ended = waits && self.queued.number() != Some(number);
        let wanted = ended || self.queued.trouble.is_some();
        if !wanted || self.queued.next.is_some_and(|next| now < next) {
            return;
        }
        self.queued.next = Some(now + AGAIN);
        let before = self.queued.trouble.clone();
        if self.have_queue(number) == before.is_none() {
            return self.attend_at_once();
        }
        // Whether packets wait at all is the ruleset's.
        if let Err(error) = self.apply(self.config.clone(), false) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot change who is asked for connections"
            );
        }
    }

    /// Who gets a connection that waits.
    fn decide(&mut self, flow: &NewFlow, now: Instant) -> Verdict {
        let Some(pool) = self.pool_of_waiting(flow) else {
            return Verdict::Undecided;
        };
        match self.pick(&pool, flow, now) {
            None => Verdict::Undecided,
            Some(pick) => pick.backend.map_or(Verdict::Nobody, Verdict::Backend),
        }
    }

    /// The pool that the ruleset has a connection wait for.
    fn pool_of_waiting(&self, flow: &NewFlow) -> Option<PoolKey> {
        let family = Family::of(flow.destination);
        let table = self.desired.tables.get(&family)?;
        let marked = || table.maps.get(&MapName::AskedMarks)?.get(&Key::Mark(flow.mark));
        let named = || {
            let protocol = Protocol::from_number(flow.protocol)?;
            let (address, port) = (flow.destination, flow.destination_port);
            let last = Key::ServiceRange(address, protocol, port, u16::MAX);
            let (key, chain) = table.maps.get(&MapName::Asked)?.range(..=last).next_back()?;
            let holds = |key: &Key| match *key {
                Key::ServiceRange(of, it, first, last) => {
                    (of, it) == (address, protocol) && (first..=last).contains(&port)
                }
                _ => false,
            };
            holds(key).then_some(chain)
        };
        let chain = marked().or_else(named)?.as_deref()?;
        Some(PoolKey {
            service: asked_service(chain)?.to_owned(),
            family,
        })
    }
}
