//! The nftables door at the real kernel: what is committed is what nft lists, what is read back, and what a
//! second plan finds nothing to do about.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::nft::{apply, listed, words};
use support::rulesets::{
    SLOTS, add_backend, both, cycle, elements, entrances, everything, goto, hash, host, ruleset, service,
    small,
};
use support::{enter_new, in_namespace, run, run_with};
use wvs_core::kernel::nft::NftSocket;
use wvs_core::kernel::{Nft, NftError};
use wvs_core::plan::{Op, Plan, plan};
use wvs_core::ruleset::{Family, Key, MapName, Protocol, Ruleset, Statement, Table, text};
use wvs_core::scheduler::{BackendId, HashKey};

#[test]
fn a_table_is_listed_as_its_text() {
    in_namespace(|| {
        for table in [
            everything,
            |family| small(family, 3),
            |family| small(family, 0),
            |_| Table::default(),
        ] {
            let desired = both(table);
            let listings = enter_new({
                let desired = desired.clone();
                move || {
                    apply(&mut NftSocket::open().unwrap(), &desired);
                    Family::ALL.map(listed)
                }
            });
            let loaded = enter_new({
                let script = text::ruleset(&desired);
                move || {
                    run_with("nft -f -", &script);
                    Family::ALL.map(listed)
                }
            });
            for (at, family) in Family::ALL.into_iter().enumerate() {
                let expected = text::table(family, &desired.tables[&family]);
                assert_eq!(listings[at], expected, "as committed");
                assert_eq!(loaded[at], expected, "as loaded by nft");
            }
        }
    });
}

#[test]
fn a_table_that_nft_loads_from_text_has_our_shapes() {
    in_namespace(|| {
        let desired = both(everything);
        run_with("nft -f -", &text::ruleset(&desired));
        let found = NftSocket::open().unwrap().observe().unwrap();
        for (family, table) in &desired.tables {
            let found = &found.tables[family];
            assert_eq!(found.damage, None);
            assert_eq!((&found.maps, &found.slots), (&table.maps, &table.slots));
            assert_eq!(found.ids, table.ids);
            assert!(
                found
                    .chains
                    .values()
                    .flat_map(|it| &it.rules)
                    .all(Option::is_none),
                "nft knows no digests"
            );
        }
    });
}

#[test]
fn one_step_leads_to_the_next() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let mut rescheduled = both(|family| small(family, 3));
        for table in rescheduled.tables.values_mut() {
            let slots = table.slots.get_mut("slots-web").unwrap();
            slots[0] = None;
            slots[1] = Some(BackendId(3));
        }
        let mut refilled = rescheduled.clone();
        for table in refilled.tables.values_mut() {
            table.slots.get_mut("slots-web").unwrap()[0] = Some(BackendId(2));
        }
        let rehashed = both(|family| {
            let mut table = small(family, 3);
            table
                .chains
                .insert("svc-web".into(), service("web", hash("web", SLOTS, HashKey::Both, 3)));
            table
        });
        let resized = both(|family| {
            let mut table = small(family, 3);
            table
                .chains
                .insert("svc-web".into(), service("web", cycle("web", 32)));
            table
                .slots
                .insert("slots-web".into(), vec![Some(BackendId(3)); 32]);
            table
        });
        let fewer_maps = both(|family| {
            let mut table = small(family, 1);
            table
                .chains
                .retain(|name, _| !name.starts_with("count-") && name != "account" && name != "dispatch");
            table
                .chains
                .insert("dispatch".into(), wvs_core::ruleset::Chain::default());
            table
                .maps
                .retain(|map, _| !matches!(map, MapName::Sent | MapName::Received | MapName::ServiceRanges));
            table
        });
        let steps = [
            both(|family| small(family, 3)),
            rescheduled,
            refilled,
            both(|family| small(family, 5)),
            both(|family| small(family, 2)),
            rehashed,
            resized,
            both(everything),
            fewer_maps,
            ruleset([(Family::V6, small(Family::V6, 2))]),
            Ruleset::default(),
            both(everything),
        ];
        for (number, step) in steps.iter().enumerate() {
            assert!(!apply(&mut nft, step).is_empty(), "step {number} changes something");
            for (family, table) in &step.tables {
                assert_eq!(words(&listed(*family)), words(&text::table(*family, table)), "step {number}");
            }
        }
    });
}

#[test]
fn a_new_schedule_is_new_slots_and_nothing_else() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let mut desired = ruleset([(Family::V4, small(Family::V4, 3))]);
        apply(&mut nft, &desired);
        let table = desired.tables.get_mut(&Family::V4).unwrap();
        let slots = table.slots.get_mut("slots-web").unwrap();
        slots.reverse();
        let way = apply(&mut nft, &desired);
        assert!(matches!(way.ops[..], [Op::ChangeSlots(..)]), "{way}");
    });
}

#[test]
fn all_slots_change_in_one_transaction() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let table = |id: u16| {
            let mut table = small(Family::V4, 2);
            table
                .chains
                .insert("svc-web".into(), service("web", cycle("web", 4096)));
            table
                .slots
                .insert("slots-web".into(), vec![Some(BackendId(id)); 4096]);
            ruleset([(Family::V4, table)])
        };
        for id in [1, 2, 1, 2] {
            apply(&mut nft, &table(id));
        }
    });
}

#[test]
fn an_empty_plan_sends_nothing() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let generation = nft.generation().unwrap();
        // A generation that is not the kernel's would be refused, if it were sent.
        assert_eq!(nft.commit(&Plan::default(), generation + 5).unwrap(), generation + 5);
        assert_eq!(nft.generation().unwrap(), generation);
    });
}

