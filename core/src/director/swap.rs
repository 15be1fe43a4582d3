//! Plugins whose files change are exchanged while their services run.
//!
//! The new one is loaded on a thread of its own and started beside the old one. Only when its first calls have gone
//! well does its table take the old one's place; established connections do not go by tables. Otherwise the old one
//! goes on, and the new one is not tried again until its file changes again. The same if it fails later, while it is on
//! [probation](super::probation).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::error::ApplyError;
use super::pools::RunningPool;
use super::probation::{Before, Former};
use super::reading::plugin_thread;
use crate::api::{Happening, SchedulerView};
use crate::pool::PoolKey;
use crate::scheduler::Plugin;
use crate::scheduler::catalog::{Catalog, Version};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The plugins that are about to be exchanged.
#[derive(Debug)]
pub struct Swaps {
    next: Instant,
    loading: Option<Receiver<Loaded>>,
}

/// A plugin by the directory where it is looked for, and its name.
type Place = (PathBuf, String);

/// A changed plugin, or why it cannot be used.
#[derive(Debug)]
struct Loaded {
    place: Place,
    version: Version,
    plugin: Result<Plugin, String>,
}

/// What came of a changed plugin.
pub(super) enum Outcome {
    /// It is in use.
    InUse,
    /// The file is another one, and the plugin in it is the same.
    Same,
    /// It cannot be used.
    Refused(String),
    /// The kernel did not take its table.
    Later(String),
}

impl Outcome {
    pub(super) fn tell(&self, service: &str, plugin: &str) {
        match self {
            Self::InUse => tracing::info!(service, plugin, "the scheduler's new version is in use"),
            Self::Same => {}
            Self::Refused(reason) => {
                tracing::warn!(service, plugin, "the scheduler's new version is not used: {reason}");
            }
            Self::Later(reason) => {
                tracing::warn!(service, plugin, "the scheduler's new version has to wait: {reason}");
            }
        }
    }

    pub(super) fn why(&self) -> Option<&String> {
        match self {
            Self::Refused(reason) | Self::Later(reason) => Some(reason),
            Self::InUse | Self::Same => None,
        }
    }

    pub(super) fn event(&self, PoolKey { service, family }: &PoolKey, plugin: &str) -> Option<Happening> {
        let (service, family, plugin) = (service.clone(), *family, plugin.to_owned());
        match (self, self.why().cloned()) {
            (Self::Same, _) => None,
            (_, None) => Some(Happening::SchedulerExchanged {
                service,
                family,
                plugin,
            }),
            (_, Some(why)) => Some(Happening::SchedulerRefused {
                service,
                family,
                plugin,
                why,
            }),
        }
    }
}

/// What is known of the file of a pool's plugin.
#[derive(Debug)]
pub struct Watch {
    /// What was there at the last look.
    seen: Version,
    /// What is in use, or was refused.
    settled: Version,
    /// Why what is there now is not in use.
    pub(super) refused: Option<String>,
}

impl Watch {
    /// For a plugin that is in use. `version` was looked up before it was read: so a change in between is seen.
    pub(super) fn new(version: Version) -> Self {
        Self {
            seen: version.clone(),
            settled: version,
            refused: None,
        }
    }

    /// Whether there is another plugin. One that has just changed is left alone until the next look: perhaps
    /// somebody is still writing.
    fn look(&mut self, now: &Version) -> bool {
        let steady = self.seen == *now;
        self.seen = now.clone();
        steady && self.settled != *now
    }
}

impl Swaps {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: now + LOOK,
            loading: None,
        }
    }

    /// Whether nothing is being loaded.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.loading.is_none()
    }

    /// What has been loaded, if it is there.
    fn take(&mut self) -> Option<Loaded> {
        match self.loading.as_ref()?.try_recv() {
            Ok(loaded) => {
                self.loading = None;
                Some(loaded)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                tracing::error!("the thread that loads plugins died; it is tried again");
                self.loading = None;
                None
            }
        }
    }
}

impl Engine {
    /// Exchanges what has been loaded, and once a second looks for what is to be.
    pub fn swap_plugins(&mut self, now: Instant) {
        self.end_probations(now);
        if let Some(loaded) = self.swaps.take() {
            self.exchange(&loaded);
        }
        if now < self.swaps.next || self.swaps.loading.is_some() {
            return;
        }
        self.swaps.next = now + LOOK;
        if let Some((place, version)) = self.changed_plugin() {
            self.swaps.loading = load(self.catalog.clone(), place, version);
        }
    }

