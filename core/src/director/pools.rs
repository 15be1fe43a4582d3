//! The pools that run: a scheduler each, its backends and its table.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::probation::Former;
use super::swap::Watch;
use crate::api::{Happening, SchedulerHealth, SchedulerView};
use crate::config::{Config, DirectorSettings, SchedulerSpec, Service};
use crate::dispatch::{DispatchTable, Width};
use crate::pool::PoolKey;
use crate::ruleset::build::HASH_SEED;
use crate::scheduler::catalog::{Catalog, CatalogError};
use crate::scheduler::{
    BackendId, CallError, Candidate, Dispatch, Load, NewFlow, ParamError, Pick, Plugin, Source, State,
    Supervised,
};

/// After so long a table is asked for again that could not be made when it was due.
const AGAIN: Duration = Duration::from_secs(1);

/// A pool with its scheduler.
#[derive(Debug)]
pub struct RunningPool {
    pub(super) spec: SchedulerSpec,
    pub(super) director: DirectorSettings,
    slots: u32,
    /// How many slots the plans of a scheduler that looks at load have.
    width: Width,
    /// How many connections the kernel had drawn when the last table was made.
    drawn: Option<u64>,
    begun: Instant,
    pub(super) plugin: Plugin,
    pub(super) params: Vec<(String, String)>,
    pub(super) scheduler: Supervised,
    candidates: Vec<Candidate>,
    loads: Vec<Load>,
    pub(super) table: DispatchTable,
    pub(super) watch: Watch,
    /// What was used before, while it may come back.
    pub(super) former: Option<Former>,
    /// What was told of its scheduler last: how often it had failed, and whether it worked.
    told: (u64, bool),
}

/// Why a service's scheduler does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The plugin cannot be had.
    #[error("service `{service}`: scheduler `{plugin}` cannot be used")]
    Plugin {
        /// The service.
        service: String,
        /// The plugin.
        plugin: String,
        /// Why.
        #[source]
        source: Box<CatalogError>,
    },
    /// It does not take the parameters.
    #[error("service `{service}`: scheduler `{plugin}` does not take its parameters")]
    Params {
        /// The service.
        service: String,
        /// The plugin.
        plugin: String,
        /// The first that is wrong.
        #[source]
        source: Box<ParamError>,
    },
    /// Its first calls fail, and there is one that works.
    #[error("service `{service}`: scheduler `{plugin}` fails at its first calls; the one before goes on")]
    FirstCalls {
        /// The service.
        service: String,
        /// The plugin.
        plugin: String,
        /// How.
        #[source]
        source: Box<CallError>,
    },
}

/// What a director's schedulers draw from: the same at each start, but another on each host, so that directors side by
/// side do not all make the same choices.
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let host = std::fs::read("/etc/machine-id").unwrap_or_default();
        let digest = Sha256::new()
            .chain_update(HASH_SEED.to_be_bytes())
            .chain_update(host);
        digest
            .finalize()
            .iter()
            .take(8)
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    })
}

impl RunningPool {
    /// Starts a pool's scheduler and has it make a first table. A plugin that fails at that leaves the pool
    /// with the built-in round robin, and says so in its view; but it takes no other's place that is there `before`.
    pub fn start(
        catalog: &Catalog,
        config: &Config,
        service: &Service,
        candidates: Vec<Candidate>,
        before: Option<&RunningPool>,
    ) -> Result<Self, StartError> {
        let (name, spec) = (service.name.clone(), service.scheduler.clone());
        let watch = Watch::new(catalog.version(&config.director, &spec));
        let plugin = catalog
            .plugin(&config.director, &spec)
            .map_err(|source| StartError::Plugin {
                service: name.clone(),
                plugin: spec.plugin.clone(),
                source: Box::new(source),
            })?;
        let params = plugin
            .check_params(&spec.params)
            .map_err(|mut errors| StartError::Params {
                service: name.clone(),
                plugin: spec.plugin.clone(),
                source: Box::new(errors.swap_remove(0)),
            })?;
        let mut pool = RunningPool {
            director: config.director.clone(),
            slots: service.slots,
            width: Width::new(service.slots),
            drawn: None,
            begun: Instant::now(),
            scheduler: Supervised::new(plugin.clone(), params.clone(), seed()),
            plugin,
            params,
            spec,
            candidates: Vec::new(),
            loads: Vec::new(),
            table: DispatchTable {
                dispatch: Dispatch::Cycle,
                slots: Vec::new(),
            },
            told: (0, true),
            watch,
            former: None,
        };
        pool.refill(candidates, None);
        if before.is_some_and(|before| before.spec != pool.spec || before.works()) {
            pool.scheduler
                .rehearse()
                .map_err(|source| StartError::FirstCalls {
                    service: name,
                    plugin: pool.spec.plugin.clone(),
                    source: Box::new(source),
                })?;
        }
        Ok(pool)
    }