#[test]
fn a_refused_batch_changes_nothing_and_names_its_step() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let desired = both(|family| small(family, 2));
        apply(&mut nft, &desired);
        let before = nft.observe().unwrap();
        let mut gone = small(Family::V4, 2).maps.remove(&MapName::Backends).unwrap();
        gone.retain(|key, _| *key == Key::Backend(BackendId(1)));
        let steps = vec![
            Op::AddChain(Family::V4, "new".into(), None),
            Op::DeleteElements(Family::V4, MapName::Backends, gone),
            Op::DeleteChain(Family::V6, "no-such-chain".into()),
            Op::AddChain(Family::V6, "new".into(), None),
        ];
        let refused = nft.commit(&Plan { ops: steps }, before.generation).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the kernel refused `delete chain ip6 wvs no-such-chain`",
            "{refused:?}"
        );
        assert_eq!(nft.observe().unwrap(), before);

        let wrong =
            Op::AddElements(Family::V4, MapName::Closed, [(Key::Address(host(Family::V6, 1)), None)].into());
        let refused = nft
            .commit(&Plan { ops: vec![wrong] }, before.generation)
            .unwrap_err();
        assert!(
            matches!(&refused, NftError::Refused { step, .. } if step.contains("2001:db8::1")),
            "{refused:?}"
        );

        // All of ten thousand steps are refused: the answers must not drown the first.
        let ops = (0..10_000)
            .map(|n| Op::DeleteChain(Family::V4, format!("none-{n}")))
            .collect();
        let refused = nft.commit(&Plan { ops }, before.generation).unwrap_err();
        assert!(
            matches!(&refused, NftError::Refused { step, .. } if step.ends_with("none-0")),
            "{refused:?}"
        );
        assert_eq!(nft.observe().unwrap(), before);
    });
}

#[test]
fn a_long_step_is_cut_in_the_refusal() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let elements = (0..1000).map(|n| (Key::Mark(n), None)).collect();
        let ops = vec![Op::AddElements(Family::V4, MapName::Sent, elements)];
        let generation = nft.generation().unwrap();
        match nft.commit(&Plan { ops }, generation).unwrap_err() {
            NftError::Refused { step, source } => {
                assert!(
                    step.starts_with("add element ip wvs sent { 0x00000000, ") && step.ends_with('…'),
                    "{step}"
                );
                assert!(step.chars().count() <= 301);
                assert_eq!(source.raw_os_error(), Some(nix::libc::ENOENT));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_plan_made_before_a_foreign_change_is_stale() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let desired = both(|family| small(family, 2));
        let before = nft.observe().unwrap();
        run("nft add table ip somebody");
        let stale = nft
            .commit(&plan(&desired, &before), before.generation)
            .unwrap_err();
        assert!(matches!(stale, NftError::Stale), "{stale:?}");
        assert!(nft.observe().unwrap().tables.is_empty());
        apply(&mut nft, &desired);
    });
}

#[test]
fn teardown_leaves_nothing_of_ours_and_all_of_others() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        assert!(!nft.teardown().unwrap());
        run("nft add table ip somebody");
        apply(&mut nft, &both(everything));
        assert!(nft.teardown().unwrap());
        assert_eq!(run("nft list ruleset"), "table ip somebody {\n}\n");
        assert!(!nft.teardown().unwrap());
        assert!(nft.traffic(Family::V4, 16).unwrap().is_empty());
        assert_eq!(nft.position(Family::V4, "svc-web").unwrap(), 0);
    });
}

#[test]
fn the_guard_is_what_it_says() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        apply(&mut nft, &ruleset([(Family::V6, small(Family::V6, 1))]));
        assert_eq!(
            run("nft list table ip6 wvs-guard"),
            "table ip6 wvs-guard {\n\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy \
             accept;\n\t\tct state invalid accept\n\t}\n}\n"
        );
    });
}

#[test]
fn many_elements_of_one_map_take_several_messages() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let table = |family, count: u16| {
            let mut table = Table::default();
            entrances(&mut table);
            table
                .chains
                .insert("svc-web".into(), service("web", cycle("web", SLOTS)));
            table.slots.insert("slots-web".into(), vec![None; SLOTS as usize]);
            for n in 0..count {
                let key = Key::Service(host(family, n), Protocol::Udp, n);
                elements(&mut table, MapName::Services).insert(key, goto("svc-web"));
            }
            for n in 0..count / 10 {
                let key = Key::ServiceRange(host(family, n), Protocol::Tcp, n, n + 9);
                elements(&mut table, MapName::ServiceRanges).insert(key, goto("svc-web"));
            }
            table
        };
        apply(&mut nft, &both(|family| table(family, 3000)));
        apply(&mut nft, &both(|family| table(family, 10)));
        let mut more = table(Family::V4, 3);
        add_backend(&mut more, "web", 1, host(Family::V4, 1), None, &[]);
        apply(&mut nft, &ruleset([(Family::V4, more)]));
    });
}

#[test]
fn a_table_of_statements_without_a_set_of_protocols() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let mut table = small(Family::V4, 1);
        let rule = &mut table.chains.get_mut("be-1").unwrap().rules[0];
        rule.statements[2] = Statement::Protocols(vec![Protocol::Udp]);
        rule.comment = None;
        let desired = ruleset([(Family::V4, table)]);
        apply(&mut nft, &desired);
        assert_eq!(listed(Family::V4), text::table(Family::V4, &desired.tables[&Family::V4]));
    });
}
