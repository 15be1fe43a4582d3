//! The tc program's part of a change, and what is looked after between changes: routes and neighbours, interfaces,
//! connections that have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use wvs_tc_bpf::Timeouts;

use super::counting::{SHORTEST, cpu_time};
use super::engine::Engine;
use super::error::ApplyError;
use crate::api::Happening;
use crate::config::{Config, Service};
use crate::ids::BackendIds;
use crate::kernel::MarkMask;
use crate::kernel::tc::{TcError, TcSettings};
use crate::plan::Plan;
use crate::pool::{PoolKey, pools};
use crate::ruleset::Ruleset;
use crate::scheduler::{BackendId, Candidate, Load};
use crate::tc::{self, Facts, ServiceNumbers, Step, TcState};

/// The shortest pause between two looks at routes and neighbours.
const LOOK: Duration = Duration::from_secs(1);
/// The pause between two sweeps where nobody waits for counts.
const SWEEP: Duration = Duration::from_secs(1);
/// How many times the CPU time of a look or a sweep the pause after it is: each takes at most 2 % of one core.
const RESPITE: u32 = 50;
/// The same where a scheduler waits for counts, as long as the pause is then no longer than [`SOON`].
const HASTE: u32 = 10;
/// With some 50,000 connections and more it is [`RESPITE`] in any case.
const SOON: Duration = Duration::from_millis(250);

/// What the engine knows of the tc program.
#[derive(Debug)]
pub struct TcPlane {
    pub(super) numbers: ServiceNumbers,
    pub(super) facts: Facts,
    pub(super) desired: TcState,
    pub(super) installed: TcState,
    /// The living connections of each backend, by the last sweep.
    pub(super) counts: BTreeMap<BackendId, Load>,
    /// How many connections there were then, and how many have run out since the start.
    pub(super) connections: usize,
    pub(super) expired: u64,
    /// One in how many packets it reports; 0 is none.
    pub(super) sampling: u32,
    /// How many reports it could not make, by the last look at them.
    pub(super) unreported: u64,
    /// Somebody listens no more on an address that the filter still passes.
    stale_filter: bool,
    next_look: Instant,
    pub(super) next_sweep: Instant,
    trouble: Option<String>,
}

impl TcPlane {
    /// Nothing is known yet.
    pub fn new(numbers: ServiceNumbers, now: Instant) -> Self {
        TcPlane {
            numbers,
            facts: Facts::default(),
            desired: TcState::default(),
            installed: TcState::default(),
            counts: BTreeMap::new(),
            connections: 0,
            expired: 0,
            sampling: 0,
            unreported: 0,
            stale_filter: false,
            next_look: now,
            next_sweep: now,
            trouble: None,
        }
    }

    /// Whether there is anything to be looked after.
    pub fn is_idle(&self) -> bool {
        self.desired.is_empty() && self.installed.is_empty()
    }

    /// Whether a pool is scheduled by the program.
    pub fn number(&self, key: &PoolKey) -> Option<u32> {
        self.numbers
            .get(key)
            .filter(|number| self.desired.services.contains_key(number))
    }
}

impl Engine {
    /// Where the program's state lies for a configuration.
    pub(super) fn tc_settings(&self, config: &Config) -> TcSettings {
        TcSettings {
            pin_dir: self
                .pin_dir
                .clone()
                .unwrap_or_else(|| config.director.pin_dir.clone()),
            max_flows: config.director.max_flows,
        }
    }

    /// Asks the kernel what a configuration has to know; nothing where no service uses the program.
    pub(super) fn facts(&mut self, config: &Config) -> Result<Facts, ApplyError> {
        if !config.services.iter().any(|service| service.uses_tc()) {
            return Ok(Facts::default());
        }
        let addresses = &mut self.doors.addresses;
        let failed = ApplyError::Facts;
        Ok(Facts {
            routes: addresses.routes(&Facts::backends(config)).map_err(failed)?,
            holders: addresses
                .holders(&Facts::virtual_addresses(config))
                .map_err(failed)?,
            present: addresses.interface_names().map_err(failed)?,
        })
    }

    /// The pools' backends as their schedulers should see them now.
    pub(super) fn candidates_now(
        &self,
        config: &Config,
        ids: &BackendIds,
        facts: &Facts,
    ) -> BTreeMap<PoolKey, Vec<Candidate>> {
        let unreachable = facts.unreachable(config, ids);
        let mut all = pools(config, ids);
        for candidate in all.values_mut().flatten() {
            candidate.down = unreachable.contains_key(&candidate.id);
            candidate.overloaded = self.overloaded.contains(&candidate.id);
        }
        all
    }

    /// Has the program hold its state and the kernel a ruleset; both or neither.
    ///
    /// No packet finds a gap between the two. The program learns first what it is to forward; then comes the ruleset,
    /// which knows the old backends yet, because the program hands over packets for them; then the program leaves
    /// packets to nftables; then the old backends go.
    pub(super) fn install(
        &mut self,
        ruleset: Ruleset,
        state: TcState,
        with: &TcSettings,
        mark: MarkMask,
    ) -> Result<(Plan, Vec<Step>), ApplyError> {
        let before = (self.desired.clone(), self.tc.desired.clone());
        let steps = self.steps_to(&state, with)?;
        self.tc.desired = state;
        let changed = self.change_both(ruleset, steps.clone(), mark).and_then(|plan| {
            self.after_change(&before.1, &steps)?;
            Ok((plan, steps))
        });
        if changed.is_err() {
            self.take_back(before);
        }
        changed
    }

