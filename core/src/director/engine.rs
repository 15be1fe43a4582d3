//! The engine: takes changes, plans them and has the kernel hold them.
//!
//! It runs on one thread that owns every door to the kernel and every scheduler, one step at a time. A step
//! that fails leaves the kernel, the schedulers and the running configuration as they were.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

use super::asked::{Answering, Steps};
use super::counting::Clock;
use super::error::ApplyError;
use super::events::Events;
use super::forwarding::TcPlane;
use super::latency::Rounds;
use super::metrics::Memory;
use super::pools::RunningPool;
use super::queued::Queued;
use super::refused::Refused;
use super::store::{ManagedAddresses, Running, Store};
use super::swap::Swaps;
use super::totals::Totals;
use crate::api::{Applied, Edit};
use crate::config::check::check_with;
use crate::config::{Config, HIGHEST_WEIGHT};
use crate::dispatch::DispatchTable;
use crate::edit::edit;
use crate::ids::BackendIds;
use crate::kernel::Doors;
use crate::plan::{Observed, Plan, plan};
use crate::pool::PoolKey;
use crate::ruleset::Ruleset;
use crate::ruleset::build::{build, follows_weights, service_chain};
use crate::scheduler::catalog::Catalog;
use crate::scheduler::{BackendId, Candidate};
use crate::tc::{self, Facts};

/// Everything that a director knows.
pub struct Engine {
    pub(super) doors: Doors,
    pub(super) catalog: Catalog,
    pub(super) store: Store,
    pub(super) config: Config,
    pub(super) config_file: PathBuf,
    /// Where the operator wants the tc program's state, whatever the file says.
    pub(super) pin_dir: Option<PathBuf>,
    /// How many configurations were applied whole before this one.
    pub(super) epoch: u64,
    pub(super) edited: bool,
    pub(super) ids: BackendIds,
    pub(super) pools: BTreeMap<PoolKey, RunningPool>,
    pub(super) desired: Ruleset,
    pub(super) observed: Observed,
    pub(super) managed: ManagedAddresses,
    pub(super) totals: Totals,
    pub(super) commits: u64,
    pub(super) repairs: u64,
    pub(super) unreachable: BTreeMap<IpAddr, String>,
    pub(super) started: Instant,
    pub(super) clock: Clock,
    pub(super) rounds: Rounds,
    pub(super) tc: TcPlane,
    /// The way back to itself, for threads that wait for the kernel.
    pub(super) steps: Steps,
    pub(super) answering: Option<Answering>,
    pub(super) queued: Queued,
    /// The backends that have as many connections as they may.
    pub(super) overloaded: BTreeSet<BackendId>,
    /// What was refused, by the last look.
    pub(super) refused: Refused,
    /// Where it tells what happens.
    pub(super) events: Events,
    pub(super) swaps: Swaps,
    pub(super) metrics: Memory,
}

impl Engine {
    /// Looks at the kernel and is ready for a first [`apply`](Engine::apply).
    pub fn new(
        mut doors: Doors,
        catalog: Catalog,
        store: Store,
        config_file: PathBuf,
    ) -> Result<Self, ApplyError> {
        let observed = doors.nft.observe()?;
        Ok(Engine {
            doors,
            catalog,
            ids: store.ids()?,
            managed: store.addresses()?,
            tc: TcPlane::new(store.service_numbers()?, Instant::now()),
            steps: Steps::new(),
            answering: None,
            queued: Queued::default(),
            overloaded: BTreeSet::new(),
            refused: Refused::default(),
            events: Events::default(),
            store,
            config: Config::default(),
            config_file,
            pin_dir: None,
            epoch: 0,
            edited: false,
            pools: BTreeMap::new(),
            desired: Ruleset::default(),
            observed,
            totals: Totals::default(),
            commits: 0,
            repairs: 0,
            unreachable: BTreeMap::new(),
            started: Instant::now(),
            clock: Clock::new(Instant::now()),
            rounds: Rounds::default(),
            swaps: Swaps::new(Instant::now()),
            metrics: Memory::default(),
        })
    }

