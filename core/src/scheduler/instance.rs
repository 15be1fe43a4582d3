//! One running plugin: calls into it, their limits, and the check of what it answers.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use wasmtime::{AsContextMut, Store, Trap};

use super::contract::{Backend, NO_BACKEND, Param, WireDispatch, load, policy, table};
use super::host::Plugin;
use super::sandbox::Sandbox;
use super::ticker::TICK;
use super::{BackendId, Candidate, Dispatch, Load};

/// Why a call of a plugin gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It did something that WebAssembly forbids, or gave up.
    #[error("plugin {plugin}: {call} trapped: {cause}")]
    Trap {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// The kind of trap, and the plugin's last words.
        cause: String,
    },
    /// It did not come to an end.
    #[error("plugin {plugin}: {call} was stopped after its {} ms", limit.as_millis())]
    Deadline {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// How long it may take.
        limit: Duration,
    },
    /// It wanted more memory than there is.
    #[error(
        "plugin {plugin}: {call} failed: memory limit {limit} B reached, the plugin asked for {wanted} B"
    )]
    Memory {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// How much it may have.
        limit: usize,
        /// How much it wanted to have.
        wanted: usize,
    },
    /// Its answer breaks the contract.
    #[error("plugin {plugin}: {call} broke the contract: {what}")]
    Contract {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// In what way.
        what: String,
    },
    /// It said no, in its own words.
    #[error("plugin {plugin}: {call} refused: {message}")]
    Refused {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// Its words.
        message: String,
    },
    /// It wants to be asked for each connection.
    #[error(
        "plugin {plugin}: asks to decide for each connection (per-flow), which is not supported by this version"
    )]
    PerFlow {
        /// The plugin.
        plugin: String,
    },
    /// It failed before, and nothing is known of its state.
    #[error("plugin {plugin}: {call} was not tried, because this instance failed before: start another")]
    Failed {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
    },
}

impl CallError {
    /// One word for counters.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Deadline { .. } => "deadline",
            Self::Memory { .. } => "memory",
            Self::Contract { .. } | Self::PerFlow { .. } => "contract",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }
}

/// One running plugin.
pub struct Instance {
    plugin: Plugin,
    store: Store<Sandbox>,
    policy: policy::Guest,
    table: table::Guest,
    load: Option<load::Guest>,
    dispatch: Dispatch,
    /// The backends of the last update, and whether each may be in a table.
    usable: HashMap<u32, bool>,
    failed: bool,
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
        let limit = plugin.shared.limits.call;
        let mut store = new_store(plugin, 0);
        guarded(plugin, &mut store, "describe", limit, |store| {
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
        let parts = &plugin.parts;
        let (policy, table, load) = guarded(plugin, &mut store, "instantiate", limit, |store| {
            let instance = parts.pre.instantiate(&mut *store)?;
            let load = parts
                .load
                .as_ref()
                .map(|load| load.load(&mut *store, &instance))
                .transpose()?;
            Ok((
                parts.policy.load(&mut *store, &instance)?,
                parts.table.load(&mut *store, &instance)?,
                load,
            ))
        })?;
        let params: Vec<Param> = params
            .iter()
            .map(|(key, value)| Param {
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        let answer =
            guarded(plugin, &mut store, "configure", limit, |store| policy.call_configure(store, &params))?;
        let dispatch = match accepted(plugin, "configure", answer)? {
            WireDispatch::Cycle => Dispatch::Cycle,
            WireDispatch::Hash(key) => Dispatch::Hash(key.into()),
            WireDispatch::PerFlow => {
                return Err(CallError::PerFlow {
                    plugin: plugin.name().to_owned(),
                });
            }
        };
        let plugin = plugin.clone();
        Ok(Self {
            plugin,
            store,
            policy,
            table,
            load,
            dispatch,
            usable: HashMap::new(),
            failed: false,
        })
    }

    /// How its tables are used.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch
    }

    /// Whether it wants [`observe`](Self::observe).
    #[must_use]
    pub fn wants_load(&self) -> bool {
        self.load.is_some()
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
        let limit = self.plugin.shared.limits.call;
        let answer = self.call("update", limit, |guest, store| guest.policy.call_update(store, &wire))?;
        self.usable = backends
            .iter()
            .map(|backend| (backend.id.0.into(), backend.usable()))
            .collect();
        accepted(&self.plugin, "update", answer)
    }

    /// Tells it the connections of the backends, in the order of the last update. Does nothing if
    /// it does not want them.
    ///
    /// # Errors
    /// If it fails.
    pub fn observe(&mut self, loads: &[Load]) -> Result<(), CallError> {
        if self.load.is_none() {
            return Ok(());
        }
        let active: Vec<u32> = loads.iter().map(|load| load.active).collect();
        let inactive: Vec<u32> = loads.iter().map(|load| load.inactive).collect();
        let limit = self.plugin.shared.limits.observe;
        self.call("observe", limit, |guest, store| match &guest.load {
            Some(load) => load.call_observe(store, &active, &inactive),
            None => Ok(()),
        })
    }

    /// Asks for a table.
    ///
    /// # Errors
    /// If it fails or refuses, or if its answer is not a table of usable backends of the last update.
    pub fn fill(&mut self, slots: u32) -> Result<Vec<Option<BackendId>>, CallError> {
        let limit = self.plugin.shared.limits.call;
        let answer = self.call("fill", limit, |guest, store| guest.table.call_fill(store, slots))?;
        let table = accepted(&self.plugin, "fill", answer)?;
        self.validate(&table, slots).map_err(|what| CallError::Contract {
            plugin: self.plugin.name().to_owned(),
            call: "fill",
            what,
        })
    }

    fn validate(&self, table: &[u32], slots: u32) -> Result<Vec<Option<BackendId>>, String> {
        if table.len() != slots as usize {
            return Err(format!("{slots} slots were asked for, and {} came", table.len()));
        }
        let check = |(slot, &id): (usize, &u32)| match self.usable.get(&id) {
            _ if id == NO_BACKEND => Ok(None),
            Some(true) => Ok(u16::try_from(id).ok().map(BackendId)),
            Some(false) => Err(format!(
                "slot {slot} holds backend {id}, which takes no new connections (weight 0, draining or overloaded)"
            )),
            None => Err(format!("slot {slot} holds backend {id}, which was not in the last update")),
        };
        table.iter().enumerate().map(check).collect()
    }

    fn call<R>(
        &mut self,
        name: &'static str,
        limit: Duration,
        f: impl FnOnce(&Guests<'_>, &mut Store<Sandbox>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        if self.failed {
            return Err(CallError::Failed {
                plugin: self.plugin.name().to_owned(),
                call: name,
            });
        }
        let guests = Guests {
            policy: &self.policy,
            table: &self.table,
            load: self.load.as_ref(),
        };
        let answer = guarded(&self.plugin, &mut self.store, name, limit, |store| f(&guests, store));
        self.failed = answer.is_err();
        answer
    }
}

struct Guests<'a> {
    policy: &'a policy::Guest,
    table: &'a table::Guest,
    load: Option<&'a load::Guest>,
}

fn new_store(plugin: &Plugin, seed: u64) -> Store<Sandbox> {
    let limits = plugin.shared.limits;
    let mut store = Store::new(&plugin.shared.engine, Sandbox::new(plugin.name.clone(), limits, seed));
    store.limiter(|sandbox| sandbox);
    store.set_hostcall_fuel(limits.answer_size);
    store
}

/// Runs something of the plugin under its limits, and explains how it failed.
fn guarded<R>(
    plugin: &Plugin,
    store: &mut Store<Sandbox>,
    call: &'static str,
    limit: Duration,
    f: impl FnOnce(&mut Store<Sandbox>) -> wasmtime::Result<R>,
) -> Result<R, CallError> {
    let sandbox = store.data_mut();
    (sandbox.refused_memory, sandbox.last_words) = (None, None);
    // One more, for the tick that is already under way.
    let ticks = limit.as_millis() / TICK.as_millis() + 1;
    store
        .as_context_mut()
        .set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX));
    let _ticking = plugin.shared.ticker.during_call();
    f(store).map_err(|error| explain(plugin, store.data(), call, limit, &error))
}

