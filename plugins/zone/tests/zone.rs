//! Zones, natively, against a model in floating point.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Address, Backend, BackendState, NO_BACKEND, Scheduler, interleave};
use wvs_plugin_zone::Zone;

fn zone(given: &[(&str, &str)]) -> Zone {
    configure::<Zone>(given).unwrap().0
}

fn filled(given: &[(&str, &str)], backends: &[Backend], slots: u32) -> BTreeMap<u32, usize> {
    let mut zone = zone(given);
    zone.update(backends).unwrap();
    shares(&zone.fill(slots).unwrap())
}

/// Three in 192.0.2.0/30, the others in 192.0.2.4/30 and beyond.
const LOCAL: &str = "192.0.2.0/30; 192.0.2.4/30 2001:db8::/32";

#[test]
fn the_nearest_zone_gets_all_it_can_bear() {
    let down = BackendState::DOWN;
    let mut backends: Vec<Backend> = (1..=9).map(Backend::sample).collect();
    let given = [("local", LOCAL), ("minimum", "100")];
    assert_eq!(filled(&given, &backends, 300), [(1, 100), (2, 100), (3, 100)].into());
    backends[0].state = down;
    let found = filled(&given, &backends, 300);
    assert_eq!(found, [(2, 100), (3, 100), (4, 25), (5, 25), (6, 25), (7, 25)].into());
    // Two thirds are as good as all if a smaller part is enough.
    let lenient = [("local", LOCAL), ("minimum", "66")];
    assert_eq!(filled(&lenient, &backends, 300), [(2, 150), (3, 150)].into());
    for index in [1, 2, 3, 4, 5] {
        backends[index].state = down;
    }
    // Nothing near; a quarter of the next zone; the rest to the last.
    assert_eq!(filled(&given, &backends, 400), [(7, 100), (8, 150), (9, 150)].into());
    // Where all zones together bear less than all, each bears more, in proportion.
    backends[8].state = down;
    assert_eq!(filled(&given, &backends, 300), [(7, 100), (8, 200)].into());
}

#[test]
fn without_zones_it_is_a_round_robin() {
    let backends: Vec<Backend> = (1..=5).map(|id| Backend::sample(id).weight(id)).collect();
    let expected: Vec<u32> = interleave(&[1, 2, 3, 4, 5], 100)
        .iter()
        .map(|index| index + 1)
        .collect();
    let mut zone = zone(&[]);
    zone.update(&backends).unwrap();
    assert_eq!(zone.fill(100).unwrap(), expected);
}

#[test]
fn networks_are_read_and_faults_named() {
    let four = Backend::sample(1);
    let mut six = Backend::sample(2);
    six.address = Address {
        a: 0x2001_0db8,
        b: 0,
        c: 0,
        d: 9,
    };
    for (local, nearest) in [
        ("192.0.2.0/24", 1),
        ("192.0.2.1", 1),
        ("10.0.0.0/8,192.0.2.1/32", 1),
        ("2001:db8::/32", 2),
        ("2001:db8::9", 2),
        (";;2001:db8::/64 10.0.0.0/8;0.0.0.0/0", 2),
        ("0.0.0.0/0; ::/0", 1),
    ] {
        let found = filled(&[("local", local)], &[four, six], 10);
        assert_eq!(found, [(nearest, 10)].into(), "{local}");
    }
    for wrong in [
        "10.0.0.0/33",
        "10.0.0/8",
        "moon",
        "10.0.0.0/",
        "::/129",
        "1.2.3.4/128",
    ] {
        let refused = configure::<Zone>(&[("local", wrong)]).unwrap_err();
        assert!(refused.starts_with(&format!("parameter local has {wrong}, wanted networks")), "{refused}");
    }
}

#[test]
fn directors_take_different_backends_and_all_alike() {
    let backends: Vec<Backend> = (1..=23).map(Backend::sample).collect();
    let mut all: BTreeMap<u32, u32> = BTreeMap::new();
    // Five directors make a round: 5 × 4 of 23 backends.
    for round in 0..40 {
        let mut seen = BTreeSet::new();
        for director in round * 5..round * 5 + 5 {
            let number = director.to_string();
            let some = filled(&[("subset", "4"), ("director", &number)], &backends, 40);
            assert_eq!(some.len(), 4);
            for (id, share) in some {
                assert_eq!(share, 10);
                assert!(seen.insert(id), "two directors of a round take {id}");
                *all.entry(id).or_default() += 1;
            }
        }
    }
    // 40 × 20 / 23 each, and chance leaves out others each time.
    assert!(all.len() == 23 && all.values().all(|&times| (28..=40).contains(&times)), "{all:?}");
}

