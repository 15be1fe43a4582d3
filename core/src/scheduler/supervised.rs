//! A plugin that always has an answer: its own, its last one, or the director's.

use std::time::{Duration, Instant};

use super::supervise::{State, Supervision};
use super::{BackendId, CallError, Candidate, Dispatch, Instance, Load, NewFlow, Plugin};
use crate::dispatch::{DispatchTable, smooth_round_robin};

/// A table, and where it comes from. All entries name usable backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableOutcome {
    /// The plugin made it just now.
    Fresh(DispatchTable),
    /// The plugin made it earlier: keep it. Entries of backends that are no longer usable have
    /// been replaced.
    Keep(DispatchTable),
    /// The plugin never made any: the director's own smooth weighted round robin.
    Fallback(DispatchTable),
}

impl TableOutcome {
    /// The table to use.
    #[must_use]
    pub fn table(&self) -> &DispatchTable {
        match self {
            Self::Fresh(table) | Self::Keep(table) | Self::Fallback(table) => table,
        }
    }

    /// The table to use.
    #[must_use]
    pub fn into_table(self) -> DispatchTable {
        match self {
            Self::Fresh(table) | Self::Keep(table) | Self::Fallback(table) => table,
        }
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> Source {
        match self {
            Self::Fresh(_) => Source::Plugin,
            Self::Keep(_) => Source::LastTable,
            Self::Fallback(_) => Source::Fallback,
        }
    }
}

/// Who gets a new connection, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The backend; `None` means that the connection is refused.
    pub backend: Option<BackendId>,
    /// The plugin, or the director itself.
    pub source: Source,
}

/// Where the table or the last choice comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// From the plugin.
    Plugin,
    /// From the plugin, before it failed.
    LastTable,
    /// From the director itself.
    Fallback,
}

/// What an operator wants to know of a plugin in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether the plugin is used.
    pub state: State,
    /// How often it failed.
    pub failures: u64,
    /// Why it did so last, or what it refused last.
    pub last_error: Option<String>,
    /// Where the last table came from; none was asked for yet if there is nothing here.
    pub source: Option<Source>,
    /// How often it was asked for a table.
    pub calls: u64,
    /// How often it chose for a new connection.
    pub picks: u64,
    /// How often the director's round robin chose instead.
    pub stand_ins: u64,
    /// How long the last table took, with all it needed.
    pub last_call: Duration,
    /// How long the slowest took.
    pub max_call: Duration,
}

/// A plugin in the service of one virtual service.
#[derive(Debug)]
pub struct Supervised {
    plugin: Plugin,
    params: Vec<(String, String)>,
    seed: u64,
    instance: Option<Instance>,
    /// What the instance knows.
    told: Option<Vec<Candidate>>,
    /// What it is to know, so that another instance can be told.
    service: Service,
    supervision: Supervision,
    /// As the plugin made it, not repaired: a backend that comes back finds its entries.
    last: Option<DispatchTable>,
    /// Known once the plugin has been configured.
    dispatch: Option<Dispatch>,
    status: Status,
}

/// A service as it was when a table was last asked for.
#[derive(Debug, Default)]
struct Service {
    candidates: Vec<Candidate>,
    loads: Vec<Load>,
    /// The director's round robin, for connections that a plugin which is asked for each cannot decide.
    turns: Vec<Option<BackendId>>,
    /// Whose turn it is.
    turn: usize,
}

impl Service {
    fn change(&mut self, candidates: &[Candidate], loads: &[Load], slots: u32) {
        if self.candidates != candidates || self.turns.len() != slots as usize {
            self.candidates = candidates.to_vec();
            self.turns = smooth_round_robin(candidates, slots);
        }
        self.loads = loads.to_vec();
    }

    fn next_turn(&mut self) -> Option<BackendId> {
        let backend = self.turns.get(self.turn % self.turns.len().max(1)).copied();
        self.turn = self.turn.wrapping_add(1);
        backend.flatten()
    }

    fn turns(&self) -> DispatchTable {
        DispatchTable {
            dispatch: Dispatch::Flow,
            slots: self.turns.clone(),
        }
    }
}

