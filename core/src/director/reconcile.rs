//! Has the kernel hold what is desired: after a change, and after somebody else's.

use super::engine::Engine;
use super::error::ApplyError;
use super::ledger::loses_counts;
use crate::api::Happening;
use crate::kernel::NftError;
use crate::plan::{Observed, Op, Plan, plan, slot_changes};
use crate::pool::PoolKey;
use crate::ruleset::Ruleset;
use crate::ruleset::build::{build, slot_map};

/// How often a batch is planned anew because somebody else was faster.
const ATTEMPTS: usize = 8;

impl Engine {
    /// Sends what changed in a pool's table, to both planes.
    pub(super) fn refresh(&mut self, key: &PoolKey) -> Result<Plan, ApplyError> {
        self.refresh_tc([key])?;
        self.refresh_slots(key)
    }

    /// Sends what changed in a pool's slots.
    pub(super) fn refresh_slots(&mut self, key: &PoolKey) -> Result<Plan, ApplyError> {
        let Some(pool) = self.pools.get(key) else {
            return Ok(Plan::default());
        };
        let map = slot_map(&key.service);
        let slots = pool.table().slots.clone();
        let installed = self
            .desired
            .tables
            .get(&key.family)
            .and_then(|table| table.slots.get(&map));
        if installed.is_some_and(|installed| installed.len() != slots.len()) {
            return self.resize();
        }
        let changes = slot_changes(&slots, installed);
        if changes.is_empty() {
            return Ok(Plan::default());
        }
        let plan = Plan {
            ops: vec![Op::ChangeSlots(key.family, map.clone(), changes)],
        };
        match self.doors.nft.commit(&plan, self.observed.generation) {
            Ok(generation) => {
                self.commits += 1;
                self.observed.generation = generation;
                let observed = self.observed.tables.get_mut(&key.family);
                observed.and_then(|table| table.slots.insert(map.clone(), slots.clone()));
                let desired = self.desired.tables.get_mut(&key.family);
                desired.and_then(|table| table.slots.insert(map, slots));
                Ok(plan)
            }
            Err(NftError::Stale) => {
                let mut desired = self.desired.clone();
                desired
                    .tables
                    .entry(key.family)
                    .or_default()
                    .slots
                    .insert(map, slots);
                self.observed = self.doors.nft.observe()?;
                self.commit(desired)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A table of another size is another map, and another rule.
    fn resize(&mut self) -> Result<Plan, ApplyError> {
        let pools = self.pools.iter();
        let tables = pools
            .map(|(key, pool)| (key.clone(), pool.table().clone()))
            .collect();
        let config = self.config.clone();
        let queue = self.take_queue(&config, &tables, false);
        let desired = build(&config, &self.ids, &tables, &self.tc.facts.for_ruleset(queue));
        self.commit(desired)
    }

    /// Has the kernel hold a ruleset, by one batch of what differs. Sends nothing where nothing differs.
    pub(super) fn commit(&mut self, desired: Ruleset) -> Result<Plan, ApplyError> {
        let mut refused = false;
        for _ in 0..ATTEMPTS {
            let plan = plan(&desired, &self.observed);
            if plan.is_empty() {
                self.desired = desired;
                return Ok(plan);
            }
            // What was refused once may have been for their sake.
            let plan = if refused { plan } else { self.with_clients(plan) };
            if loses_counts(&plan) {
                // Only for the sake of the totals: what cannot be counted any more is no reason not to change.
                let _ = self.read_counters();
            }
            match self.doors.nft.commit(&plan, self.observed.generation) {
                Ok(generation) => {
                    self.commits += 1;
                    self.totals.nft.follow(&plan, self.config.director.mark());
                    let before = std::mem::take(&mut self.observed);
                    self.observed = Observed::after(&desired, before, generation);
                    self.desired = desired;
                    return Ok(plan);
                }
                Err(NftError::Stale) => self.observed = self.doors.nft.observe()?,
                // Not every change raises the generation: a table goes without when its owner ends.
                Err(NftError::Refused { .. }) if !refused => {
                    refused = true;
                    self.observed = self.doors.nft.observe()?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyError::Contended(ATTEMPTS))
    }

    /// Puts right what somebody else did to our tables since the last look. Cheap while nobody did anything.
    pub fn repair(&mut self) -> Result<(), ApplyError> {
        if self.doors.nft.generation()? == self.observed.generation {
            return Ok(());
        }
        self.observed = self.doors.nft.observe()?;
        let damage: Vec<_> = self
            .observed
            .tables
            .values()
            .filter_map(|table| table.damage.clone())
            .collect();
        let repair = match self.commit(self.desired.clone()) {
            Ok(repair) => repair,
            Err(error) => {
                // Look again next time, also where nobody changes anything until then.
                self.observed.generation = self.observed.generation.wrapping_sub(1);
                return Err(error);
            }
        };
        if !repair.is_empty() {
            self.attend_soon();
            self.repairs += 1;
            let steps = repair.ops.len();
            self.events.say(Happening::Repaired { steps });
            tracing::warn!(
                steps,
                ?damage,
                "somebody changed our nftables tables; they are as they should be again"
            );
            tracing::debug!(%repair, "the repair");
        }
        Ok(())
    }
}
