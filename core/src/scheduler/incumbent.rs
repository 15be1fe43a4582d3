//! The plugin in use: its instance, what that has been told, and how often it failed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::supervise::Supervision;
use super::{
    BackendId, CallError, Candidate, Dispatch, Instance, Load, NewFlow, Plugin, Source, UNKNOWN_LATENCY,
};
use crate::dispatch::{DispatchTable, smooth_round_robin};

/// How many times what a table took the pause before the next one is, where only time passes.
const RESPITE: u32 = 10;
/// How often one that is new to a service is asked before it is used.
const ROUNDS: u32 = 5;

/// A service as it was when a table was last asked for.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) candidates: Vec<Candidate>,
    loads: Vec<Load>,
    /// How many microseconds a connection to each backend took, as far as that is known.
    latencies: BTreeMap<BackendId, u32>,
    /// How often that was measured.
    measured: u64,
    slots: u32,
    /// The director's round robin, for connections that a plugin which is asked for each cannot decide. Made when
    /// it is needed: it costs a look at each backend for each slot.
    turns: Option<Vec<Option<BackendId>>>,
    /// Whose turn it is.
    turn: usize,
}

impl Service {
    pub(super) fn change(&mut self, candidates: &[Candidate], loads: &[Load], slots: u32) {
        if self.candidates != candidates || self.slots != slots {
            self.candidates = candidates.to_vec();
            self.slots = slots;
            self.turns = None;
        }
        self.loads = loads.to_vec();
    }

    pub(super) fn measured(&mut self, latencies: BTreeMap<BackendId, u32>) {
        self.latencies = latencies;
        self.measured += 1;
    }

    /// In the order of the candidates.
    fn latencies(&self) -> Vec<u32> {
        let known = |it: &Candidate| self.latencies.get(&it.id).copied();
        self.candidates
            .iter()
            .map(|it| known(it).unwrap_or(UNKNOWN_LATENCY))
            .collect()
    }

    pub(super) fn next_turn(&mut self) -> Option<BackendId> {
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let turns = self.turns();
        turns.get(turn % turns.len().max(1)).copied().flatten()
    }

    pub(super) fn round_robin(&mut self) -> DispatchTable {
        DispatchTable {
            dispatch: Dispatch::Flow,
            slots: self.turns().to_vec(),
        }
    }

    fn turns(&mut self) -> &[Option<BackendId>] {
        self.turns
            .get_or_insert_with(|| smooth_round_robin(&self.candidates, self.slots))
    }
}

/// The plugin in use.
#[derive(Debug)]
pub struct Incumbent {
    pub(super) plugin: Plugin,
    params: Vec<(String, String)>,
    seed: u64,
    pub(super) instance: Option<Instance>,
    /// What the instance knows.
    pub(super) told: Option<Vec<Candidate>>,
    /// Of which measurement it was told last.
    heard: u64,
    /// How often it wants one.
    pub(super) interval: Option<Duration>,
    pub(super) supervision: Supervision,
    /// As the plugin made it, not repaired: a backend that comes back finds its entries.
    pub(super) last: Option<DispatchTable>,
    /// Known once the plugin has been configured.
    pub(super) dispatch: Option<Dispatch>,
    /// Where the last table or choice came from.
    pub(super) source: Option<Source>,
    /// Why it failed last, or what it refused last.
    pub(super) last_error: Option<String>,
    /// When it wants to make another table, even if nothing happens.
    pub(super) due: Option<Instant>,
}

impl Incumbent {
    pub(super) fn new(plugin: Plugin, params: Vec<(String, String)>, seed: u64) -> Self {
        Self {
            plugin,
            params,
            seed,
            instance: None,
            told: None,
            heard: 0,
            interval: None,
            supervision: Supervision::default(),
            last: None,
            dispatch: None,
            source: None,
            last_error: None,
            due: None,
        }
    }

