//! Connections that a scheduler decides one by one.

use std::time::Instant;

use super::engine::Engine;
use crate::api::SchedulerView;
use crate::pool::PoolKey;
use crate::scheduler::{Dispatch, NewFlow, Pick};

impl Engine {
    /// Who gets a new connection of a pool; nothing where there is no such pool. `now` need not be exact to the
    /// second, so that a caller with many connections looks at the clock once.
    pub fn pick(&mut self, key: &PoolKey, flow: &NewFlow, now: Instant) -> Option<Pick> {
        self.pools.get_mut(key).map(|pool| pool.pick(flow, now))
    }
}

/// What to say of a scheduler that wants to be asked for each connection, while the data path asks for none.
pub(super) fn unasked(scheduler: &SchedulerView) -> Option<String> {
    (scheduler.dispatch == Dispatch::Flow).then(|| {
        let SchedulerView {
            service,
            family,
            plugin,
            ..
        } = scheduler;
        format!(
            "service {service} ({family}): scheduler `{plugin}` decides for each connection, which the data path of this \
             version does not ask for; the built-in round robin serves"
        )
    })
}
