//! One run through a workload: what happens next, and what follows from it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::dispatcher::{Dispatcher, Manner};
use super::measure::{Books, Sample, Spread, place};
use super::remap::{Homes, Remap, Shift};
use super::time::{Nanos, of, seconds};
use super::workload::Workload;
use super::{Refresh, Scenario, SimulateError};
use crate::director::counting::{QUIET, RESPITE, SHORTEST};
use crate::scheduler::stage::Stage;
use crate::scheduler::{BackendId, CallError, Candidate, Dispatch, HashKey, Instance, Load};

/// What a walk of conntrack's table costs for each connection in it.
const WALK: Duration = Duration::from_nanos(2700);

/// What came of a run.
pub(super) struct Run {
    /// For each connection the place of its backend, or none if it was refused. Those that never came are refused.
    pub(super) choices: Vec<Option<u16>>,
    pub(super) samples: Vec<Sample>,
    pub(super) steps: Vec<StepReport>,
    pub(super) books: Books,
    pub(super) stage: Stage,
    pub(super) dispatch: Dispatch,
    pub(super) arrived: u64,
    pub(super) refused: u64,
    pub(super) closed: u64,
    pub(super) tables: u64,
    /// When the first tenth was over.
    warm: f64,
}

impl Run {
    fn warm(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| sample.at_s >= self.warm)
    }

    pub(super) fn overload(&self) -> Option<Spread> {
        Spread::of(self.warm().filter_map(|sample| sample.overload))
    }

    pub(super) fn off(&self) -> Option<Spread> {
        Spread::of(self.warm().filter_map(|sample| sample.off))
    }
}

/// What a change of the backends did.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StepReport {
    /// When, in seconds.
    pub at_s: f64,
    /// What changed.
    pub change: String,
    /// What became of the slots, of a table that is indexed by a hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<Remap>,
    /// What became of clients who had been there before and came again before the next change; only where a scheduler
    /// goes by them: by its hash, or by what it does with those who come again while nothing changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<Remap>,
    /// The same of the addresses that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Remap>,
}

struct Running<'a> {
    scenario: &'a Scenario,
    workload: &'a Workload,
    dispatcher: Dispatcher,
    stage: Stage,
    books: Books,
    /// When connections end, and at which place they are.
    ends: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// When those that have ended are forgotten.
    lingering: VecDeque<(Nanos, usize)>,
    clients: Homes,
    destinations: Homes,
    shift: Shift,
    next_count: Option<Nanos>,
    run: Run,
}

/// What can happen next, in the order in which it happens at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Step,
    End,
    Forget,
    Count,
    Refill,
    Arrival,
    Sample,
}

pub(super) fn run(
    scenario: &Scenario,
    workload: &Workload,
    moments: &[Nanos],
    instance: Instance,
    manner: Manner,
) -> Result<Run, SimulateError> {
    let dispatcher = Dispatcher::new(instance, manner, scenario.slots);
    let counts = dispatcher.wants_load() && manner == Manner::Director;
    let mut running = Running {
        scenario,
        workload,
        stage: Stage::new(&scenario.weights),
        books: Books::default(),
        ends: BinaryHeap::new(),
        lingering: VecDeque::new(),
        clients: Homes::new(workload.clients.len()),
        destinations: Homes::new(workload.destinations.len()),
        shift: Shift::default(),
        next_count: counts.then_some(0),
        run: Run {
            choices: vec![None; workload.len()],
            samples: Vec::with_capacity(moments.len()),
            steps: Vec::new(),
            books: Books::default(),
            stage: Stage::default(),
            dispatch: dispatcher.dispatch(),
            arrived: 0,
            refused: 0,
            closed: 0,
            tables: 0,
            warm: seconds(workload.duration) / 10.0,
        },
        dispatcher,
    };
    running.told(0)?;
    running.go(moments)?;
    let Running {
        mut run,
        mut books,
        stage,
        dispatcher,
        clients,
        destinations,
        ..
    } = running;
    books.share_out();
    // One that decides for each connection does not say what it goes by.
    if run.dispatch == Dispatch::Flow {
        for report in &mut run.steps {
            report.clients = report.clients.filter(|_| clients.are_kept());
            report.destinations = report.destinations.filter(|_| destinations.are_kept());
        }
    }
    (run.books, run.stage, run.tables) = (books, stage, dispatcher.tables);
    Ok(run)
}