impl Supervised {
    /// `params` come from [`Plugin::check_params`]. The plugin is started when it is first needed.
    #[must_use]
    pub fn new(plugin: Plugin, params: Vec<(String, String)>, seed: u64) -> Self {
        Self {
            plugin,
            params,
            seed,
            instance: None,
            told: None,
            service: Service::default(),
            supervision: Supervision::default(),
            last: None,
            dispatch: None,
            status: Status {
                state: State::Running,
                failures: 0,
                last_error: None,
                source: None,
                calls: 0,
                picks: 0,
                stand_ins: 0,
                last_call: Duration::ZERO,
                max_call: Duration::ZERO,
            },
        }
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// How it is used, if it has been configured.
    #[must_use]
    pub fn dispatch(&self) -> Option<Dispatch> {
        self.dispatch
    }

    /// What an operator wants to know.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            state: self.supervision.state(),
            failures: self.supervision.failures(),
            ..self.status.clone()
        }
    }

    /// A table for these backends, in any case. `loads` has one entry per candidate, or none at
    /// all. Only what changed is told to the plugin.
    ///
    /// That of a plugin which is asked for each connection is the director's own round robin, for when the director
    /// is away; it is as fresh as what the plugin was told.
    pub fn table(
        &mut self,
        candidates: &[Candidate],
        loads: &[Load],
        slots: u32,
        now: Instant,
    ) -> TableOutcome {
        self.service.change(candidates, loads, slots);
        let outcome = match self.ask(slots, now) {
            Some(table) => {
                self.last = Some(table.clone());
                TableOutcome::Fresh(table)
            }
            None => self.without_plugin(slots),
        };
        self.status.source = Some(outcome.source());
        outcome
    }

    /// Who gets a new connection: an answer in any case, from the plugin if it may be asked and answers. `now` need
    /// not be exact to the second.
    pub fn pick(&mut self, flow: &NewFlow, now: Instant) -> Pick {
        // At most twice, as for a table.
        while self.may_pick(now) {
            match self.try_pick(flow) {
                Ok(backend) => {
                    self.succeeded();
                    self.status.picks += 1;
                    self.status.source = Some(Source::Plugin);
                    let source = Source::Plugin;
                    return Pick { backend, source };
                }
                Err(error) => self.take_failure(&error, now),
            }
        }
        self.status.stand_ins += 1;
        self.status.source = Some(Source::Fallback);
        Pick {
            backend: self.service.next_turn(),
            source: Source::Fallback,
        }
    }

    /// A plugin that has refused an update is asked again when there is another one, and not for each connection.
    fn may_pick(&self, now: Instant) -> bool {
        let refused = self.instance.is_some() && self.told.is_none();
        !refused && self.supervision.may_try(now)
    }

    fn try_pick(&mut self, flow: &NewFlow) -> Result<Option<BackendId>, CallError> {
        if self.instance.is_none() {
            self.prepare()?;
        }
        match &mut self.instance {
            Some(instance) => instance.pick(flow),
            None => Ok(None),
        }
    }

    /// Uses another plugin or other parameters from now on. Failures are forgotten, unless nothing
    /// changed at all: a quarantine holds until the file is another. The last table is kept until
    /// there is a new one.
    pub fn replace(&mut self, plugin: Plugin, params: Vec<(String, String)>) {
        if plugin.hash() == self.plugin.hash() && params == self.params {
            return;
        }
        (self.plugin, self.params) = (plugin, params);
        self.dispatch = None;
        self.reset();
    }

    /// Forgets all failures and starts the plugin anew: the operator's way out of a quarantine.
    pub fn reset(&mut self) {
        self.discard_instance();
        self.supervision.reset();
        self.status.last_error = None;
    }

    /// The plugin's table, if it may be asked and answers.
    fn ask(&mut self, slots: u32, now: Instant) -> Option<DispatchTable> {
        // At most twice: after a second failure in a row `now` is before the next try.
        while self.supervision.may_try(now) {
            let begun = Instant::now();
            let answer = self.attempt(slots);
            self.count_call(begun.elapsed());
            match answer {
                Ok(table) => {
                    self.succeeded();
                    return Some(table);
                }
                Err(error) => {
                    self.take_failure(&error, now);
                    if self.instance.is_some() {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Starts the plugin if need be, tells it what it does not know, and asks.
    fn attempt(&mut self, slots: u32) -> Result<DispatchTable, CallError> {
        let dispatch = self.prepare()?;
        if dispatch == Dispatch::Flow {
            return Ok(self.service.turns());
        }
        let slots = match &mut self.instance {
            Some(instance) => instance.fill(slots)?,
            None => Vec::new(),
        };
        Ok(DispatchTable { dispatch, slots })
    }

    /// Starts the plugin if need be, and tells it what it does not know.
    fn prepare(&mut self) -> Result<Dispatch, CallError> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => none.insert(self.plugin.start(&self.params, self.seed)?),
        };
        let dispatch = instance.dispatch();
        self.dispatch = Some(dispatch);
        let Service {
            candidates, loads, ..
        } = &self.service;
        if self.told.as_ref() != Some(candidates) {
            // Half an update may have been taken in, so until it is through nothing is known.
            self.told = None;
            instance.update(candidates)?;
            self.told = Some(candidates.clone());
        }
        if loads.len() == candidates.len() {
            instance.observe(loads)?;
        }
        Ok(dispatch)
    }

    fn without_plugin(&self, slots: u32) -> TableOutcome {
        let candidates = &self.service.candidates;
        match &self.last {
            _ if self.dispatch == Some(Dispatch::Flow) => TableOutcome::Fallback(self.service.turns()),
            Some(last) => {
                let mut table = last.resized(slots);
                table.repair(candidates);
                TableOutcome::Keep(table)
            }
            None => TableOutcome::Fallback(DispatchTable {
                dispatch: self.dispatch.unwrap_or(Dispatch::Cycle),
                slots: smooth_round_robin(candidates, slots),
            }),
        }
    }

    /// Notes what went wrong. What the plugin refused it lives on with; after anything else it is started anew.
    fn take_failure(&mut self, error: &CallError, now: Instant) {
        let alive = self.instance.is_some() && matches!(error, CallError::Refused { .. });
        self.note(error, alive);
        if !alive {
            self.failed(now);
        }
    }

    fn count_call(&mut self, took: Duration) {
        self.status.calls += 1;
        self.status.last_call = took;
        self.status.max_call = self.status.max_call.max(took);
    }

    fn note(&mut self, error: &CallError, alive: bool) {
        let text = error.to_string();
        if alive {
            tracing::warn!(plugin = self.plugin.name(), "{text}; it is asked again when something changes");
        } else {
            tracing::warn!(plugin = self.plugin.name(), "{text}");
        }
        self.status.last_error = Some(text);
    }

    fn succeeded(&mut self) {
        if self.supervision.state() != State::Running {
            tracing::info!(plugin = self.plugin.name(), "the scheduler works again");
        }
        self.supervision.succeeded();
    }

    fn failed(&mut self, now: Instant) {
        self.discard_instance();
        self.supervision.failed(now);
        if self.supervision.state() == State::Quarantined {
            tracing::error!(
                plugin = self.plugin.name(),
                "the scheduler failed too often and is not used any more, until its file changes or it is reset"
            );
        }
    }

    fn discard_instance(&mut self) {
        (self.instance, self.told) = (None, None);
    }
}
