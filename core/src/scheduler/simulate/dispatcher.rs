//! A scheduler as a director uses it, in virtual time.

use super::time::{Nanos, of, seconds};
use crate::dispatch::DispatchTable;
use crate::ruleset::build::HASH_SEED;
use crate::ruleset::draw::draw;
use crate::scheduler::{BackendId, CallError, Candidate, Dispatch, Instance, Load, NewFlow};

/// The table that is filled for a single connection, when each is asked for.
const PLAN_OF_ONE: u32 = 16;

/// How a scheduler is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// As a director does: its table serves until something changes or counts have moved.
    Director,
    /// For each connection anew, with counts that are exact.
    Exact,
}

/// A scheduler in use.
pub(super) struct Dispatcher {
    instance: Instance,
    manner: Manner,
    slots: u32,
    candidates: Vec<Candidate>,
    /// As they were counted last, in the order of the candidates.
    loads: Vec<Load>,
    table: DispatchTable,
    /// How many connections have drawn a slot.
    drawn: u64,
    /// How often it was asked for a table.
    pub(super) tables: u64,
    /// When it wants to make another one, even if nothing happens.
    pub(super) due: Option<Nanos>,
}

impl Dispatcher {
    pub(super) fn new(instance: Instance, manner: Manner, slots: u32) -> Self {
        let table = DispatchTable {
            dispatch: instance.dispatch(),
            slots: Vec::new(),
        };
        Self {
            instance,
            manner,
            slots,
            candidates: Vec::new(),
            loads: Vec::new(),
            table,
            drawn: 0,
            tables: 0,
            due: None,
        }
    }

    pub(super) fn dispatch(&self) -> Dispatch {
        self.table.dispatch
    }

    pub(super) fn wants_load(&self) -> bool {
        self.instance.wants_load()
    }

    pub(super) fn table(&self) -> &[Option<BackendId>] {
        &self.table.slots
    }

    /// The backends are others. Counts stay as they were: a director does not count because of that.
    pub(super) fn change(
        &mut self,
        candidates: &[Candidate],
        loads: Vec<Load>,
        now: Nanos,
    ) -> Result<(), CallError> {
        self.instance.set_time(seconds(now));
        self.instance.update(candidates)?;
        self.candidates = candidates.to_vec();
        self.loads = loads;
        self.ask(now)
    }

    /// Connections were counted. Says whether any count has moved.
    pub(super) fn count(&mut self, loads: Vec<Load>, now: Nanos) -> Result<bool, CallError> {
        if loads == self.loads {
            return Ok(false);
        }
        self.instance.set_time(seconds(now));
        self.loads = loads;
        self.ask(now)?;
        Ok(true)
    }

    /// The counts that it was told last, for other candidates: none for those that are new.
    pub(super) fn counts_for(&self, candidates: &[Candidate]) -> Vec<Load> {
        let of = |wanted: &Candidate| {
            let place = self.candidates.iter().position(|known| known.id == wanted.id);
            place
                .and_then(|place| self.loads.get(place).copied())
                .unwrap_or_default()
        };
        candidates.iter().map(of).collect()
    }

    /// Time has come for another table.
    pub(super) fn refill(&mut self, now: Nanos) -> Result<(), CallError> {
        self.instance.set_time(seconds(now));
        self.ask(now)
    }

    fn ask(&mut self, now: Nanos) -> Result<(), CallError> {
        self.instance.observe(&self.loads)?;
        if self.table.dispatch == Dispatch::Flow {
            return Ok(());
        }
        self.tables += 1;
        self.table.slots = self.instance.fill(self.slots)?;
        if self.manner == Manner::Director {
            self.due = self.instance.due()?.map(|pause| now + of(pause));
        }
        if self.wants_load() && self.table.dispatch == Dispatch::Cycle {
            self.table.begin_at(self.drawn);
        }
        Ok(())
    }

    /// Who gets a connection. `loads` are what there is at this moment; only who is asked exactly hears of them.
    pub(super) fn choose(
        &mut self,
        ends: (std::net::SocketAddr, std::net::SocketAddr),
        loads: impl FnOnce() -> Vec<Load>,
        now: Nanos,
    ) -> Result<Option<BackendId>, CallError> {
        if self.manner == Manner::Exact {
            self.instance.set_time(seconds(now));
            self.instance.observe(&loads())?;
        }
        match self.table.dispatch {
            Dispatch::Flow => {
                self.instance.set_time(seconds(now));
                self.instance.pick(&NewFlow::new(ends.0, ends.1, 6, 0))
            }
            Dispatch::Cycle if self.manner == Manner::Exact => {
                self.tables += 1;
                let plan = self.instance.fill(PLAN_OF_ONE)?;
                Ok(plan.first().copied().flatten())
            }
            dispatch => {
                let slots = self.table.slots.len() as u32;
                let position = || Ok::<_, std::convert::Infallible>(self.drawn);
                let drawn = match draw(dispatch, slots, HASH_SEED, ends, position) {
                    Ok(drawn) => drawn,
                    Err(never) => match never {},
                };
                self.drawn += 1;
                Ok(drawn.and_then(|drawn| self.table.slots[drawn.slot()]))
            }
        }
    }
}
