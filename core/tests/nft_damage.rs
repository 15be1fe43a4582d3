//! What somebody else does to our tables is noticed, named and repaired.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::nft::{apply, listed, words};
use support::rulesets::{both, everything, ruleset, small};
use support::{in_namespace, run, run_with};
use wvs_core::kernel::Nft;
use wvs_core::kernel::nft::NftSocket;
use wvs_core::plan::Op;
use wvs_core::ruleset::{Family, text};

#[test]
fn any_damage_is_repaired() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let desired = both(everything);
        apply(&mut nft, &desired);
        let damages: &[&[&str]] = &[
            &["delete table ip wvs"],
            &["delete table ip6 wvs-guard"],
            &["flush table ip wvs-guard"],
            &["add chain ip wvs-guard more"],
            &["flush ruleset"],
            &["flush chain ip wvs svc-web"],
            &["insert rule ip wvs dispatch accept"],
            &["add rule ip6 wvs be-1 counter drop"],
            &["add chain ip wvs foreign", "add rule ip wvs foreign jump svc-web"],
            &["add chain ip wvs foreign { type filter hook input priority 7; }"],
            &["add chain ip wvs forward { type filter hook forward priority 0; policy drop; }"],
            &["chain ip6 wvs prerouting { policy drop; }"],
            &["add set ip wvs mine { type ipv4_addr; }"],
            &["add map ip wvs slots-mine { type mark : mark; }"],
            &["add counter ip6 wvs mine"],
            &["add table ip wvs { flags dormant; }"],
            &["flush map ip wvs services"],
            &["flush map ip wvs service-ranges"],
            &["flush map ip6 wvs slots-both"],
            &["flush set ip wvs closed"],
            &["delete element ip wvs backends { 0:1 }"],
            &["flush map ip wvs held-web"],
            &["delete element ip6 wvs held-web { 0:3 }"],
            &["add element ip6 wvs held-web { 0:9 : 0:2 }"],
            &["add element ip wvs held-web { 0:9 : 1:2 }"],
            &["add element ip wvs pins-32-web { 192.0.2.1 : 0:1 }"],
            &[
                "add map ip wvs persist-mine { type ipv4_addr : classid; size 262144; flags dynamic,timeout; }",
            ],
            &["add map ip wvs persist-mine { type ipv4_addr : mark; flags dynamic,timeout; }"],
            &["add map ip6 wvs pins-024-mine { type ipv6_addr : classid; }"],
            &["flush chain ip wvs keep-persist-web"],
            &["flush map ip6 wvs chosen"],
            &["delete element ip wvs chosen { 7776:0 }"],
            &["add element ip wvs chosen { 0:6 : goto refused }"],
            &["add element ip wvs closed { 192.0.2.1 }"],
            &["add element ip wvs slots-web { 6 : 0:5 }"],
            &["add element ip wvs slots-web { 20 : 0:5 }"],
            &[
                "delete element ip wvs slots-web { 0 }",
                "add element ip wvs slots-web { 0 : 0:2 }",
            ],
            &["add element ip wvs marks { 0x9 : accept }"],
            &["add element ip wvs marks { 0x9 : jump svc-web }"],
        ];
        for commands in damages {
            for command in *commands {
                run_with("nft -f -", command);
            }
            let way = apply(&mut nft, &desired);
            assert!(!way.is_empty(), "{commands:?} was noticed");
            for family in Family::ALL {
                let expected = text::table(family, &desired.tables[&family]);
                assert_eq!(words(&listed(family)), words(&expected), "after {commands:?}");
            }
        }
    });
}

#[test]
fn an_edited_rule_is_noticed() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let desired = both(|family| small(family, 2));
        apply(&mut nft, &desired);
        let listing = run("nft -a list chain ip wvs be-1");
        let (_, handle) = listing.split_once("\" # handle ").unwrap();
        let handle = handle.split_whitespace().next().unwrap();
        run_with(
            "nft -f -",
            &format!(
                "replace rule ip wvs be-1 handle {handle} meta priority set none comment \"svc=web be=10.1.0.1\""
            ),
        );
        let way = apply(&mut nft, &desired);
        assert!(matches!(&way.ops[0], Op::FlushChain(Family::V4, chain) if chain == "be-1"), "{way}");
    });
}

#[test]
fn damage_is_named() {
    in_namespace(|| {
        let mut nft = NftSocket::open().unwrap();
        let desired = ruleset([(Family::V4, small(Family::V4, 1))]);
        let cases = [
            ("add set ip wvs mine { type ipv4_addr; }", "the set `mine` is not ours"),
            (
                "add map ip wvs slots-mine { type mark : mark; }",
                "the set `slots-mine` is not as we make it",
            ),
            ("add counter ip wvs mine", "the object `mine` is not ours"),
            ("add table ip wvs { flags dormant; }", "the table has flags dormant"),
            (
                "add element ip wvs marks { 0x9 : accept }",
                "the set `marks` has an element that is not ours",
            ),
            (
                "add map ip wvs persist-x { type ipv4_addr : classid; flags dynamic,timeout; }",
                "the set `persist-x` is not as we make it",
            ),
            (
                "add element ip wvs chosen { 0:6 : goto svc-web }",
                "the set `chosen` has an element that is not ours",
            ),
            (
                "add chain ip wvs foreign { type filter hook input priority 7; }",
                "chain `foreign` stands at a hook that is not ours",
            ),
            (
                "chain ip wvs prerouting { policy drop; }",
                "chain `prerouting` has another policy than accept",
            ),
        ];
        for (command, words) in cases {
            apply(&mut nft, &desired);
            run_with("nft -f -", command);
            let found = nft.observe().unwrap();
            assert_eq!(found.tables[&Family::V4].damage.as_deref(), Some(words));
        }
    });
}