    /// What the program lacks to a state.
    fn steps_to(&mut self, state: &TcState, with: &TcSettings) -> Result<Vec<Step>, ApplyError> {
        // What another director has left is taken over also where nothing is wanted of it.
        let unused = state.services.is_empty() && self.tc.is_idle();
        if unused && !self.doors.tc.exists(with) {
            return Ok(Vec::new());
        }
        if let Some(found) = self.doors.tc.open(with)? {
            self.tc.installed = found;
            self.tc.sampling = 0;
        }
        Ok(tc::plan(state, &self.tc.installed))
    }

    pub(super) fn take_steps(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        if !steps.is_empty() {
            self.doors.tc.make(steps, &mut self.tc.installed)?;
        }
        Ok(())
    }

    /// What a change of the program brings with it.
    fn after_change(&mut self, before: &TcState, steps: &[Step]) -> Result<(), TcError> {
        if steps.is_empty() {
            return Ok(());
        }
        for id in before.backends.keys() {
            if !self.tc.desired.backends.contains_key(id) {
                // It still has connections, but no client is to come back to it.
                self.doors.tc.forget_clients(*id)?;
            }
        }
        self.tc.stale_filter |= steps.iter().any(|step| matches!(step, Step::Unlisten(_)));
        self.tc.next_sweep = Instant::now();
        Ok(())
    }