    /// Another plugin, or the same with other parameters, for the same service.
    pub(super) fn successor(&self, plugin: Plugin, params: Vec<(String, String)>) -> Self {
        Self::new(plugin, params, self.seed)
    }

    /// The same as if it had never been started.
    pub(super) fn anew(&self) -> Self {
        self.successor(self.plugin.clone(), self.params.clone())
    }

    /// Starts the plugin if need be, tells it what it does not know, and asks.
    pub(super) fn attempt(&mut self, service: &mut Service) -> Result<DispatchTable, CallError> {
        let dispatch = self.prepare(service)?;
        if dispatch == Dispatch::Flow {
            return Ok(service.round_robin());
        }
        self.due = None;
        let begun = Instant::now();
        let slots = match &mut self.instance {
            Some(instance) => instance.fill(service.slots)?,
            None => Vec::new(),
        };
        if let Some(instance) = &mut self.instance
            && let Some(pause) = instance.due()?
        {
            let now = Instant::now();
            self.due = Some(now + pause.max((now - begun) * RESPITE));
        }
        Ok(DispatchTable { dispatch, slots })
    }

    /// The first calls, of which none may fail.
    pub(super) fn first_calls(&mut self, service: &mut Service) -> Result<DispatchTable, CallError> {
        self.rehearse(service)?;
        let table = self.attempt(service)?;
        self.last = Some(table.clone());
        self.source = Some(Source::Plugin);
        Ok(table)
    }

    /// Some rounds of what a director asks, in an instance of its own: the one that stays does not hear of connections
    /// that never were.
    fn rehearse(&self, service: &Service) -> Result<(), CallError> {
        let mut probe = self.plugin.start(&self.params, self.seed)?;
        probe.interval()?;
        probe.update(&service.candidates)?;
        for round in 0..ROUNDS {
            let mut loads = service.loads.clone();
            loads.resize(service.candidates.len(), Load::default());
            for load in &mut loads {
                load.active = load.active.saturating_add(round);
            }
            probe.observe(&loads)?;
            probe.observe_latency(&service.latencies())?;
            if probe.dispatch() == Dispatch::Flow {
                let ends = |host: u32| SocketAddr::from((Ipv4Addr::from_bits(host), 0));
                probe.pick(&NewFlow::new(ends(round), ends(0), 0, 0))?;
            } else {
                probe.fill(service.slots)?;
                probe.due()?;
            }
        }
        Ok(())
    }

    pub(super) fn pick(&mut self, service: &Service, flow: &NewFlow) -> Result<Option<BackendId>, CallError> {
        if self.instance.is_none() {
            self.prepare(service)?;
        }
        match &mut self.instance {
            Some(instance) => instance.pick(flow),
            None => Ok(None),
        }
    }

    /// Starts the plugin if need be, and tells it what it does not know.
    fn prepare(&mut self, service: &Service) -> Result<Dispatch, CallError> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => {
                let mut instance = self.plugin.start(&self.params, self.seed)?;
                (self.interval, self.heard) = (instance.interval()?, 0);
                none.insert(instance)
            }
        };
        let dispatch = instance.dispatch();
        self.dispatch = Some(dispatch);
        let (candidates, loads) = (&service.candidates, &service.loads);
        if self.told.as_ref() != Some(candidates) {
            // Half an update may have been taken in, so until it is through nothing is known.
            self.told = None;
            instance.update(candidates)?;
            self.told = Some(candidates.clone());
        }
        if loads.len() == candidates.len() {
            instance.observe(loads)?;
        }
        // Once each: it may average them.
        if self.heard != service.measured {
            self.heard = service.measured;
            instance.observe_latency(&service.latencies())?;
        }
        Ok(dispatch)
    }

    /// It has refused an update, and waits for another one.
    pub(super) fn is_waiting(&self) -> bool {
        self.instance.is_some() && self.told.is_none()
    }

    pub(super) fn discard_instance(&mut self) {
        (self.instance, self.told, self.due) = (None, None, None);
    }
}
