//! Loads plugins, and starts them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Config, Engine};

use super::contract::{World, flows, latency, load, policy, table, timer};
use super::description::{Description, ParamError};
use super::instance::Instance;
use super::outside::Outside;
use super::sandbox::{Limits, Sandbox};
use super::ticker::Ticker;
use super::vet::LoadPluginError;
use super::{CallError, wrap};
use crate::file::Stamp;
use crate::kernel::code::CodeStore;

/// How plugins run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PluginEngine {
    /// Compiled to this machine's code.
    #[default]
    Native,
    /// Interpreted: some ten times slower, but no memory has to become executable.
    Pulley,
}

/// What a host of plugins is to be like.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// How much a plugin may use.
    pub limits: Limits,
    /// How plugins run.
    pub engine: PluginEngine,
    /// Where compiled plugins are kept, if they are.
    pub code: Option<CodeStore>,
}

/// Why there is no host for plugins at all.
#[derive(Debug, thiserror::Error)]
pub enum StartHostError {
    /// The WebAssembly engine does not run on this machine.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// No thread for the clock that interrupts plugins.
    #[error("cannot start the clock of the plugins")]
    Ticker(#[source] std::io::Error),
}

/// Runs plugins, each instance in a sandbox of its own.
///
/// A plugin's stack lies on that of the calling thread, which needs [`Limits::stack`] and some
/// 100 KB for it; the 2 MiB that Rust and tokio give a thread are enough for the default.
#[derive(Clone)]
pub struct PluginHost(Arc<Shared>);

/// The machine that is interpreted, in this machine's byte order.
const PULLEY: &str = if cfg!(target_endian = "little") {
    "pulley64"
} else {
    "pulley64be"
};

pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    pub(super) ticker: Ticker,
    linker: Linker<Sandbox>,
    /// Where compiled plugins are kept, if they are.
    code: Option<CodeStore>,
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

impl PluginHost {
    /// Starts the engine. Plugins are compiled each time they are loaded.
    ///
    /// # Errors
    /// If this machine cannot run it.
    pub fn new(limits: Limits) -> Result<Self, StartHostError> {
        Self::with(HostOptions {
            limits,
            ..HostOptions::default()
        })
    }

    /// Starts the engine. A plugin that was compiled before is loaded from where that is kept.
    ///
    /// # Errors
    /// If this machine cannot run it.
    pub fn with(options: HostOptions) -> Result<Self, StartHostError> {
        let HostOptions {
            limits,
            engine: kind,
            code,
        } = options;
        let engine = |error: wasmtime::Error| StartHostError::Engine(format!("{error:#}"));
        let mut config = Config::new();
        config.epoch_interruption(true).max_wasm_stack(limits.stack);
        if kind == PluginEngine::Pulley {
            config.target(PULLEY).map_err(engine)?;
        }
        let shared_engine = Engine::new(&config).map_err(engine)?;
        let mut linker = Linker::new(&shared_engine);
        World::add_to_linker::<_, HasSelf<_>>(&mut linker, |sandbox: &mut Sandbox| sandbox)
            .map_err(engine)?;
        let ticker = Ticker::start(&shared_engine).map_err(StartHostError::Ticker)?;
        Ok(Self(Arc::new(Shared {
            engine: shared_engine,
            limits,
            ticker,
            linker,
            code,
        })))
    }

    /// Takes a plugin: a component, a core module that follows the canonical ABI, or the text of
    /// either. `name` is for messages.
    ///
    /// # Errors
    /// If it is not a scheduler that this director can run; the text is for the plugin's author.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Plugin, LoadPluginError> {
        let owned = || name.to_owned();
        let limit = self.0.limits.file_size;
        if bytes.len() > limit {
            return Err(LoadPluginError::TooLarge {
                name: owned(),
                size: bytes.len(),
                limit,
            });
        }
        let hash = Sha256::digest(bytes).into();
        if let Some(plugin) = self.load_kept(name, hash) {
            return Ok(plugin);
        }
        let (component, parts) = self.compile(name, bytes)?;
        let mut plugin = Plugin {
            shared: Arc::clone(&self.0),
            name: name.into(),
            hash,
            was_kept: false,
            parts,
            description: Description {
                name: owned(),
                version: String::new(),
                summary: String::new(),
                params: Vec::new(),
            },
        };
        let answer = Instance::describe(&plugin).map_err(|source| LoadPluginError::Describe {
            name: owned(),
            source,
        })?;
        plugin.description = Description::accept(answer).map_err(|reason| LoadPluginError::Description {
            name: owned(),
            reason,
        })?;
        self.keep(&plugin, &component);
        Ok(plugin)
    }