#[test]
fn a_subset_of_which_nothing_is_usable_is_no_subset() {
    let mut backends: Vec<Backend> = (1..=9).map(Backend::sample).collect();
    let given = [("subset", "3"), ("director", "1")];
    let some: Vec<u32> = filled(&given, &backends, 30).into_keys().collect();
    for id in &some {
        backends[*id as usize - 1].state = BackendState::DOWN;
    }
    let others: Vec<u32> = filled(&given, &backends, 30).into_keys().collect();
    assert_eq!((some.len(), others.len()), (3, 6));
}

/// The share of each backend, from 0 to 1.
fn model(backends: &[Backend], zone_of: &dyn Fn(u32) -> usize, minimum: f64) -> BTreeMap<u32, f64> {
    let mut shares = BTreeMap::new();
    let mut left = 1.0_f64;
    for zone in 0..3 {
        let here = || backends.iter().filter(|known| zone_of(known.id) == zone);
        let all: f64 = here().map(|known| f64::from(known.weight)).sum();
        let usable = || here().filter(|known| known.usable());
        let left_over: f64 = usable().map(|known| f64::from(known.weight)).sum();
        if left_over == 0.0 {
            continue;
        }
        let load = (left_over / all / minimum).min(left);
        left -= load;
        shares.extend(usable().map(|known| (known.id, load * f64::from(known.weight) / left_over)));
    }
    // Whatever nobody can bear is borne by all.
    let borne: f64 = shares.values().sum();
    shares.values_mut().for_each(|share| *share /= borne);
    shares
}

/// Each backend has its share, rounded: once as one of its zone, and the zone once.
#[test]
fn ten_thousand_services_follow_the_model() {
    const SLOTS: u32 = 200;
    // Every third in the first zone, every third in the second.
    let zone_of = |id| (id % 3) as usize;
    let networks = |zone| {
        (zone..90)
            .step_by(3)
            .map(|id| format!("192.0.2.{id}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let local = format!("{};{}", networks(0), networks(1));
    let mut spilt = 0;
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let minimum = 1 + world.below(100);
        let text = minimum.to_string();
        let given = [("local", local.as_str()), ("minimum", text.as_str())];
        let mut zone = zone(&given);
        for _ in 0..6 {
            world.step();
            // Half a dozen of whom others fail each time.
            let mut backends = world.backends.clone();
            for id in 80..86 {
                let state = if world.below(3) == 0 {
                    BackendState::DOWN
                } else {
                    BackendState::empty()
                };
                backends.push(Backend::sample(id).weight(world.below(5)).state(state));
            }
            zone.update(&backends).unwrap();
            let table = zone.fill(SLOTS).unwrap();
            assert_eq!(table.len(), SLOTS as usize);
            let expected = model(&backends, &zone_of, f64::from(minimum) / 100.0);
            if expected.is_empty() {
                assert!(table.iter().all(|&id| id == NO_BACKEND));
                continue;
            }
            assert!(!table.contains(&NO_BACKEND));
            let found = shares(&table);
            assert!(found.keys().all(|id| expected.contains_key(id)), "{backends:?}");
            for (id, share) in &expected {
                let off = found.get(id).copied().unwrap_or(0) as f64 - share * f64::from(SLOTS);
                assert!(off.abs() < 2.0, "{id} is off by {off}: {backends:?}");
            }
            let used: BTreeSet<usize> = expected
                .iter()
                .filter(|(_, share)| **share > 0.0)
                .map(|(id, _)| zone_of(*id))
                .collect();
            spilt += u32::from(used.len() > 1);
            // Wherever somebody stands in the list, the table is the same.
            if seed % 50 == 0 {
                let mut other = self::zone(&given);
                backends.reverse();
                other.update(&backends).unwrap();
                assert_eq!(other.fill(SLOTS).unwrap(), table);
            }
        }
    }
    assert!(spilt > 10_000, "{spilt}");
}