fn explain(
    plugin: &Plugin,
    sandbox: &Sandbox,
    call: &'static str,
    limit: Duration,
    error: &wasmtime::Error,
) -> CallError {
    let name = plugin.name().to_owned();
    let trap = error.downcast_ref::<Trap>();
    if matches!(trap, Some(Trap::Interrupt)) {
        return CallError::Deadline {
            plugin: name,
            call,
            limit,
        };
    }
    if let Some(wanted) = sandbox.refused_memory {
        return CallError::Memory {
            plugin: name,
            call,
            limit: plugin.shared.limits.memory,
            wanted,
        };
    }
    // Without a trap it is the lifting of the answer that failed.
    let Some(trap) = trap else {
        return CallError::Contract {
            plugin: name,
            call,
            what: unreadable(error, plugin),
        };
    };
    let cause = match trap {
        Trap::StackOverflow => format!("the stack of {} B is exhausted", plugin.shared.limits.stack),
        Trap::UnreachableCodeReached => "it gave up (`unreachable`, as after a panic)".to_owned(),
        // The trap prints itself as "wasm trap: ...".
        other => other.to_string().trim_start_matches("wasm trap: ").to_owned(),
    };
    let cause = match &sandbox.last_words {
        Some(words) => format!("{cause}; its last words: {words}"),
        None => cause,
    };
    CallError::Trap {
        plugin: name,
        call,
        cause,
    }
}

/// Why an answer could not be taken out of the module.
fn unreadable(error: &wasmtime::Error, plugin: &Plugin) -> String {
    let reason = error.root_cause().to_string();
    // The engine's words for it speak of fuel; it has no type for this error.
    if reason.contains("fuel allocated for hostcalls") {
        return format!("its answer takes more than {} B", plugin.shared.limits.answer_size);
    }
    reason
}

fn accepted<R>(plugin: &Plugin, call: &'static str, answer: Result<R, String>) -> Result<R, CallError> {
    answer.map_err(|message| CallError::Refused {
        plugin: plugin.name().to_owned(),
        call,
        message: message
            .chars()
            .take(200)
            .collect::<String>()
            .replace(char::is_control, " "),
    })
}
