//! One running plugin: calls into it, their limits, and the check of what it answers.

use std::fmt;
use std::time::Duration;

use wasmtime::Store;

use super::contract::{
    self, Backend, PACKAGE, Param, WireDispatch, flows, latency, load, policy, table, timer,
};
use super::deadline::CallTime;
use super::guard::{accepted, guarded, new_store};
use super::host::Plugin;
use super::sandbox::Sandbox;
use super::usable::Usable;
use super::{BackendId, Breach, CallError, Candidate, Dispatch, Load, NewFlow, Place};

/// How soon a table may be made again although nothing has happened.
const SOONEST: Duration = Duration::from_millis(50);
/// How often backends are measured at most.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// Among latencies: not known.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// One running plugin.
pub struct Instance {
    plugin: Plugin,
    store: Store<Sandbox>,
    guests: Guests,
    dispatch: Dispatch,
    usable: Usable,
    failed: bool,
}

/// Its interfaces of the contract.
struct Guests {
    policy: policy::Guest,
    table: Option<table::Guest>,
    flows: Option<flows::Guest>,
    load: Option<load::Guest>,
    timer: Option<timer::Guest>,
    latency: Option<latency::Guest>,
}

impl Guests {
    fn instantiate(plugin: &Plugin, store: &mut Store<Sandbox>) -> wasmtime::Result<Self> {
        let parts = &plugin.parts;
        let instance = parts.pre.instantiate(&mut *store)?;
        // Those that are optional; a macro, because each has a type of its own.
        macro_rules! load {
            ($part:ident) => {
                match &parts.$part {
                    Some(indices) => Some(indices.load(&mut *store, &instance)?),
                    None => None,
                }
            };
        }
        Ok(Self {
            policy: parts.policy.load(&mut *store, &instance)?,
            table: load!(table),
            flows: load!(flows),
            load: load!(load),
            timer: load!(timer),
            latency: load!(latency),
        })
    }