    /// Has the kernel and the program hold again what they held.
    fn take_back(&mut self, (ruleset, state): (Ruleset, TcState)) {
        // The same order as forwards: what is forwarded again comes before the ruleset that relies on it.
        let steps = tc::plan(&state, &self.tc.installed);
        self.tc.desired = state;
        let outcome = self
            .take_steps(&steps)
            .and_then(|()| self.commit(ruleset).map(drop));
        if let Err(error) = outcome {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot take back a change that failed"
            );
        }
    }

    /// Notes which of a service's backends take no new clients; the next [`refresh_tc`](Engine::refresh_tc) tells the
    /// program.
    pub(super) fn quiesce_tc(&mut self, service: &Service) {
        for backend in &service.backends {
            let id = self.ids.get(&service.name, backend.address);
            let target = id.and_then(|id| self.tc.desired.backends.get_mut(&id));
            if let Some(target) = target {
                target.quiesced = !backend.takes_clients();
            }
        }
    }

    /// Gives the program the tables of pools that have made them again, all at once.
    pub(super) fn refresh_tc<'k>(
        &mut self,
        keys: impl IntoIterator<Item = &'k PoolKey>,
    ) -> Result<(), ApplyError> {
        for key in keys {
            let (Some(number), Some(pool)) = (self.tc.number(key), self.pools.get(key)) else {
                continue;
            };
            if let Some(service) = self.tc.desired.services.get_mut(&number) {
                service.table = pool.table().clone();
            }
        }
        let steps = tc::plan(&self.tc.desired, &self.tc.installed);
        self.doors.tc.make(&steps, &mut self.tc.installed)?;
        Ok(())
    }

    /// Looks at routes, neighbours and interfaces where it is time, and at the connections that have ended.
    pub fn look_after_tc(&mut self, now: Instant) {
        if self.tc.is_idle() {
            return;
        }
        if now >= self.tc.next_look {
            let begun = cpu_time();
            let outcome = self.look_around();
            self.say_once(outcome);
            self.tc.next_look = Instant::now() + LOOK.max(cpu_time().saturating_sub(begun) * RESPITE);
        }
        if now >= self.tc.next_sweep {
            self.sweep_tc();
        }
    }

    /// A fault that lasts is told once, not at every look.
    pub(super) fn say_once(&mut self, outcome: Result<(), ApplyError>) {
        let said = outcome.as_ref().err().map(|error| crate::chain(error));
        if let (Err(error), true) = (outcome, said != self.tc.trouble) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot look after direct routing and tunnels"
            );
        }
        self.tc.trouble = said;
    }

    /// Takes in where backends are and which interfaces there are, and has the program follow.
    fn look_around(&mut self) -> Result<(), ApplyError> {
        let config = self.config.clone();
        let facts = self.facts(&config)?;
        for (host, route) in &facts.routes {
            let Ok(route) = route else { continue };
            if !route.local && !route.fresh {
                // It fails where the interface is going down; the next look sees that.
                let _ = self
                    .doors
                    .addresses
                    .make_sure(route.ifindex, route.next_hop(*host));
            }
        }
        // An interface that went and came back is another one: what was attached went with it.
        let attached = self.doors.tc.attachments()?;
        let installed = &mut self.tc.installed.interfaces;
        let before = installed.len();
        installed.retain(|interface| attached.contains(interface));
        let detached = installed.len() < before;
        if !detached && facts == self.tc.facts {
            return Ok(());
        }
        if detached {
            tracing::warn!(?attached, "the program is not attached everywhere any more; attaching it again");
        }
        self.log_ways(&config, &facts);
        self.apply(config, false).map(drop)
    }

    /// Tells which backends were lost and found.
    fn log_ways(&self, config: &Config, facts: &Facts) {
        let before = self.tc.facts.unreachable(config, &self.ids);
        let now = facts.unreachable(config, &self.ids);
        for (id, why) in now.iter().filter(|(id, _)| !before.contains_key(id)) {
            let Some((service, backend)) = self.ids.whose(*id) else {
                continue;
            };
            tracing::warn!(service, %backend, %why, "a backend cannot be reached; it gets no connections");
            self.events.say(Happening::BackendLost {
                service: service.to_owned(),
                backend,
                why: why.to_string(),
            });
        }
        for id in before.keys().filter(|id| !now.contains_key(id)) {
            let Some((service, backend)) = self.ids.whose(*id) else {
                continue;
            };
            tracing::info!(service, %backend, "a backend can be reached again");
            let service = service.to_owned();
            self.events.say(Happening::BackendFound { service, backend });
        }
    }

    /// Counts and expires the program's connections, and lets go of what no connection needs any more.
    pub(super) fn sweep_tc(&mut self) {
        let begun = cpu_time();
        match self.sweep() {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot sweep the connection tables"
                );
            }
        }
        let spent = cpu_time().saturating_sub(begun);
        let pause = match spent * HASTE {
            // A scheduler waits for the counts, and there are few connections: it gets them as with conntrack.
            soon if self.counts_matter() && soon <= SOON => soon.max(SHORTEST),
            _ => SWEEP.max(spent * RESPITE),
        };
        self.tc.next_sweep = Instant::now() + pause;
    }

    fn sweep(&mut self) -> Result<(), TcError> {
        let sweep = self.doors.tc.sweep(&self.timeouts())?;
        let installed = &self.tc.installed.backends;
        let current =
            |id: BackendId, generation| installed.get(&id).is_some_and(|it| it.generation == generation);
        self.tc.counts = sweep
            .counts
            .iter()
            .filter(|((id, generation), _)| current(BackendId(*id), *generation))
            .map(|((id, _), counts)| {
                let load = Load {
                    active: counts.active,
                    inactive: counts.inactive,
                };
                (BackendId(*id), load)
            })
            .collect();
        self.tc.connections = sweep.seen - sweep.expired;
        self.tc.expired += sweep.expired as u64;
        self.let_go()
    }

    /// Backends that were removed stay until their last connection ends; then the interfaces that are not wanted any
    /// more go too, and the addresses that nobody listens on.
    fn let_go(&mut self) -> Result<(), TcError> {
        let lingering: Vec<_> = self
            .tc
            .installed
            .backends
            .keys()
            .filter(|id| !self.tc.desired.backends.contains_key(id))
            .copied()
            .collect();
        if !lingering.is_empty() {
            // What they have sent since the last look belongs to their services' counts.
            self.read_tc_counters()?;
        }
        let mut left = lingering.len();
        for id in lingering {
            if !self.tc.counts.contains_key(&id) {
                self.forget_tc(id)?;
                left -= 1;
            }
        }
        if left > 0 {
            return Ok(());
        }
        for interface in self.doors.tc.attachments()? {
            if !self.tc.desired.interfaces.contains(&interface) {
                self.doors.tc.detach(&interface)?;
                self.tc.installed.interfaces.remove(&interface);
            }
        }
        if std::mem::take(&mut self.tc.stale_filter) {
            self.doors.tc.renew_filter()?;
        }
        Ok(())
    }

    /// Removes a backend from the program, with the connections that are left; says how many there were.
    pub(super) fn forget_tc(&mut self, id: BackendId) -> Result<usize, TcError> {
        if !self.tc.installed.backends.contains_key(&id) {
            return Ok(0);
        }
        let cut = self.doors.tc.forget(id)?;
        self.tc.installed.backends.remove(&id);
        Ok(cut)
    }

    /// The timeouts of all services, by their numbers.
    pub(super) fn timeouts(&self) -> BTreeMap<u16, Timeouts> {
        let of = |(pool, number): (&PoolKey, u32)| {
            let configured = &self.config.service(&pool.service)?.timeouts;
            let timeouts = Timeouts {
                established: configured.established,
                fin: configured.fin,
                datagram: configured.udp,
                ..Timeouts::default()
            };
            Some((u16::try_from(number).ok()?, timeouts))
        };
        self.tc.numbers.iter().filter_map(of).collect()
    }

    /// Which interfaces are configured and are not there.
    pub(super) fn missing_interfaces(config: &Config, facts: &Facts) -> BTreeSet<String> {
        if !config.services.iter().any(|service| service.uses_tc()) {
            return BTreeSet::new();
        }
        let wanted = tc::wanted_interfaces(config, facts);
        wanted.difference(&facts.present).cloned().collect()
    }
}
