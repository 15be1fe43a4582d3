//! A plugin that always has an answer: its own, its last one, or the director's.

use std::time::{Duration, Instant};

use super::supervise::{State, Supervision};
use super::{CallError, Candidate, Dispatch, Instance, Load, Plugin};
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

/// Where the table in use comes from.
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
    supervision: Supervision,
    /// As the plugin made it, not repaired: a backend that comes back finds its entries.
    last: Option<DispatchTable>,
    /// Known once the plugin has been configured.
    dispatch: Option<Dispatch>,
    status: Status,
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
            supervision: Supervision::default(),
            last: None,
            dispatch: None,
            status: Status {
                state: State::Running,
                failures: 0,
                last_error: None,
                source: None,
                calls: 0,
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

    /// How its tables are used, if it has been configured.
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

    /// How often the plugin has failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.supervision.failures()
    }

    /// Whether the table in use is the plugin's answer to the last question.
    #[must_use]
    pub fn works(&self) -> bool {
        self.status.source.is_none_or(|source| source == Source::Plugin)
    }

    /// A table for these backends, in any case. `loads` has one entry per candidate, or none at
    /// all. Only what changed is told to the plugin.
    pub fn table(
        &mut self,
        candidates: &[Candidate],
        loads: &[Load],
        slots: u32,
        now: Instant,
    ) -> TableOutcome {
        let outcome = match self.ask(candidates, loads, slots, now) {
            Some(table) => {
                self.last = Some(table.clone());
                TableOutcome::Fresh(table)
            }
            None => self.without_plugin(candidates, slots),
        };
        self.status.source = Some(outcome.source());
        outcome
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
    fn ask(
        &mut self,
        candidates: &[Candidate],
        loads: &[Load],
        slots: u32,
        now: Instant,
    ) -> Option<DispatchTable> {
        // At most twice: after a second failure in a row `now` is before the next try.
        while self.supervision.may_try(now) {
            let begun = Instant::now();
            let answer = self.attempt(candidates, loads, slots);
            self.count_call(begun.elapsed());
            match answer {
                Ok(table) => {
                    self.succeeded();
                    return Some(table);
                }
                Err(error) => {
                    let alive = self.instance.is_some() && matches!(error, CallError::Refused { .. });
                    self.note(&error, alive);
                    if alive {
                        return None;
                    }
                    self.failed(now);
                }
            }
        }
        None
    }

    /// Starts the plugin if need be, tells it what it does not know, and asks.
    fn attempt(
        &mut self,
        candidates: &[Candidate],
        loads: &[Load],
        slots: u32,
    ) -> Result<DispatchTable, CallError> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => none.insert(self.plugin.start(&self.params, self.seed)?),
        };
        let dispatch = instance.dispatch();
        self.dispatch = Some(dispatch);
        if self.told.as_deref() != Some(candidates) {
            // Half an update may have been taken in, so until it is through nothing is known.
            self.told = None;
            instance.update(candidates)?;
            self.told = Some(candidates.to_vec());
        }
        if loads.len() == candidates.len() {
            instance.observe(loads)?;
        }
        let slots = instance.fill(slots)?;
        Ok(DispatchTable { dispatch, slots })
    }

    fn without_plugin(&self, candidates: &[Candidate], slots: u32) -> TableOutcome {
        match &self.last {
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

    fn count_call(&mut self, took: Duration) {
        self.status.calls += 1;
        self.status.last_call = took;
        self.status.max_call = self.status.max_call.max(took);
    }

    fn note(&mut self, error: &CallError, alive: bool) {
        let text = error.to_string();
        if alive {
            tracing::warn!(plugin = self.plugin.name(), "{text}; the last table is kept");
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