    /// Makes a configuration, which has been checked, the running one; or says what that would change.
    pub fn apply(&mut self, config: Config, dry_run: bool) -> Result<Applied, ApplyError> {
        let mut ids = self.ids.clone();
        ids.assign(&config, config.director.mark().highest())?;
        let mut numbers = self.tc.numbers.clone();
        numbers.assign(&config)?;
        self.preflight(&config)?;
        let address = self.metrics.addresses.prepare(config.director.metrics)?;
        let facts = self.facts(&config)?;
        let (tables, fresh) = self.tables(&config, &ids, &facts, dry_run)?;
        let queue = self.take_queue(&config, &tables, dry_run);
        let desired = build(&config, &ids, &tables, &facts.for_ruleset(queue));
        let state = tc::build(&config, &ids, &numbers, &tables, &facts);
        if dry_run {
            let steps = tc::plan(&state, &self.tc.installed);
            let addresses = self.address_changes(&config);
            return Ok(Applied {
                plan: in_words(&plan(&desired, &self.observed), &steps),
                changed: config != self.config,
                addresses,
                dry_run,
                ..Applied::default()
            });
        }
        let before = (self.desired.clone(), self.tc.desired.clone());
        let settings = self.tc_settings(&config);
        let committed = self
            .store
            .keep_ids(&ids)
            .and_then(|()| self.store.keep_service_numbers(&numbers))
            .map_err(ApplyError::from)
            .and_then(|()| self.install(desired, state, &settings, config.director.mark()));
        let (plan, steps) = match committed {
            Ok(done) => done,
            Err(error) => {
                self.restore_schedulers();
                return Err(error);
            }
        };
        let addresses = match self.manage_addresses(&config) {
            Ok(changes) => changes,
            Err(error) => {
                self.install(before.0, before.1, &settings, self.config.director.mark())?;
                self.restore_schedulers();
                let running = self.config.clone();
                if let Err(error) = self.manage_addresses(&running) {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot take addresses back");
                }
                return Err(error);
            }
        };
        self.metrics.addresses.make(address);
        self.pools.retain(|key, _| tables.contains_key(key));
        self.pools.extend(fresh);
        self.tc.numbers = numbers;
        self.tc.facts = facts;
        let changed = self.config != config;
        self.config = config;
        self.forget_counts(&ids);
        self.ids = ids;
        self.tell_of_schedulers();
        let forgotten = self.forget_clients(&plan);
        self.answer_questions();
        self.leave_queue();
        self.attend_at_once();
        let warnings = self.look_for_backends();
        Ok(Applied {
            plan: in_words(&plan, &steps),
            changed,
            addresses,
            cut: 0,
            forgotten,
            dry_run,
            warnings,
        })
    }

    /// Takes a checked configuration from the director's file or from an operator, and keeps it.
    pub fn replace(&mut self, config: Config, text: &str, dry_run: bool) -> Result<Applied, ApplyError> {
        let applied = self.apply(config, dry_run)?;
        if !dry_run {
            self.epoch += 1;
            self.edited = false;
            let config = self.config.clone();
            self.store.keep_running(&Running {
                digest: Store::digest(text),
                epoch: self.epoch,
                config,
            })?;
            self.tell_of_change(&applied, false);
        }
        Ok(applied)
    }

    /// Makes one change of the running configuration, and keeps it.
    pub fn edit(&mut self, change: &Edit) -> Result<Applied, ApplyError> {
        let cut = self.to_be_cut(change);
        let mut applied = self.make(change)?;
        self.tell_of_change(&applied, true);
        self.edited = true;
        self.store.keep_edit(self.epoch, change)?;
        if !cut.is_empty() {
            let mark = self.config.director.mark();
            applied.cut = self.doors.conntrack.cut(mark, &cut).map_err(ApplyError::Cut)?;
            self.read_tc_counters()?;
            for id in cut {
                applied.cut += self.forget_tc(id)?;
            }
        }
        Ok(applied)
    }

    fn make(&mut self, change: &Edit) -> Result<Applied, ApplyError> {
        let config = edit(&self.config, change)?;
        let service = match change {
            // The only rule that these two could break.
            Edit::SetWeight {
                service,
                weight: 0..=HIGHEST_WEIGHT,
                ..
            }
            | Edit::Drain { service, .. }
                if !config.service(service).is_some_and(follows_weights) =>
            {
                service
            }
            _ => {
                let problems = check_with(&config, &self.catalog);
                if !problems.is_empty() {
                    let lines = problems.iter().map(|problem| format!("error: {problem}\n"));
                    return Err(ApplyError::Faults(lines.collect()));
                }
                return self.apply(config, false);
            }
        };
        match self.reweigh(&config, service) {
            Ok(plan) => {
                let changed = self.config != config;
                self.config = config;
                Ok(Applied {
                    plan: plan.to_string(),
                    changed,
                    ..Applied::default()
                })
            }
            Err(error) => {
                self.restore_schedulers();
                Err(error)
            }
        }
    }

    /// A change of weights alone touches one service's tables, however many services there are.
    fn reweigh(&mut self, config: &Config, service: &str) -> Result<Plan, ApplyError> {
        let mut plan = Plan::default();
        let Some(changed) = config.service(service) else {
            return Ok(plan);
        };
        self.quiesce_tc(changed);
        let standing = self.candidates_now(config, &self.ids, &self.tc.facts);
        for (key, backends) in standing.into_iter().filter(|(key, _)| key.service == service) {
            plan.ops.extend(self.redraw(&key, backends)?.ops);
        }
        Ok(plan)
    }

    /// Has a pool's scheduler make its table again, and sends what changed. The table of one that looks at load
    /// begins at the slot that the kernel draws next.
    pub(super) fn redraw(&mut self, key: &PoolKey, backends: Vec<Candidate>) -> Result<Plan, ApplyError> {
        self.redraw_table(key, backends)?;
        self.refresh(key)
    }