    /// A plugin whose file is another one, and has been for a while.
    fn changed_plugin(&mut self) -> Option<(Place, Version)> {
        let mut versions = BTreeMap::new();
        let mut changed = None;
        // Looked at to the end: each pool has to learn what is there now.
        for pool in self.pools.values_mut() {
            let place = pool.place();
            let version = versions
                .entry(place.clone())
                .or_insert_with(|| self.catalog.version(&pool.director, &pool.spec));
            if pool.watch.look(version) {
                changed.get_or_insert_with(|| (place, version.clone()));
            }
        }
        changed
    }

    /// Exchanges a plugin in all pools that use it.
    fn exchange(&mut self, loaded: &Loaded) {
        let concerned = |(key, pool): (&PoolKey, &RunningPool)| {
            (pool.place() == loaded.place && pool.watch.settled != loaded.version).then(|| key.clone())
        };
        let keys: Vec<PoolKey> = self.pools.iter().filter_map(concerned).collect();
        for key in keys {
            let outcome = match &loaded.plugin {
                Ok(plugin) => self.exchange_in(&key, plugin),
                Err(reason) => Outcome::Refused(reason.clone()),
            };
            let Some(pool) = self.pools.get_mut(&key) else {
                continue;
            };
            outcome.tell(&key.service, &loaded.place.1);
            // One that has to wait is tried again and again.
            let again = outcome.why().is_some() && pool.watch.refused.as_ref() == outcome.why();
            if let Some(news) = outcome.event(&key, &loaded.place.1).filter(|_| !again) {
                self.events.say(news);
            }
            if !matches!(outcome, Outcome::Later(_)) {
                pool.watch.settled = loaded.version.clone();
            }
            pool.watch.refused = outcome.why().cloned();
        }
    }

    /// Exchanges the plugin of one pool.
    fn exchange_in(&mut self, key: &PoolKey, plugin: &Plugin) -> Outcome {
        let position = match self.position(key) {
            Ok(position) => position,
            Err(error) => return Outcome::Later(crate::chain(&error)),
        };
        let Some(pool) = self.pools.get_mut(key) else {
            return Outcome::Same;
        };
        if pool.plugin.hash() == plugin.hash() {
            return Outcome::Same;
        }
        // One that does not work is nothing to come back to.
        let worked = pool.works();
        let before = match pool.succeed(plugin, position) {
            Ok(before) => before,
            Err(reason) => return Outcome::Refused(reason),
        };
        let installed = self.install_table(key, &before);
        let Some(pool) = self.pools.get_mut(key) else {
            return Outcome::Same;
        };
        if let Err(error) = installed {
            pool.take_back(before);
            return Outcome::Later(crate::chain(&error));
        }
        pool.former = worked.then(|| Former::new(before, pool.scheduler.failures(), Instant::now()));
        Outcome::InUse
    }

    /// Has the kernel hold a pool's new table. One that is used in another way than the one before needs another
    /// rule, too.
    pub(super) fn install_table(&mut self, key: &PoolKey, before: &Before) -> Result<(), ApplyError> {
        let same = |pool: &RunningPool| pool.table.dispatch == before.table.dispatch;
        if self.pools.get(key).is_some_and(same) {
            return self.refresh(key).map(drop);
        }
        self.apply(self.config.clone(), false).map(drop)
    }
}

fn load(catalog: Catalog, place: Place, version: Version) -> Option<Receiver<Loaded>> {
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        let plugin = catalog.at(&place.0, &place.1);
        let loaded = Loaded {
            plugin: plugin.map_err(|error| error.in_full()),
            place,
            version,
        };
        // Nobody waits any more where the director is stopping.
        let _ = sender.send(loaded);
    };
    match plugin_thread("plugin-loader", work) {
        Ok(_) => Some(receiver),
        Err(error) => {
            tracing::error!(%error, "no thread to load a changed plugin");
            None
        }
    }
}

impl RunningPool {
    fn place(&self) -> Place {
        (self.director.plugin_dir.clone(), self.spec.plugin.clone())
    }
}

/// What to say of a plugin whose file holds something that cannot be used.
pub(super) fn refused(scheduler: &SchedulerView) -> Option<String> {
    let reason = scheduler.refused.as_ref()?;
    let SchedulerView {
        service,
        family,
        plugin,
        ..
    } = scheduler;
    Some(format!(
        "service {service} ({family}): the new version of scheduler `{plugin}` is not used ({reason}); the one before \
         goes on until the file changes again"
    ))
}
