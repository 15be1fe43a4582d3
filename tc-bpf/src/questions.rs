//! Services whose director is asked for each connection: taking the questions, answering them, and letting their
//! packets go on.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::checksum;
use crate::layout::{ANSWER_UNDECIDED, Answer, Asked, Asking, FlowKey};
use crate::maps::{CLOCK, INJECT, MapError, OpenError, refused};
use crate::ring::{Ring, head};
use crate::sys::{self, Map};
use crate::{flows::tick, pin};

/// A packet that begins a connection, and waits for its backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The connection.
    pub key: FlowKey,
    /// The service.
    pub service: u32,
    /// The hash of the client's address and port, by the table's seed.
    pub hash: u32,
    /// The packet's firewall mark.
    pub mark: u32,
    /// The interface where it arrived.
    pub ifindex: u32,
    /// When, by [`crate::Maps::now`]'s clock.
    pub tick: u32,
    /// The whole frame.
    pub frame: Vec<u8>,
    vlan: Option<(u32, u32)>,
}

impl Question {
    /// From a record; `None` where it is not of the program's making.
    fn of(record: &[u8]) -> Option<Self> {
        let (asked, rest): (Asked, _) = head(record)?;
        let mut frame = rest.get(..asked.length as usize)?.to_vec();
        // What comes from another machine has its checksum. What this machine's guests send may have only the part of it
        // that a device would have completed.
        checksum::complete(&mut frame, asked.key.proto, asked.l4 as usize, asked.end as usize, &asked.key);
        Some(Self {
            key: asked.key,
            service: asked.service,
            hash: asked.hash,
            mark: asked.mark,
            ifindex: asked.ifindex,
            tick: asked.tick,
            frame,
            vlan: (asked.vlan_proto > 0).then_some((asked.vlan_proto, asked.vlan_tci)),
        })
    }

    /// The client's address and port.
    #[must_use]
    pub fn client(&self) -> (IpAddr, u16) {
        let (client, _) = self.key.ends();
        (client.ip(), client.port())
    }

    /// The virtual address and port.
    #[must_use]
    pub fn listener(&self) -> (IpAddr, u16) {
        let (_, listener) = self.key.ends();
        (listener.ip(), listener.port())
    }
}

/// Takes the questions. While it lives and [`Questions::wait`] is called, the program asks; it stops asking when
/// nothing was heard for as long as the patience, and at once when this is dropped. One at a time.
#[derive(Debug)]
pub struct Questions {
    ring: Ring,
    asking: Map<u32, Asking>,
    answers: Map<FlowKey, Answer>,
    clock: OwnedFd,
    injector: OwnedFd,
    patience: Duration,
    beaten: Instant,
}

impl Questions {
    /// Opens the maps pinned below `root`, and lets the program ask. Questions of before are thrown away: their clients
    /// have asked again or gone.
    pub fn open(root: &Path, patience: Duration) -> Result<Self, OpenError> {
        let folder = pin::folder(root);
        let at = |name| folder.join(name);
        let failed = |name| {
            let path = folder.join(name);
            |source| OpenError { path, source }
        };
        let mut questions = Self {
            ring: Ring::open(at("asked"))?,
            asking: Map::open(&at("asking")).map_err(failed("asking"))?,
            answers: Map::open(&at("answers")).map_err(failed("answers"))?,
            clock: sys::open_program(&at(CLOCK)).map_err(failed(CLOCK))?,
            injector: sys::open_program(&at(INJECT)).map_err(failed(INJECT))?,
            patience,
            beaten: Instant::now(),
        };
        questions.beat().map_err(failed("asking"))?;
        Ok(questions)
    }

    fn now(&self) -> io::Result<u32> {
        sys::run_program(&self.clock)
    }

    /// Says that somebody is there.
    fn beat(&mut self) -> io::Result<()> {
        let ticks = self.patience.as_nanos() / tick().as_nanos().max(1);
        let state = Asking {
            heartbeat: self.now()?,
            patience: u32::try_from(ticks).unwrap_or(u32::MAX).clamp(1, i32::MAX as u32),
        };
        self.beaten = Instant::now();
        self.asking.set(&0, &state)
    }

    /// The next question, waiting for it up to the time given.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Question>, MapError> {
        let until = Instant::now() + timeout;
        loop {
            if self.beaten.elapsed() >= self.patience / 8 {
                self.beat()
                    .map_err(refused("telling the program that it may ask"))?;
            }
            while let Some(record) = self.ring.next(Question::of) {
                if record.is_some() {
                    return Ok(record);
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.ring
                .wait(left.min(self.patience / 8))
                .map_err(refused("waiting for questions"))?;
        }
    }

    /// Answers a question, and lets its packet go on. The caller is in the network namespace of the interfaces. Without a
    /// backend it is refused, as where a service has none.
    ///
    /// The answer holds for as long as the patience: the client may have sent the packet again meanwhile, and have been
    /// asked for twice. The connection, once begun, stays where it is whatever is answered then.
    pub fn answer(&self, question: &Question, backend: u16, generation: u16) -> Result<(), MapError> {
        self.note(question, backend, generation)?;
        self.inject(question)
    }

    /// Only the answer, for a packet that arrives by itself.
    pub fn note(&self, question: &Question, backend: u16, generation: u16) -> Result<(), MapError> {
        let doing = || refused(format!("answering with backend {backend}"));
        let answer = Answer {
            backend,
            generation,
            given: self.now().map_err(doing())?,
        };
        self.answers.set(&question.key, &answer).map_err(doing())
    }

    /// Has the hash choose, as where nobody answers.
    pub fn leave(&self, question: &Question) -> Result<(), MapError> {
        self.answer(question, 0, ANSWER_UNDECIDED)
    }

    /// Lets a packet go on without an answer. Where its service still asks, that is another question.
    pub fn let_go(&self, question: &Question) -> Result<(), MapError> {
        self.inject(question)
    }

    /// Has the program ask no more, and lets everything go on that waits for an answer: this question, which was taken and
    /// not answered, and what was not taken. Where its service still asks, the hash chooses.
    pub fn end(mut self, in_hand: Option<Question>) -> Result<(), MapError> {
        self.asking
            .set(&0, &Asking::default())
            .map_err(refused("telling the program not to ask"))?;
        let mut outcome = in_hand.map_or(Ok(()), |question| self.inject(&question));
        while let Some(record) = self.ring.next(Question::of) {
            if let Some(question) = record {
                outcome = outcome.and(self.inject(&question));
            }
        }
        outcome
    }

    fn inject(&self, question: &Question) -> Result<(), MapError> {
        let doing = || refused(format!("sending a packet of {} bytes on", question.frame.len()));
        let (proto, tci) = question.vlan.unwrap_or_default();
        let words = [question.ifindex, proto, tci];
        let outcome = sys::run_on(&self.injector, &question.frame, question.mark, &words).map_err(doing())?;
        match outcome as i32 {
            0 => Ok(()),
            error => Err(doing()(io::Error::from_raw_os_error(error.saturating_abs()))),
        }
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        // Without it the program would ask until its patience is over.
        let _ = self.asking.set(&0, &Asking::default());
    }
}