    /// The same without sending anything.
    pub(super) fn redraw_table(&mut self, key: &PoolKey, backends: Vec<Candidate>) -> Result<(), ApplyError> {
        let position = self.position(key)?;
        let in_program = self.tc.number(key).is_some();
        if let Some(pool) = self.pools.get_mut(key) {
            let resized = pool.fit(position);
            if resized && !in_program {
                // Another size is another rule, whose walk begins anew.
                pool.begin_anew();
                pool.refill(backends, Some(0));
            } else {
                pool.refill(backends, position);
            }
        }
        Ok(())
    }

    /// How many connections the kernel has drawn so far, where that makes a difference for a pool's table.
    pub(super) fn position(&mut self, key: &PoolKey) -> Result<Option<u64>, ApplyError> {
        if !self.pools.get(key).is_some_and(|pool| pool.wants_load()) {
            return Ok(None);
        }
        let position = match self.tc.number(key) {
            Some(number) => self.doors.tc.position(number)?,
            None => self
                .doors
                .nft
                .position(key.family, &service_chain(&key.service))?,
        };
        Ok(Some(position))
    }

    /// Every pool's table for a configuration, and the pools whose scheduler had to be started for it.
    ///
    /// A dry run starts schedulers of its own, so that the running ones hear nothing of it.
    #[allow(clippy::type_complexity)]
    fn tables(
        &mut self,
        config: &Config,
        ids: &BackendIds,
        facts: &Facts,
        dry_run: bool,
    ) -> Result<(BTreeMap<PoolKey, DispatchTable>, BTreeMap<PoolKey, RunningPool>), ApplyError> {
        let mut fresh = BTreeMap::new();
        let mut refill = Vec::new();
        let standing = self.candidates_now(config, ids, facts);
        let mut tables = BTreeMap::new();
        for (key, candidates) in standing {
            let Some(service) = config.service(&key.service) else {
                continue;
            };
            match self.pools.get(&key) {
                Some(pool) if pool.serves(service, config) => {
                    tables.insert(key.clone(), pool.table().clone());
                    if pool.candidates() != candidates {
                        refill.push((key, candidates));
                    }
                }
                _ => {
                    let pool =
                        RunningPool::start(&self.catalog, config, service, candidates, self.pools.get(&key))?;
                    fresh.insert(key, pool);
                }
            }
        }
        for (key, candidates) in refill {
            let position = self.position(&key)?;
            let Some(pool) = self.pools.get_mut(&key) else {
                continue;
            };
            let table = if dry_run {
                pool.rehearse(candidates, position)
            } else {
                pool.refill(candidates, position);
                pool.table().clone()
            };
            tables.insert(key, table);
        }
        tables.extend(
            fresh
                .iter()
                .map(|(key, pool): (&PoolKey, &RunningPool)| (key.clone(), pool.table().clone())),
        );
        Ok((tables, fresh))
    }

    /// Tells the schedulers again about the configuration that stays.
    fn restore_schedulers(&mut self) {
        for (key, candidates) in self.candidates_now(&self.config, &self.ids, &self.tc.facts) {
            if self
                .pools
                .get(&key)
                .is_none_or(|pool| pool.candidates() == candidates)
            {
                continue;
            }
            let position = self.position(&key).ok().flatten();
            if let Some(pool) = self.pools.get_mut(&key) {
                pool.refill(candidates, position);
            }
        }
    }

    /// The backends whose connections an edit asks to forget.
    fn to_be_cut(&self, change: &Edit) -> Vec<BackendId> {
        match change {
            Edit::RemoveService { service, cut: true } => {
                let backends = self
                    .config
                    .service(service)
                    .into_iter()
                    .flat_map(|it| &it.backends);
                backends
                    .filter_map(|backend| self.ids.get(service, backend.address))
                    .collect()
            }
            Edit::RemoveBackend {
                service,
                backend,
                cut: true,
            } => self.ids.get(service, *backend).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Removes everything of ours from the kernel.
    pub fn teardown(&mut self) -> Result<crate::api::Torn, ApplyError> {
        let mut tables = self.doors.nft.teardown()?;
        tables |= self.doors.tc.teardown(&self.tc_settings(&self.config))?;
        self.tc = TcPlane::new(self.tc.numbers.clone(), Instant::now());
        self.answering = None;
        let addresses = self.manage_addresses(&Config::default())?;
        self.observed = Observed::default();
        self.desired = Ruleset::default();
        self.queued = Queued::default();
        Ok(crate::api::Torn { tables, addresses })
    }
}

/// What a change does, for operators: an nft script, and the tc program's steps as its comments.
fn in_words(plan: &Plan, steps: &[tc::Step]) -> String {
    let mut words = plan.to_string();
    for step in steps {
        words += &format!("# tc: {step}\n");
    }
    words
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("config_file", &self.config_file)
            .finish_non_exhaustive()
    }
}
