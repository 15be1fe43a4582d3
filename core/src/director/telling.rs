//! Telling what the engine did, and what it has noticed.

use std::collections::BTreeSet;

use super::engine::Engine;
use super::error::ApplyError;
use crate::api::{Applied, Happening};
use crate::scheduler::BackendId;

impl Engine {
    /// Tells of a configuration or an edit that was applied.
    pub(super) fn tell_of_change(&self, applied: &Applied, edit: bool) {
        self.events.say(Happening::Applied {
            edit,
            changed: applied.changed,
            steps: applied.plan.lines().count(),
        });
    }

    /// Tells of a configuration that was not.
    pub(super) fn tell_of_failure(&self, error: &ApplyError, dry_run: bool) {
        if !dry_run {
            let why = match error {
                ApplyError::Faults(rendered) => rendered.lines().next().unwrap_or_default().to_owned(),
                other => crate::chain(other),
            };
            self.events.say(Happening::NotApplied { why });
        }
    }

    /// Tells which schedulers failed, and which work again.
    pub(super) fn tell_of_schedulers(&mut self) {
        for (key, pool) in &mut self.pools {
            if let Some(news) = pool.news(key) {
                self.events.say(news);
            }
        }
    }

    /// Tells which backends are full now, and which are not any more.
    pub(super) fn tell_of_room(&self, before: &BTreeSet<BackendId>) {
        let whose = |id: &BackendId| {
            let (service, backend) = self.ids.whose(*id)?;
            Some((service.to_owned(), backend))
        };
        for (service, backend) in self.overloaded.difference(before).filter_map(whose) {
            self.events.say(Happening::BackendFull { service, backend });
        }
        for (service, backend) in before.difference(&self.overloaded).filter_map(whose) {
            self.events.say(Happening::BackendFree { service, backend });
        }
    }
}
