//! Committing and listing rulesets.
#![allow(dead_code, reason = "each test binary uses a part")]

use wvs_core::kernel::Nft;
use wvs_core::kernel::nft::NftSocket;
use wvs_core::plan::{Observed, Plan, plan};
use wvs_core::ruleset::{Family, Ruleset};

use super::run;

/// Commits what leads to `desired` and proves that it stands. Gives back what was sent.
pub fn apply(nft: &mut NftSocket, desired: &Ruleset) -> Plan {
    let before = nft.observe().unwrap();
    let way = plan(desired, &before);
    let generation = nft
        .commit(&way, before.generation)
        .unwrap_or_else(|error| panic!("{error:?}\n{way}"));
    assert_eq!(nft.generation().unwrap(), generation);
    let after = nft.observe().unwrap();
    let mut expected = Observed::after(desired, before, generation);
    expected.guards.sort();
    for (family, table) in &expected.tables {
        let found = &after.tables[family];
        assert_eq!(found.damage, None);
        assert_eq!(found.chains, table.chains);
        assert_eq!(found.slots, table.slots);
        assert_eq!(found.ids, table.ids);
        assert_eq!(found.maps, table.maps);
    }
    assert!(after == expected, "{:?} {}", after.guards, after.generation);
    assert_eq!(plan(desired, &after), Plan::default());
    way
}

pub fn listed(family: Family) -> String {
    run(&format!("nft -s list table {} wvs", family.nft()))
}

/// The words of a listing, sorted: maps and chains that came later stand later, and nft breaks lines there.
pub fn words(text: &str) -> Vec<String> {
    let mut words: Vec<_> = text
        .split_whitespace()
        .map(|word| word.trim_end_matches(',').to_owned())
        .collect();
    words.sort();
    words
}