    /// Whether it can go on for a service of a configuration, perhaps with other backends.
    pub fn serves(&self, service: &Service, config: &Config) -> bool {
        self.spec == service.scheduler
            && self.slots == service.slots
            && self.director.plugin_dir == config.director.plugin_dir
    }

    /// The table in use.
    pub fn table(&self) -> &DispatchTable {
        &self.table
    }

    /// Its backends.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Whether its scheduler looks at load.
    pub fn wants_load(&self) -> bool {
        self.plugin.wants_load()
    }

    /// When a failed scheduler is to be tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        match self.scheduler.status().state {
            State::BackingOff { until } => Some(until),
            State::Running | State::Quarantined => None,
        }
    }

    /// When it is to make another table although nothing has happened: a scheduler that failed is tried again, and one
    /// whose tables change with time says when.
    pub fn due_at(&self) -> Option<Instant> {
        self.retry_at().into_iter().chain(self.scheduler.due()).min()
    }

    /// Whether that is now. If nothing comes of it, it is again only after a while.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let due = self.due_at().is_some_and(|at| at <= now);
        if due {
            self.scheduler.postpone(now + AGAIN);
        }
        due
    }

    /// Has a scheduler that failed be asked again soon, also if it is in quarantine.
    pub fn try_again(&mut self) {
        if self.scheduler.status().state != State::Running {
            self.scheduler.reset();
        }
    }

    /// How often its scheduler wants the backends to be measured, if it does.
    pub fn interval(&self) -> Option<Duration> {
        self.scheduler.interval()
    }

    /// Takes in how many microseconds connections to backends took, as far as that is known.
    pub fn measured(&mut self, times: &BTreeMap<SocketAddr, u32>) {
        let of = |it: &Candidate| Some((it.id, *times.get(&SocketAddr::new(it.address, it.port))?));
        self.scheduler
            .measured(self.candidates.iter().filter_map(of).collect());
    }

    /// Whether its table comes from its scheduler.
    pub(super) fn works(&self) -> bool {
        self.scheduler.works()
    }

    /// Takes in counts, and says whether any of its own moved.
    pub fn observe(&mut self, counts: &BTreeMap<BackendId, Load>) -> bool {
        let loads = in_order(&self.candidates, counts);
        let moved = loads != self.loads;
        self.loads = loads;
        moved
    }

    /// Gives plans as many slots as connections come by one of them. `position` is how many the kernel has drawn so far.
    /// Says whether the next table has another size.
    pub fn fit(&mut self, position: Option<u64>) -> bool {
        let before = std::mem::replace(&mut self.drawn, position);
        // Where the kernel has a rule that is new, it has begun anew.
        let drawn = position
            .zip(before)
            .and_then(|(now, before)| now.checked_sub(before));
        let plans = self.table.dispatch == Dispatch::Cycle && self.wants_load();
        match drawn {
            Some(drawn) if plans => self.width.fit(drawn, self.begun.elapsed()),
            _ => false,
        }
    }

    /// The kernel begins anew with the next table.
    pub fn begin_anew(&mut self) {
        self.drawn = Some(0);
    }

    /// Makes the table again. `position` is how many connections the kernel has drawn so far: the plan of a
    /// scheduler that looks at load begins at the slot it draws next.
    pub fn refill(&mut self, candidates: Vec<Candidate>, position: Option<u64>) {
        if candidates != self.candidates {
            self.loads = carry_loads(&self.candidates, &self.loads, &candidates);
            self.candidates = candidates;
        }
        let loads: &[Load] = if self.wants_load() { &self.loads } else { &[] };
        let outcome = self
            .scheduler
            .table(&self.candidates, loads, self.width.slots(), Instant::now());
        self.table = self.aligned(outcome.into_table(), position);
    }

    /// Who gets a new connection, where the scheduler is asked for each.
    pub fn pick(&mut self, flow: &NewFlow, now: Instant) -> Pick {
        self.scheduler.pick(flow, now)
    }

    /// Has the plan of a scheduler that looks at load begin at the slot that the kernel draws next.
    pub(super) fn aligned(&self, mut table: DispatchTable, position: Option<u64>) -> DispatchTable {
        if let (Dispatch::Cycle, true, Some(position)) = (table.dispatch, self.wants_load(), position) {
            table.begin_at(position);
        }
        table
    }

    /// The table that other backends would get, made by an instance of its own.
    pub fn rehearse(&self, candidates: Vec<Candidate>, position: Option<u64>) -> DispatchTable {
        let mut scheduler = Supervised::new(self.plugin.clone(), self.params.clone(), seed());
        let loads = carry_loads(&self.candidates, &self.loads, &candidates);
        let loads: &[Load] = if self.wants_load() { &loads } else { &[] };
        let outcome = scheduler.table(&candidates, loads, self.width.slots(), Instant::now());
        self.aligned(outcome.into_table(), position)
    }

    /// What has become of its scheduler since this was asked last, if anything.
    pub fn news(&mut self, key: &PoolKey) -> Option<Happening> {
        let now = (self.scheduler.failures(), self.works());
        let before = std::mem::replace(&mut self.told, now);
        if before == now {
            return None;
        }
        let SchedulerView {
            service,
            family,
            plugin,
            health,
            last_error,
            ..
        } = self.view(key);
        let works = now == (before.0, true);
        Some(if works {
            Happening::SchedulerWorks {
                service,
                family,
                plugin,
            }
        } else {
            Happening::SchedulerFailed {
                service,
                family,
                plugin,
                error: last_error.unwrap_or_default(),
                health,
            }
        })
    }

    /// How its scheduler is.
    pub fn view(&self, key: &PoolKey) -> SchedulerView {
        let status = self.scheduler.status();
        let fallback = status.source == Some(Source::Fallback);
        let health = match status.state {
            State::Running if status.source == Some(Source::Plugin) => SchedulerHealth::Running,
            State::Running => SchedulerHealth::Refusing { fallback },
            State::BackingOff { until } => {
                let retry_in = until.saturating_duration_since(Instant::now()).as_secs();
                SchedulerHealth::BackingOff { retry_in, fallback }
            }
            State::Quarantined => SchedulerHealth::Quarantined { fallback },
        };
        SchedulerView {
            service: key.service.clone(),
            family: key.family,
            plugin: self.spec.plugin.clone(),
            version: self.plugin.describe().version.clone(),
            dispatch: self.table.dispatch,
            health,
            calls: status.calls,
            failures: status.failures(),
            picks: status.picks,
            stand_ins: status.stand_ins,
            last_error: status.last_error,
            refused: self.watch.refused.clone(),
        }
    }
}

/// The counts of backends, in their order.
fn in_order(candidates: &[Candidate], counts: &BTreeMap<BackendId, Load>) -> Vec<Load> {
    candidates
        .iter()
        .map(|it| counts.get(&it.id).copied().unwrap_or_default())
        .collect()
}

/// The counts of the backends that stay; none for those that are new.
fn carry_loads(before: &[Candidate], loads: &[Load], after: &[Candidate]) -> Vec<Load> {
    let counts = before.iter().map(|it| it.id).zip(loads.iter().copied()).collect();
    in_order(after, &counts)
}
