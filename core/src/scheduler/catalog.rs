//! The schedulers at hand: found, compiled once, and checked against configurations.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    CallError, FindPluginError, HostOptions, LoadPluginError, Plugin, PluginEngine, PluginHost,
    StartHostError, find, locate,
};
use crate::config::check::{PluginProblem, Plugins};
use crate::config::{DirectorSettings, SchedulerSpec};
use crate::file::Stamp;
use crate::kernel::code::CodeStore;

/// Where compiled plugins are kept, below the state directory.
const CODE: &str = "plugin-cache";

/// Finds and compiles schedulers. Compiling takes tens of milliseconds, so a plugin is compiled once, however
/// many services use it; a file is read again when it is another one.
///
/// A clone is the same catalog, for another thread.
#[derive(Clone, Debug)]
pub struct Catalog {
    host: PluginHost,
    compiled: Arc<Mutex<Compiled>>,
    started: Arc<Mutex<Started>>,
}

/// How plugins that are not refused started with parameters: so many services that differ in neither cost one start.
type Started = HashMap<([u8; 32], Vec<(String, String)>), Option<Trouble>>;

/// How many starts are remembered. A director that has more services with parameters of their own tries them again.
const REMEMBERED: usize = 20_000;

/// A scheduler that is taken, but fails when it is started: the director's round robin stands in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How it fails.
    pub reason: String,
    /// What its author can do.
    pub remedy: &'static str,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; the built-in round robin stands in while it fails; {}", self.reason, self.remedy)
    }
}

/// What was compiled, by plugin directory and name, and from which version of its file.
type Compiled = HashMap<(PathBuf, String), (Version, Plugin)>;

/// What tells one version of a plugin from the next without reading it: nothing of what is built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Option<(PathBuf, Stamp)>);

/// Why there is no such scheduler to start.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It is nowhere.
    #[error(transparent)]
    Find(#[from] FindPluginError),
    /// It is no plugin for this director.
    #[error(transparent)]
    Load(#[from] LoadPluginError),
}

impl Catalog {
    /// Starts the host of the plugins.
    pub fn new() -> Result<Self, StartHostError> {
        Self::with(HostOptions::default())
    }

    /// The same for a director; and what is compiled is kept below its directory, if there is one that can be used.
    pub fn keeping(engine: PluginEngine, state_dir: Option<&Path>) -> Result<Self, StartHostError> {
        let code = state_dir.and_then(|state_dir| {
            let code = CodeStore::open(&state_dir.join(CODE)).inspect_err(|error| {
                let error = crate::chain(error);
                tracing::warn!("plugins are compiled at each start: {error}");
            });
            code.ok()
        });
        Self::with(HostOptions {
            engine,
            code,
            ..HostOptions::default()
        })
    }

    fn with(options: HostOptions) -> Result<Self, StartHostError> {
        Ok(Catalog {
            host: PluginHost::with(options)?,
            compiled: Arc::default(),
            started: Arc::default(),
        })
    }

    /// Which version of a plugin there is now.
    #[must_use]
    pub fn version(&self, director: &DirectorSettings, spec: &SchedulerSpec) -> Version {
        version(&director.plugin_dir, &spec.plugin)
    }

    /// The plugin that a service asks for.
    pub fn plugin(&self, director: &DirectorSettings, spec: &SchedulerSpec) -> Result<Plugin, CatalogError> {
        self.at(&director.plugin_dir, &spec.plugin)
    }

    /// The plugin of that name or path.
    pub fn at(&self, plugin_dir: &Path, plugin: &str) -> Result<Plugin, CatalogError> {
        let key = (plugin_dir.to_owned(), plugin.to_owned());
        let version = version(plugin_dir, plugin);
        if let Some((_, plugin)) = self.compiled().get(&key).filter(|(of, _)| *of == version) {
            return Ok(plugin.clone());
        }
        // Without the lock: compiling may take seconds, and others need only what is compiled already.
        let loaded = self.load(plugin_dir, plugin, &version)?;
        self.compiled().insert(key, (version, loaded.clone()));
        Ok(loaded)
    }

    /// Of a file that was seen before not even the plugin is read.
    fn load(&self, plugin_dir: &Path, plugin: &str, version: &Version) -> Result<Plugin, CatalogError> {
        if let Version(Some((path, stamp))) = version
            && let Some(known) = self.host.load_seen(plugin, path, stamp)
        {
            return Ok(known);
        }
        let (bytes, _) = find(plugin_dir, plugin, self.host.limits().file_size)?;
        let loaded = self.host.load(plugin, &bytes)?;
        if let Version(Some((path, stamp))) = version {
            self.host.saw(path, stamp, &loaded);
        }
        Ok(loaded)
    }

    fn compiled(&self) -> MutexGuard<'_, Compiled> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self) -> MutexGuard<'_, Started> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a service's scheduler can be had, takes its parameters, and starts with them: what it will fail at, if
    /// it is used all the same. That it will be stood in for is no fault of the configuration.
    ///
    /// # Errors
    /// Why it will not be used.
    pub fn try_out(
        &self,
        director: &DirectorSettings,
        spec: &SchedulerSpec,
    ) -> Result<Option<Trouble>, Vec<PluginProblem>> {
        let plugin = self.plugin(director, spec).map_err(|error| {
            vec![PluginProblem {
                param: None,
                message: crate::chain(&error),
                help: error.remedy(),
            }]
        })?;
        let help = || {
            let file = locate(&director.plugin_dir, &spec.plugin);
            let file = file.map_or_else(|| spec.plugin.clone(), |path| path.display().to_string());
            Some(format!("`wvs plugin inspect {file}` shows its parameters, and what each may be"))
        };
        let params = plugin.check_params(&spec.params).map_err(|errors| {
            let problem = |error: super::ParamError| PluginProblem {
                param: Some(error.key().to_owned()),
                message: error.to_string(),
                help: help(),
            };
            errors.into_iter().map(problem).collect::<Vec<_>>()
        })?;
        let key = (plugin.hash(), params);
        if let Some(known) = self.started().get(&key) {
            return Ok(known.clone());
        }
        // Without the lock, as above.
        let trouble = match plugin.start(&key.1, 0) {
            Ok(_) => None,
            Err(error @ (CallError::Refused { .. } | CallError::Contract { .. })) => {
                let help = match &error {
                    CallError::Refused { .. } => help(),
                    _ => Some(error.remedy().to_owned()),
                };
                return Err(vec![PluginProblem {
                    param: None,
                    message: error.to_string(),
                    help,
                }]);
            }
            Err(error) => Some(Trouble {
                reason: error.to_string(),
                remedy: error.remedy(),
            }),
        };
        let mut started = self.started();
        if started.len() >= REMEMBERED {
            started.clear();
        }
        started.insert(key, trouble.clone());
        Ok(trouble)
    }
}

fn version(plugin_dir: &Path, plugin: &str) -> Version {
    let stamped = |path: PathBuf| {
        let found = path.metadata().ok()?;
        Some((path, Stamp::of(&found)))
    };
    Version(locate(plugin_dir, plugin).and_then(stamped))
}

impl Plugins for Catalog {
    fn check(&self, director: &DirectorSettings, spec: &SchedulerSpec) -> Result<(), Vec<PluginProblem>> {
        self.try_out(director, spec).map(drop)
    }
}