    /// How much a plugin may use.
    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }

    /// The plugin in a file that has been [seen](Self::saw) as it is, if its code is kept. The file is not read.
    pub(super) fn load_seen(&self, name: &str, path: &Path, stamp: &Stamp) -> Option<Plugin> {
        let hash = self.0.code.as_ref()?.seen(path, stamp)?;
        self.load_kept(name, hash)
    }

    /// Notes which plugin a file is. `stamp` is from before it was read.
    pub(super) fn saw(&self, path: &Path, stamp: &Stamp, plugin: &Plugin) {
        if let Some(code) = &self.0.code {
            code.saw(path, stamp.clone(), plugin.hash);
        }
    }

    /// A plugin that was vetted, compiled and asked for its description before. Which interfaces it has is seen from
    /// what it was compiled to.
    fn load_kept(&self, name: &str, hash: [u8; 32]) -> Option<Plugin> {
        let (component, description) = self.0.code.as_ref()?.load(&self.0.engine, hash)?;
        let pre = self.0.linker.instantiate_pre(&component).ok()?;
        Some(Plugin {
            shared: Arc::clone(&self.0),
            name: name.into(),
            hash,
            was_kept: true,
            parts: Parts {
                policy: policy::GuestIndices::new(&pre).ok()?,
                table: table::GuestIndices::new(&pre).ok(),
                flows: flows::GuestIndices::new(&pre).ok(),
                load: load::GuestIndices::new(&pre).ok(),
                timer: timer::GuestIndices::new(&pre).ok(),
                latency: latency::GuestIndices::new(&pre).ok(),
                pre,
            },
            description,
        })
    }

    /// A director that cannot keep a plugin compiles it again at its next start.
    fn keep(&self, plugin: &Plugin, component: &Component) {
        let Some(code) = &self.0.code else { return };
        if let Err(error) = code.keep(&self.0.engine, plugin.hash, component, &plugin.description) {
            let error = crate::chain(&error);
            tracing::warn!(plugin = plugin.name(), "the compiled plugin is not kept: {error}");
        }
    }

    fn compile(&self, name: &str, bytes: &[u8]) -> Result<(Component, Parts), LoadPluginError> {
        let (binary, outside) = wrap::read(name, bytes)?;
        let form = outside.vet(name)?;
        let component =
            wrap::to_component(binary, form, &outside).map_err(|error| LoadPluginError::Wrap {
                name: name.to_owned(),
                reason: format!("{error:#}"),
            })?;
        self.compile_component(&component, &outside)
            .map_err(|error| LoadPluginError::Compile {
                name: name.to_owned(),
                reason: format!("{error:#}"),
            })
    }

    fn compile_component(&self, component: &[u8], outside: &Outside) -> wasmtime::Result<(Component, Parts)> {
        let component = Component::from_binary(&self.0.engine, component)?;
        let pre = self.0.linker.instantiate_pre(&component)?;
        // What is there must be right; what is not there is not missed.
        let table = outside.offers("table").then(|| table::GuestIndices::new(&pre));
        let flows = outside.offers("flows").then(|| flows::GuestIndices::new(&pre));
        let load = outside.offers("load").then(|| load::GuestIndices::new(&pre));
        let timer = outside.offers("timer").then(|| timer::GuestIndices::new(&pre));
        let latency = outside
            .offers("latency")
            .then(|| latency::GuestIndices::new(&pre));
        let parts = Parts {
            policy: policy::GuestIndices::new(&pre)?,
            table: table.transpose()?,
            flows: flows.transpose()?,
            load: load.transpose()?,
            timer: timer.transpose()?,
            latency: latency.transpose()?,
            pre,
        };
        Ok((component, parts))
    }
}

/// A compiled plugin, ready to be started any number of times.
#[derive(Clone)]
pub struct Plugin {
    pub(super) shared: Arc<Shared>,
    pub(super) name: Arc<str>,
    hash: [u8; 32],
    was_kept: bool,
    pub(super) parts: Parts,
    description: Description,
}

#[derive(Clone)]
pub(super) struct Parts {
    pub(super) pre: InstancePre<Sandbox>,
    pub(super) policy: policy::GuestIndices,
    pub(super) table: Option<table::GuestIndices>,
    pub(super) flows: Option<flows::GuestIndices>,
    pub(super) load: Option<load::GuestIndices>,
    pub(super) timer: Option<timer::GuestIndices>,
    pub(super) latency: Option<latency::GuestIndices>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// The name it was loaded under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its file.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Whether it had been compiled before.
    #[must_use]
    pub fn was_kept(&self) -> bool {
        self.was_kept
    }

    /// What it says of itself.
    #[must_use]
    pub fn describe(&self) -> &Description {
        &self.description
    }

    /// Whether it wants to be told the connections of the backends.
    #[must_use]
    pub fn wants_load(&self) -> bool {
        self.parts.load.is_some()
    }

    /// The interfaces of the contract that it has besides the required one.
    #[must_use]
    pub fn interfaces(&self) -> Vec<&'static str> {
        let parts = &self.parts;
        let all = [
            ("table", parts.table.is_some()),
            ("flows", parts.flows.is_some()),
            ("load", parts.load.is_some()),
            ("timer", parts.timer.is_some()),
            ("latency", parts.latency.is_some()),
        ];
        all.into_iter().filter(|it| it.1).map(|it| it.0).collect()
    }

    /// How much it may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.limits
    }

    /// Every parameter with its value: the given one, or else its default.
    ///
    /// # Errors
    /// All that is wrong with the given ones.
    pub fn check_params(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<Vec<(String, String)>, Vec<ParamError>> {
        self.description.check_params(given)
    }

    /// Makes an instance and configures it. `params` come from [`check_params`](Self::check_params);
    /// the same `seed` gives the plugin the same random numbers.
    ///
    /// # Errors
    /// If the plugin fails, or refuses the parameters.
    pub fn start(&self, params: &[(String, String)], seed: u64) -> Result<Instance, CallError> {
        Instance::start(self, params, seed)
    }
}
