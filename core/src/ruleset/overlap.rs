//! A ruleset that also knows what the one before knew, for as long as both are in use.

use super::{Family, Key, MapName, Ruleset, Table};

impl Ruleset {
    /// This ruleset with the backends of the one before that the tc program may still hand packets over for; nothing
    /// where there are none.
    pub fn overlapping(&self, before: &Ruleset) -> Option<Ruleset> {
        let mut both = self.clone();
        for (family, old) in &before.tables {
            both.keep_chosen(*family, old);
        }
        (both != *self).then_some(both)
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
