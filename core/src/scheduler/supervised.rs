//! A plugin that always has an answer: its own, its last one, or the director's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;

use super::incumbent::{Incumbent, Service};
use super::supervise::State;
use super::{BackendId, CallError, Candidate, Dispatch, Load, NewFlow, Plugin};
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
    /// How often it failed, by [`CallError::kind`]; all kinds are there.
    pub failures_by_kind: BTreeMap<&'static str, u64>,
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

impl Status {
    /// How often it failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures_by_kind.values().sum()
    }
}

/// What a table may take: most take less than 1 ms, and none may take more than a few deadlines together. In seconds.
const DURATIONS: [f64; 10] = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.25];

/// A plugin in the service of one virtual service.
#[derive(Debug)]
pub struct Supervised {
    current: Incumbent,
    /// What the plugin is to know, so that another instance can be told.
    service: Service,
    status: Status,
    durations: Histogram,
}

impl Supervised {
    /// `params` come from [`Plugin::check_params`]. The plugin is started when it is first needed.
    #[must_use]
    pub fn new(plugin: Plugin, params: Vec<(String, String)>, seed: u64) -> Self {
        Self {
            current: Incumbent::new(plugin, params, seed),
            service: Service::default(),
            status: Status {
                state: State::Running,
                failures_by_kind: CallError::KINDS.map(|kind| (kind, 0)).into(),
                last_error: None,
                source: None,
                calls: 0,
                picks: 0,
                stand_ins: 0,
                last_call: Duration::ZERO,
                max_call: Duration::ZERO,
            },
            durations: Histogram::new(DURATIONS),
        }
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.current.plugin
    }

    /// How it is used, if it has been configured.
    #[must_use]
    pub fn dispatch(&self) -> Option<Dispatch> {
        self.current.dispatch
    }

