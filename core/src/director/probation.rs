//! A plugin that was exchanged has the one before beside it for a while: should it fail, that is put back.
//!
//! Its first calls went well in an instance of its own, but a fault may need more of them, or real connections.

use std::time::{Duration, Instant};

use super::engine::Engine;
use super::pools::RunningPool;
use super::swap::Outcome;
use crate::dispatch::DispatchTable;
use crate::pool::PoolKey;
use crate::scheduler::{Incumbent, Plugin};

/// How long the one before is kept.
const PROBATION: Duration = Duration::from_secs(60);

/// What was used before a plugin that is on probation.
#[derive(Debug)]
pub struct Former {
    before: Before,
    /// How often the pool's schedulers had failed when it took over.
    failures: u64,
    until: Instant,
}

impl Former {
    pub(super) fn new(before: Before, failures: u64, now: Instant) -> Self {
        Self {
            before,
            failures,
            until: now + PROBATION,
        }
    }
}

/// A pool's plugin and table as they were.
#[derive(Debug)]
pub(super) struct Before {
    incumbent: Incumbent,
    plugin: Plugin,
    params: Vec<(String, String)>,
    pub(super) table: DispatchTable,
}

impl RunningPool {
    /// Has a plugin take over if it takes the parameters and its first calls go well.
    pub(super) fn succeed(&mut self, plugin: &Plugin, position: Option<u64>) -> Result<Before, String> {
        let params = plugin.check_params(&self.spec.params).map_err(|errors| {
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        })?;
        let (table, incumbent) = self
            .scheduler
            .succeed(plugin.clone(), params.clone())
            .map_err(|error| error.to_string())?;
        let plugin = std::mem::replace(&mut self.plugin, plugin.clone());
        let params = std::mem::replace(&mut self.params, params);
        // Whether plans follow the kernel's position depends on the plugin.
        let table = self.aligned(table, position);
        let table = std::mem::replace(&mut self.table, table);
        Ok(Before {
            incumbent,
            plugin,
            params,
            table,
        })
    }

    /// Uses what was used before; gives back what was used until now.
    pub(super) fn take_back(&mut self, before: Before) -> Before {
        Before {
            incumbent: self.scheduler.put(before.incumbent),
            plugin: std::mem::replace(&mut self.plugin, before.plugin),
            params: std::mem::replace(&mut self.params, before.params),
            table: std::mem::replace(&mut self.table, before.table),
        }
    }
}

impl Engine {
    /// Puts back what was used before a plugin that has failed, and forgets it where the new one has stood its test.
    pub(super) fn end_probations(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for (key, pool) in &mut self.pools {
            let Some(former) = &pool.former else { continue };
            if pool.scheduler.failures() > former.failures {
                failed.push(key.clone());
            } else if now >= former.until {
                pool.former = None;
            }
        }
        for key in failed {
            self.put_back(&key);
        }
    }

    fn put_back(&mut self, key: &PoolKey) {
        let position = self.position(key).unwrap_or_default();
        let Some(pool) = self.pools.get_mut(key) else {
            return;
        };
        let Some(former) = pool.former.take() else {
            return;
        };
        let failure = pool.scheduler.status().last_error.unwrap_or_default();
        let failed = pool.take_back(former.before);
        // Backends may be others than at that time.
        pool.refill(pool.candidates().to_vec(), position);
        let installed = self.install_table(key, &failed);
        let Some(pool) = self.pools.get_mut(key) else {
            return;
        };
        let outcome = match installed {
            Ok(()) => Outcome::Refused(format!("{failure}; the one before is back")),
            // The table that the kernel has leads somewhere all the same; the next change brings the other one.
            Err(error) => Outcome::Later(crate::chain(&error)),
        };
        pool.watch.refused = outcome.why().cloned();
        let plugin = pool.spec.plugin.clone();
        outcome.tell(&key.service, &plugin);
        if let Some(news) = outcome.event(key, &plugin) {
            self.events.say(news);
        }
    }
}