impl Running<'_> {
    fn go(&mut self, moments: &[Nanos]) -> Result<(), SimulateError> {
        let (mut step, mut arrival, mut moment) = (0, 0, 0);
        loop {
            let next = [
                (self.scenario.churn.steps.get(step).map(|it| it.at), Next::Step),
                (self.ends.peek().map(|end| end.0.0), Next::End),
                (self.lingering.front().map(|it| it.0), Next::Forget),
                (self.next_count, Next::Count),
                (self.dispatcher.due, Next::Refill),
                (self.workload.arrivals.get(arrival).map(|it| it.at), Next::Arrival),
                (moments.get(moment).copied(), Next::Sample),
            ];
            let next = next.into_iter().filter_map(|(at, what)| Some((at?, what))).min();
            let Some((now, what)) = next.filter(|(at, _)| *at <= self.workload.duration) else {
                return Ok(());
            };
            match what {
                Next::Step => {
                    self.step(step)?;
                    step += 1;
                }
                Next::End => self.end(now),
                Next::Forget => {
                    if let Some((_, place)) = self.lingering.pop_front() {
                        self.books.forget(place);
                    }
                }
                Next::Count => self.count(now)?,
                Next::Refill => self
                    .dispatcher
                    .refill(now)
                    .map_err(|source| failed(now, source))?,
                Next::Arrival => {
                    self.arrive(arrival, step)?;
                    arrival += 1;
                }
                Next::Sample => {
                    let sample = self.books.sample(now);
                    self.run.samples.push(sample);
                    moment += 1;
                }
            }
        }
    }

    /// The scheduler is told of the backends, and the books of their weights.
    fn told(&mut self, now: Nanos) -> Result<(), SimulateError> {
        self.books.share_out();
        let before: Vec<u32> = self.books.each.iter().map(|ledger| ledger.weight).collect();
        self.books.each.iter_mut().for_each(|ledger| ledger.weight = 0);
        for known in self.stage.backends() {
            self.books.of(known.id).weight = if known.usable() { known.weight } else { 0 };
        }
        let before = before.into_iter().chain(std::iter::repeat(0));
        let shifts = before.zip(self.books.each.iter().map(|ledger| ledger.weight));
        self.shift = Shift(shifts.collect());
        let counts = self.dispatcher.counts_for(self.stage.backends());
        self.dispatcher
            .change(self.stage.backends(), counts, now)
            .map_err(|source| failed(now, source))
    }

    fn step(&mut self, number: usize) -> Result<(), SimulateError> {
        let step = &self.scenario.churn.steps[number];
        step.apply(&mut self.stage)?;
        let before = self.dispatcher.table().to_vec();
        self.told(step.at)?;
        let dispatch = self.dispatcher.dispatch();
        let hash = matches!(dispatch, Dispatch::Hash(_));
        let slots = hash.then(|| self.shift.slots(&before, self.dispatcher.table()));
        let knows = |key| dispatch == Dispatch::Flow || dispatch == Dispatch::Hash(key);
        self.run.steps.push(StepReport {
            at_s: seconds(step.at),
            change: step.text(),
            slots,
            clients: knows(HashKey::Source).then(Remap::default),
            destinations: knows(HashKey::Destination).then(Remap::default),
        });
        Ok(())
    }

    fn end(&mut self, now: Nanos) {
        let Some(Reverse((_, place))) = self.ends.pop() else {
            return;
        };
        self.books.close(place);
        self.run.closed += 1;
        self.lingering.push_back((now + of(self.scenario.linger), place));
    }

    fn count(&mut self, now: Nanos) -> Result<(), SimulateError> {
        let loads = loads(&self.books, &self.stage);
        let moved = self
            .dispatcher
            .count(loads, now)
            .map_err(|source| failed(now, source))?;
        let pause = match self.scenario.refresh {
            Refresh::Every(pause) => pause,
            Refresh::Director => {
                let least = if moved { SHORTEST } else { QUIET };
                let tracked = u32::try_from(self.books.tracked).unwrap_or(u32::MAX);
                least.max(WALK * tracked * RESPITE)
            }
        };
        self.next_count = Some(now + of(pause).max(1));
        Ok(())
    }

    fn arrive(&mut self, number: usize, step: usize) -> Result<(), SimulateError> {
        let arrival = self.workload.arrivals[number];
        let now = arrival.at;
        let loads = || loads(&self.books, &self.stage);
        let chosen = self
            .dispatcher
            .choose(self.workload.ends(&arrival), loads, now)
            .map_err(|source| failed(now, source))?;
        self.run.arrived += 1;
        self.books.arrive();
        self.remember(arrival.client, arrival.destination, chosen, step);
        let Some(id) = chosen else {
            self.run.refused += 1;
            return Ok(());
        };
        self.run.choices[number] = Some(place(id) as u16);
        self.books.open(id);
        self.ends
            .push(Reverse((now.saturating_add(arrival.length), place(id))));
        Ok(())
    }

    /// Notes who comes back after a change, and where to.
    fn remember(&mut self, client: u32, destination: u32, chosen: Option<BackendId>, step: usize) {
        let Some(report) = self.run.steps.last_mut() else {
            self.clients.visit(client, chosen, step, |_, _| {});
            self.destinations.visit(destination, chosen, step, |_, _| {});
            return;
        };
        let shift = &self.shift;
        for (homes, who, remap) in [
            (&mut self.clients, client, &mut report.clients),
            (&mut self.destinations, destination, &mut report.destinations),
        ] {
            homes.visit(who, chosen, step, |before, after| {
                if let Some(remap) = remap {
                    remap.note(shift, Some(before), after);
                }
            });
        }
    }
}

fn failed(now: Nanos, source: CallError) -> SimulateError {
    SimulateError::Call {
        at: seconds(now),
        source,
    }
}

/// The connections of the backends that there are, in their order.
fn loads(books: &Books, stage: &Stage) -> Vec<Load> {
    let of = |known: &Candidate| {
        let ledger = &books.each[place(known.id)];
        Load {
            active: ledger.active,
            inactive: ledger.inactive,
        }
    };
    stage.backends().iter().map(of).collect()
}