    /// Whether it has the interface that goes with what it answered to configure.
    fn suit(&self, dispatch: Dispatch) -> Result<(), Breach> {
        let (answer, interface, there) = match dispatch {
            Dispatch::Cycle => ("cycle", "table", self.table.is_some()),
            Dispatch::Hash(_) => ("hash", "table", self.table.is_some()),
            Dispatch::Flow => ("per-flow", "flows", self.flows.is_some()),
        };
        if there {
            return Ok(());
        }
        Err(Breach::Interface {
            answer,
            interface: format!("{PACKAGE}/{interface}@{}", contract::VERSION),
        })
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.plugin.name)
            .field("dispatch", &self.dispatch)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Instance {
    pub(super) fn describe(plugin: &Plugin) -> Result<policy::Description, CallError> {
        let time = CallTime::begin(plugin.shared.limits.call);
        let mut store = new_store(plugin, 0);
        guarded(plugin, &mut store, "describe", time, |store| {
            let instance = plugin.parts.pre.instantiate(&mut *store)?;
            plugin
                .parts
                .policy
                .load(&mut *store, &instance)?
                .call_describe(store)
        })
    }

    pub(super) fn start(plugin: &Plugin, params: &[(String, String)], seed: u64) -> Result<Self, CallError> {
        let limit = plugin.shared.limits.call;
        let mut store = new_store(plugin, seed);
        let guests = guarded(plugin, &mut store, "instantiate", CallTime::begin(limit), |store| {
            Guests::instantiate(plugin, store)
        })?;
        let params: Vec<Param> = params
            .iter()
            .map(|(key, value)| Param {
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        let answer = guarded(plugin, &mut store, "configure", CallTime::begin(limit), |store| {
            guests.policy.call_configure(store, &params)
        })?;
        let dispatch = match accepted(plugin, "configure", answer)? {
            WireDispatch::Cycle => Dispatch::Cycle,
            WireDispatch::Hash(key) => Dispatch::Hash(key.into()),
            WireDispatch::PerFlow => Dispatch::Flow,
        };
        guests.suit(dispatch).map_err(|what| CallError::Contract {
            plugin: plugin.name().to_owned(),
            call: "configure",
            what,
        })?;
        Ok(Self {
            plugin: plugin.clone(),
            store,
            guests,
            dispatch,
            usable: Usable::new(&[]),
            failed: false,
        })
    }

    /// How it is used.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch
    }

    /// Whether it wants [`observe`](Self::observe).
    #[must_use]
    pub fn wants_load(&self) -> bool {
        self.guests.load.is_some()
    }

    /// How many bytes its memories have.
    pub(super) fn memory(&self) -> usize {
        self.store.data().memory()
    }

    /// Sets the plugin's clock, which then stands still: for simulations.
    pub fn set_time(&mut self, seconds: f64) {
        self.store.data_mut().set_time(seconds);
    }

    /// Tells it the full set of backends.
    ///
    /// # Errors
    /// If it fails or refuses.
    pub fn update(&mut self, backends: &[Candidate]) -> Result<(), CallError> {
        let wire: Vec<Backend> = backends.iter().map(Backend::from).collect();
        let time = CallTime::begin(self.plugin.shared.limits.call);
        let answer =
            self.call("update", time, |guests, store| Some(guests.policy.call_update(store, &wire)))?;
        self.usable = Usable::new(backends);
        accepted(&self.plugin, "update", answer)
    }

    /// Tells it the connections of the backends, in the order of the last update. Does nothing if
    /// it does not want them.
    ///
    /// # Errors
    /// If it fails.
    pub fn observe(&mut self, loads: &[Load]) -> Result<(), CallError> {
        if self.guests.load.is_none() {
            return Ok(());
        }
        let active: Vec<u32> = loads.iter().map(|load| load.active).collect();
        let inactive: Vec<u32> = loads.iter().map(|load| load.inactive).collect();
        let time = CallTime::begin(self.plugin.shared.limits.observe);
        self.call("observe", time, |guests, store| {
            Some(guests.load.as_ref()?.call_observe(store, &active, &inactive))
        })
    }

    /// How often it wants to be told how fast the backends answer; `None` if it does not.
    ///
    /// # Errors
    /// If it fails.
    pub fn interval(&mut self) -> Result<Option<Duration>, CallError> {
        if self.guests.latency.is_none() {
            return Ok(None);
        }
        let time = CallTime::begin(self.plugin.shared.limits.observe);
        let millis =
            self.call("interval", time, |guests, store| Some(guests.latency.as_ref()?.call_interval(store)))?;
        Ok(Some(Duration::from_millis(millis.into()).max(SHORTEST_INTERVAL)))
    }

    /// Tells it how many microseconds a connection to each backend took, [`UNKNOWN`] if that is not known, in the order
    /// of the last update. Does nothing if it does not want to know.
    ///
    /// # Errors
    /// If it fails.
    pub fn observe_latency(&mut self, micros: &[u32]) -> Result<(), CallError> {
        if self.guests.latency.is_none() {
            return Ok(());
        }
        let time = CallTime::begin(self.plugin.shared.limits.observe);
        self.call("observe-latency", time, |guests, store| {
            Some(guests.latency.as_ref()?.call_observe_latency(store, micros))
        })
    }

    /// Asks for a table.
    ///
    /// # Errors
    /// If it fails or refuses, or if its answer is not a table of usable backends of the last update.
    pub fn fill(&mut self, slots: u32) -> Result<Vec<Option<BackendId>>, CallError> {
        let time = CallTime::begin(self.plugin.shared.limits.call);
        let answer =
            self.call("fill", time, |guests, store| Some(guests.table.as_ref()?.call_fill(store, slots)))?;
        let table = accepted(&self.plugin, "fill", answer)?;
        self.take_over(&table, slots)
            .map_err(|what| self.breach("fill", what))
    }

    /// Asks when it wants to make another table, even if nothing happens.
    ///
    /// # Errors
    /// If it fails.
    pub fn due(&mut self) -> Result<Option<Duration>, CallError> {
        if self.guests.timer.is_none() {
            return Ok(None);
        }
        let time = CallTime::begin(self.plugin.shared.limits.observe);
        let millis = self.call("due", time, |guests, store| Some(guests.timer.as_ref()?.call_due(store)))?;
        Ok((millis > 0).then(|| Duration::from_millis(millis.into()).max(SOONEST)))
    }

    /// Asks who is to get a new connection; `None` is nobody, and the connection is refused.
    ///
    /// # Errors
    /// If it fails, or names a backend that is not usable or was not in the last update.
    pub fn pick(&mut self, flow: &NewFlow) -> Result<Option<BackendId>, CallError> {
        let time = CallTime::begin_short(self.plugin.shared.limits.pick);
        let wire = flow.into();
        let answer =
            self.call("pick", time, |guests, store| Some(guests.flows.as_ref()?.call_pick(store, wire)))?;
        answer
            .map(|id| {
                self.usable.check(Place::Choice, id).map_err(|what| {
                    // Nothing is known of the state of a plugin that answers what does not exist.
                    self.failed = true;
                    self.breach("pick", what)
                })
            })
            .transpose()
    }

    /// A table of ids, checked: [`fill`](Self::fill) without the plugin, as if the scheduler were compiled in.
    ///
    /// # Errors
    /// If it is not of so many slots, each with nobody or a usable backend of the last update.
    pub fn take_over(&self, table: &[u32], slots: u32) -> Result<Vec<Option<BackendId>>, Breach> {
        self.usable.table(table, slots)
    }

    fn breach(&self, call: &'static str, what: Breach) -> CallError {
        CallError::Contract {
            plugin: self.plugin.name().to_owned(),
            call,
            what,
        }
    }

    /// Calls a function of the plugin, if it has it.
    fn call<R>(
        &mut self,
        name: &'static str,
        time: CallTime,
        f: impl FnOnce(&Guests, &mut Store<Sandbox>) -> Option<wasmtime::Result<R>>,
    ) -> Result<R, CallError> {
        if self.failed {
            return Err(CallError::Failed {
                plugin: self.plugin.name().to_owned(),
                call: name,
            });
        }
        let mut missing = false;
        let answer = guarded(&self.plugin, &mut self.store, name, time, |store| {
            f(&self.guests, store).unwrap_or_else(|| {
                missing = true;
                Err(wasmtime::Error::msg("it has no such function"))
            })
        });
        self.failed = answer.is_err() && !missing;
        answer
    }
}
