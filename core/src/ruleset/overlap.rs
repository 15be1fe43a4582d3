//! A ruleset that also knows what the one before knew, for as long as both are in use.

use super::{Chain, Family, Hook, Key, MapName, Ruleset, Table};

impl Ruleset {
    /// This ruleset with what the one before is still needed for: the backends that the tc program may hand packets over
    /// for, and the chains in which packets may wait; nothing where there is none of either.
    pub fn overlapping(&self, before: &Ruleset) -> Option<Ruleset> {
        let mut both = self.clone();
        for (family, old) in &before.tables {
            both.keep_chosen(*family, old);
            both.keep_waiting(*family, old);
        }
        (both != *self).then_some(both)
    }

    /// Whether packets may wait in a chain of the one before that this one does not have.
    ///
    /// A packet goes on at the place behind its chain, by number. So when a chain goes, the kernel drops all that waits
    /// (`nf_queue_nf_hook_drop`), and what is let go on in that moment passes the wrong place: a connection that is not
    /// translated is refused by the director's own host.
    pub fn strands(&self, before: &Ruleset) -> bool {
        let old = before.tables.iter();
        old.filter_map(|(family, old)| Some((self.tables.get(family)?, old)))
            .any(|(new, old)| waiting_in(old).any(|name| !new.chains.contains_key(name)))
    }

    /// Nobody else waits there from now on.
    fn keep_waiting(&mut self, family: Family, old: &Table) {
        let Some(table) = self.tables.get_mut(&family) else {
            return;
        };
        for name in waiting_in(old) {
            let hook = old.chains[name].hook;
            let empty = Chain {
                hook,
                rules: Vec::new(),
            };
            table.chains.entry(name.to_owned()).or_insert(empty);
        }
    }

    /// Where the program chooses no more, packets for old backends find their service's chain, which chooses.
    fn keep_chosen(&mut self, family: Family, old: &Table) {
        let Some(table) = self.tables.get_mut(&family) else {
            return;
        };
        let Some(chosen) = table.maps.get_mut(&MapName::Chosen) else {
            return;
        };
        for (key, chain) in old.maps.get(&MapName::Chosen).into_iter().flatten() {
            let Some(name) = chain else { continue };
            if !matches!(key, Key::Chosen(_)) || table.chains.contains_key(name) {
                continue;
            }
            if let Some(rules) = old.chains.get(name) {
                chosen.insert(*key, chain.clone());
                table.chains.insert(name.clone(), rules.clone());
            }
        }
    }
}

/// The chains in which packets wait.
fn waiting_in(table: &Table) -> impl Iterator<Item = &str> {
    let chains = table.chains.iter();
    let waits = |chain: &Chain| matches!(chain.hook, Some(Hook::QueuePrerouting | Hook::QueueOutput));
    chains
        .filter(move |(_, chain)| waits(chain))
        .map(|(name, _)| name.as_str())
}