    /// What an operator wants to know.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            state: self.current.supervision.state(),
            last_error: self.current.last_error.clone(),
            source: self.current.source,
            ..self.status.clone()
        }
    }

    /// How often the plugin has failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.status.failures()
    }

    /// How long tables took, with all they needed, in seconds. It goes on counting.
    #[must_use]
    pub fn durations(&self) -> Histogram {
        self.durations.clone()
    }

    /// Whether the plugin itself answered last.
    #[must_use]
    pub fn works(&self) -> bool {
        self.current.source == Some(Source::Plugin)
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
        let outcome = match self.ask(now) {
            Some(table) => {
                self.current.last = Some(table.clone());
                TableOutcome::Fresh(table)
            }
            None => self.without_plugin(slots),
        };
        self.current.source = Some(outcome.source());
        outcome
    }

    /// Who gets a new connection: an answer in any case, from the plugin if it may be asked and answers. `now` need
    /// not be exact to the second.
    pub fn pick(&mut self, flow: &NewFlow, now: Instant) -> Pick {
        // At most twice, as for a table. One that waits is not asked again for each connection.
        while !self.current.is_waiting() && self.current.supervision.may_try(now) {
            match self.current.pick(&self.service, flow) {
                Ok(backend) => {
                    self.succeeded();
                    self.status.picks += 1;
                    self.current.source = Some(Source::Plugin);
                    let source = Source::Plugin;
                    return Pick { backend, source };
                }
                Err(error) => self.take_failure(&error, now),
            }
        }
        self.status.stand_ins += 1;
        self.current.source = Some(Source::Fallback);
        Pick {
            backend: self.service.next_turn(),
            source: Source::Fallback,
        }
    }

    /// Has another plugin, or the same with other parameters, take over, if its first calls go well: its table, and
    /// the plugin that was used before. Otherwise that goes on.
    ///
    /// # Errors
    /// How a first call failed.
    pub fn succeed(
        &mut self,
        plugin: Plugin,
        params: Vec<(String, String)>,
    ) -> Result<(DispatchTable, Incumbent), CallError> {
        let mut successor = self.current.successor(plugin, params);
        let table = successor.first_calls(&mut self.service)?;
        Ok((table, self.put(successor)))
    }

    /// Uses a plugin that was used before, and gives back the one that was used until now.
    pub fn put(&mut self, incumbent: Incumbent) -> Incumbent {
        std::mem::replace(&mut self.current, incumbent)
    }

    /// Checks the first calls of a plugin that is new to a service, in instances of its own.
    ///
    /// # Errors
    /// How one failed.
    pub fn rehearse(&mut self) -> Result<(), CallError> {
        let mut other = self.current.anew();
        other.first_calls(&mut self.service).map(drop)
    }

    /// When the plugin wants to make another table, even if nothing happens.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.current.due
    }

    /// If the plugin is not asked for another table now, it is at that time.
    pub fn postpone(&mut self, until: Instant) {
        self.current.due = self.current.due.map(|_| until);
    }

    /// How often the plugin wants to be told how fast the backends answer; `None` if it does not, or is not running.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.current.interval
    }

    /// How many microseconds a connection to each backend took, as far as that is known. The plugin is told when it is
    /// asked for the next table.
    pub fn measured(&mut self, latencies: BTreeMap<BackendId, u32>) {
        self.service.measured(latencies);
    }

    /// Forgets all failures and starts the plugin anew: the operator's way out of a quarantine, by `wvs reload`.
    pub fn reset(&mut self) {
        self.current.discard_instance();
        self.current.supervision.reset();
        self.current.last_error = None;
        self.current.due = Some(Instant::now());
    }

    /// The plugin's table, if it may be asked and answers.
    fn ask(&mut self, now: Instant) -> Option<DispatchTable> {
        // At most twice: after a second failure in a row `now` is before the next try.
        while self.current.supervision.may_try(now) {
            let begun = Instant::now();
            let answer = self.current.attempt(&mut self.service);
            self.count_call(begun.elapsed());
            match answer {
                Ok(table) => {
                    self.succeeded();
                    return Some(table);
                }
                Err(error) => {
                    self.take_failure(&error, now);
                    if self.current.instance.is_some() {
                        return None;
                    }
                }
            }
        }
        None
    }

    fn without_plugin(&mut self, slots: u32) -> TableOutcome {
        if self.current.dispatch == Some(Dispatch::Flow) {
            return TableOutcome::Fallback(self.service.round_robin());
        }
        let candidates = &self.service.candidates;
        match &self.current.last {
            Some(last) => {
                let mut table = last.resized(slots);
                table.repair(candidates);
                TableOutcome::Keep(table)
            }
            None => TableOutcome::Fallback(DispatchTable {
                dispatch: self.current.dispatch.unwrap_or(Dispatch::Cycle),
                slots: smooth_round_robin(candidates, slots),
            }),
        }
    }

    /// Notes what went wrong. What the plugin refused it lives on with; after anything else it is started anew.
    fn take_failure(&mut self, error: &CallError, now: Instant) {
        let alive = self.current.instance.is_some() && matches!(error, CallError::Refused { .. });
        self.note(error, alive);
        if !alive {
            *self.status.failures_by_kind.entry(error.kind()).or_default() += 1;
            self.failed(now);
        }
    }

    fn count_call(&mut self, took: Duration) {
        self.status.calls += 1;
        self.durations.observe(took.as_secs_f64());
        self.status.last_call = took;
        self.status.max_call = self.status.max_call.max(took);
    }

    fn note(&mut self, error: &CallError, alive: bool) {
        let (text, plugin) = (error.to_string(), self.plugin().name());
        if alive {
            tracing::warn!(plugin, "{text}; it is asked again when something changes");
        } else {
            tracing::warn!(plugin, "{text}");
        }
        self.current.last_error = Some(text);
    }

    fn succeeded(&mut self) {
        if self.current.supervision.state() != State::Running {
            tracing::info!(plugin = self.plugin().name(), "the scheduler works again");
        }
        self.current.supervision.succeeded();
    }

    fn failed(&mut self, now: Instant) {
        self.current.discard_instance();
        self.current.supervision.failed(now);
        if self.current.supervision.state() == State::Quarantined {
            tracing::error!(
                plugin = self.plugin().name(),
                "the scheduler failed too often and is not used any more, until its file changes or `wvs reload` tries it again"
            );
        }
    }
}
