//! The schedulers at hand: found, compiled once, and checked against configurations.

use std::collections::HashMap;
use std::sync::Mutex;

use sha2::{Digest as _, Sha256};

use super::{FindPluginError, Limits, LoadPluginError, Plugin, PluginHost, StartHostError, find};
use crate::config::check::{PluginProblem, Plugins};
use crate::config::{DirectorSettings, SchedulerSpec};

/// Finds and compiles schedulers. Compiling takes tens of milliseconds, so the same bytes are compiled once,
/// however many services use them and under whatever name.
#[derive(Debug)]
pub struct Catalog {
    host: PluginHost,
    compiled: Mutex<HashMap<[u8; 32], Plugin>>,
}

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
        Ok(Catalog {
            host: PluginHost::new(Limits::default())?,
            compiled: Mutex::default(),
        })
    }

    /// The plugin that a service asks for.
    pub fn plugin(&self, director: &DirectorSettings, spec: &SchedulerSpec) -> Result<Plugin, CatalogError> {
        let (bytes, _) = find(&director.plugin_dir, &spec.plugin)?;
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        let mut compiled = self
            .compiled
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(plugin) = compiled.get(&hash) {
            return Ok(plugin.clone());
        }
        let plugin = self.host.load(&spec.plugin, &bytes)?;
        compiled.insert(hash, plugin.clone());
        Ok(plugin)
    }
}

impl Plugins for Catalog {
    fn check(&self, director: &DirectorSettings, spec: &SchedulerSpec) -> Result<(), Vec<PluginProblem>> {
        let problem = |error: &dyn std::error::Error| PluginProblem {
            param: None,
            message: crate::chain(error),
            help: None,
        };
        let plugin = self
            .plugin(director, spec)
            .map_err(|error| vec![problem(&error)])?;
        match plugin.check_params(&spec.params) {
            Ok(_) => Ok(()),
            Err(errors) => Err(errors
                .into_iter()
                .map(|error| PluginProblem {
                    param: Some(error.key().to_owned()),
                    ..problem(&error)
                })
                .collect()),
        }
    }
}
