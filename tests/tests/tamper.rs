//! Others in the same kernel: what they do to our tables is put right, and what is theirs stays theirs.

#![expect(
    clippy::print_stderr,
    reason = "times are for whoever runs it with --no-capture"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wvs_tests::{
    Arrivals, Config, Distribution, LabOptions, LongLived, Namespace, Service, Stage, assert_same_tables, rs,
    same_tables, wait_for, wait_until,
};

/// The promise.
const REPAIRED: Duration = Duration::from_secs(2);

/// A table of somebody else that has nothing to do with us.
const FOREIGN: &str = "table inet foreign {
    set friends {
        type ipv4_addr
        flags interval
        elements = { 192.0.2.0/24 }
    }
    chain input {
        type filter hook input priority filter; policy accept;
        ip saddr @friends counter accept
    }
    chain nat {
        type nat hook postrouting priority srcnat + 10;
        ip saddr @friends masquerade
    }
}";

/// Our tables and guards as they stand.
fn ours(ns: &Namespace) -> Result<String> {
    ["ip wvs", "ip6 wvs", "ip wvs-guard", "ip6 wvs-guard"]
        .iter()
        .map(|table| ns.table(table))
        .collect()
}

fn config() -> Config {
    Config::of([
        Service::web_of_both_families().reject_other_ports(),
        Service::new("ranges", &["tcp://10.0.0.100:8000-8010"])
            .forward("full-nat")
            .backend(rs(3)),
    ])
}

/// Does each of these things to our tables, under traffic, and sees that it is put right in time.
fn tampered(things: &[&str]) -> Result<()> {
    let stage = Stage::prepared(LabOptions::default(), config(), |lab| lab.director_ns().nft(FOREIGN))?;
    let whole = ours(stage.ns())?;
    let foreign = stage.ns().table("-a inet foreign")?;
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    let mut faults = Vec::new();
    for thing in things {
        let repairs = stage.director.number("repairs")?;
        let thing = fill_in(stage.ns(), thing)?;
        let began = Instant::now();
        stage.ns().nft(&thing).with_context(|| thing.clone())?;
        // Seen to be put right only where it was seen to be wrong, or where the director says so.
        let mut seen_wrong = false;
        let mut is_right = || -> Result<bool> {
            let right = ours(stage.ns()).is_ok_and(|now| same_tables(&now, &whole));
            seen_wrong |= !right;
            Ok(right && (seen_wrong || stage.director.number("repairs")? > repairs))
        };
        while !is_right()? && began.elapsed() < REPAIRED {}
        if !is_right()? {
            assert_same_tables(
                &ours(stage.ns())?,
                &whole,
                &format!("{thing}: after {REPAIRED:?} the tables"),
            );
        }
        eprintln!("put right after {:?}: {thing}", began.elapsed());
        if stage.director.number("repairs")? != repairs + 1 {
            faults.push(format!("{thing}: not counted as a repair"));
        }
        flows.settle();
        let broken = flows.report();
        if broken.broken() != 0 {
            faults.push(format!("{thing}: broke connections: {broken:?}"));
            break;
        }
        let seen = stage.client().ask_many(stage.web(), 30);
        // Give or take one where the cycle of 256 slots begins anew.
        let even = ["rs1", "rs2", "rs3"]
            .iter()
            .all(|rs| (9..=11).contains(&seen.server(rs)));
        if seen.failed() != 0 || !even {
            faults.push(format!("{thing}: {seen}"));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    let export = stage.director.ok(&["export", "nft"])?;
    let now = stage.ns().table("ip wvs")? + &stage.ns().table("ip6 wvs")?;
    assert_same_tables(&now, &export, "the tables and the export");
    assert_eq!(stage.ns().table("-a inet foreign")?, foreign);
    Ok(())
}

/// Puts the handle of a chain's first rule in the place of `HANDLE(chain)`.
fn fill_in(ns: &Namespace, thing: &str) -> Result<String> {
    let Some((before, rest)) = thing.split_once("HANDLE(") else {
        return Ok(thing.to_owned());
    };
    let (chain, after) = rest.split_once(')').context("HANDLE(chain)")?;
    let rules = ns.read("nft", &["-a", "list", "chain", "ip", "wvs", chain])?;
    let mut handles = rules
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once("# handle "));
    let (_, handle) = handles.next().with_context(|| format!("no rule in {rules}"))?;
    Ok(format!("{before}{handle}{after}"))
}

#[test]
fn tables_that_were_deleted_come_back() -> Result<()> {
    tampered(&[
        "delete table ip wvs",
        "delete table ip6 wvs",
        "delete table ip wvs-guard",
        "delete table ip6 wvs-guard",
        "flush table ip wvs",
        "flush chain ip wvs-guard prerouting\ndelete chain ip wvs-guard prerouting",
    ])
}

#[test]
fn contents_that_were_deleted_come_back() -> Result<()> {
    tampered(&[
        "flush chain ip wvs svc-web",
        "flush chain ip wvs dispatch",
        "flush chain ip wvs be-1",
        "flush chain ip wvs nat-prerouting\ndelete chain ip wvs nat-prerouting",
        "delete rule ip wvs account handle HANDLE(account)",
        "delete element ip wvs services { 10.0.0.100 . tcp . 80 }",
        "delete element ip wvs service-ranges { 10.0.0.100 . tcp . 8000-8010 }",
        "delete element ip wvs closed { 10.0.0.100 }",
        "flush map ip wvs slots-web",
        "flush map ip wvs backends",
        "flush set ip wvs sent",
    ])
}

#[test]
fn contents_that_were_changed_are_changed_back() -> Result<()> {
    tampered(&[
        "replace rule ip wvs svc-web handle HANDLE(svc-web) counter accept",
        "replace rule ip wvs be-1 handle HANDLE(be-1) dnat to 10.1.0.12",
        "delete element ip wvs services { 10.0.0.100 . tcp . 80 }
         add element ip wvs services { 10.0.0.100 . tcp . 80 : goto svc-ranges }",
        "insert rule ip wvs dispatch counter accept",
        "add rule ip wvs svc-web counter drop",
    ])
}

#[test]
fn contents_that_were_added_go() -> Result<()> {
    tampered(&[
        "add chain ip wvs foreign { type filter hook forward priority 10; }
         add rule ip wvs foreign counter",
        "add chain ip wvs foreign",
        "add set ip wvs foreign { type ipv4_addr; elements = { 192.0.2.1 } }",
        "add map ip wvs foreign { type ipv4_addr : ipv4_addr; }",
        "add counter ip wvs foreign",
        "add element ip wvs services { 10.0.0.100 . tcp . 81 : goto svc-web }",
        "add element ip wvs closed { 10.0.0.101 }",
        "add rule ip wvs-guard prerouting counter",
    ])
}

#[test]
fn after_a_flush_of_everything_services_are_back() -> Result<()> {
    let stage = Stage::up(config())?;
    let whole = ours(stage.ns())?;
    stage.ns().nft("flush ruleset")?;
    wait_for("the tables to be back", REPAIRED, || ours(stage.ns()).is_ok_and(|now| now == whole));
    let seen = stage.client().ask_many(stage.web(), 30);
    assert_eq!(seen, Distribution::of(&[("rs1", 10), ("rs2", 10), ("rs3", 10)]));
    Ok(())
}

#[test]
fn a_change_after_an_unseen_change_is_made_all_the_same() -> Result<()> {
    // The director plans against what it believes is there; somebody was faster.
    let stage = Stage::up(config())?;
    for _ in 0..5 {
        stage.ns().nft("delete table ip wvs")?;
        stage.director.drain("web", rs(1))?;
        stage.ns().nft("flush map ip wvs slots-web")?;
        stage
            .director
            .ok(&["drain", "web", &rs(1).to_string(), "--undo"])?;
    }
    let export = stage.director.ok(&["export", "nft"])?;
    wait_for("all to be as it should", REPAIRED, || {
        let now = stage
            .ns()
            .table("ip wvs")
            .and_then(|v4| Ok(v4 + &stage.ns().table("ip6 wvs")?));
        now.is_ok_and(|now| same_tables(&now, &export))
    });
    assert_eq!(stage.client().ask_many(stage.web(), 30).answered(), 30);
    Ok(())
}

#[test]
fn foreign_tables_are_left_alone() -> Result<()> {
    let lab = wvs_tests::Lab::new(LabOptions::default())?;
    let ns = lab.director_ns();
    ns.nft(FOREIGN)?;
    // Names that begin like ours, and ours in another family.
    ns.nft("add table ip wvs2\nadd chain ip wvs2 wvs\nadd table inet wvs\nadd set inet wvs s { type ipv4_addr; }")?;
    ns.nft("add table arp wvs-guard")?;
    let theirs = || -> Result<String> {
        let tables = ["-a inet foreign", "-a ip wvs2", "-a inet wvs", "-a arp wvs-guard"];
        tables.iter().map(|table| ns.table(table)).collect()
    };
    let (before, tables) = (theirs()?, ns.tables()?);
    let director = wvs_tests::Director::start(&lab, &config().to_string())?;
    assert_eq!(theirs()?, before);
    director.reload_with(Service::web())?;
    ns.nft("delete table ip wvs")?;
    wait_for("the repair", REPAIRED, || ns.table("ip wvs").is_ok());
    assert_eq!(theirs()?, before);
    director.ok(&["teardown", "--yes"])?;
    assert_eq!(theirs()?, before);
    assert_eq!(ns.tables()?, tables);
    Ok(())
}

/// Marks connections and packets before we see them, and counts what is left of it behind us.
const MARKS: &str = "table inet foreign {
    counter kept { }
    counter lost { }
    chain early {
        type filter hook prerouting priority mangle;
        tcp dport 80 ct state new ct mark set 0x0000abcd
        tcp dport 80 meta mark set 0x11
    }
    chain late {
        type filter hook forward priority filter + 10;
        tcp dport 8080 meta mark 0x11 ct mark & 0x0000ffff == 0xabcd counter name kept return
        tcp dport 8080 counter name lost
    }
}";

/// The conntrack marks of connections to the web.
fn conntrack_marks(stage: &Stage) -> Result<Vec<u32>> {
    let list = stage.ns().conntrack()?;
    let ours = list
        .lines()
        .filter(|line| line.contains("dst=10.0.0.100 ") && line.contains("dport=80 "));
    let mark = |line: &str| {
        let word = line.split(' ').find_map(|word| word.strip_prefix("mark="));
        word.and_then(|mark| mark.parse().ok())
            .with_context(|| format!("no mark in {line}"))
    };
    ours.map(mark).collect()
}

#[test]
fn foreign_bits_of_marks_are_kept() -> Result<()> {
    let masks = [None, Some(("0xffff0000", 16)), Some(("0x0ff00000", 20))];
    for mask in masks {
        let mut config = Config::from(Service::web().forward("full-nat"));
        if let Some((mask, _)) = mask {
            config = config.director("ct_mark_mask", &format!("\"{mask}\""));
        }
        let stage = Stage::prepared(LabOptions::default(), config, |lab| lab.director_ns().nft(MARKS))?;
        assert_eq!(stage.client().ask_many(stage.web(), 30).answered(), 30);
        let shift = mask.map_or(16, |(_, shift)| shift);
        let expected = (1..=3)
            .map(|n| {
                stage.director.backend("web", rs(n))?["id"]
                    .as_u64()
                    .context("an id")
            })
            .map(|id: Result<u64>| Ok((u32::try_from(id?)? << shift) | 0xabcd))
            .collect::<Result<Vec<u32>>>()?;
        let marks = conntrack_marks(&stage)?;
        for mark in &expected {
            assert_eq!(marks.iter().filter(|it| *it == mark).count(), 10, "{mark:#x} in {marks:x?}");
        }
        assert_eq!(marks.len(), 30);
        let (kept, _) = stage.ns().counter("inet foreign", "kept")?;
        let (lost, _) = stage.ns().counter("inet foreign", "lost")?;
        assert!(kept >= 30 && lost == 0, "{kept} packets kept their marks, {lost} did not");
    }
    Ok(())
}

#[test]
fn a_busy_writer_breaks_nothing() -> Result<()> {
    let configs = [Service::web(), Service::web().only([rs(1), rs(2)])];
    let stage = Stage::up(configs[0].clone())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 60)?;
    let arrivals = Arrivals::start(&stage.client(), stage.web(), 50);
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                stage
                    .ns()
                    .nft("add table inet busy\nadd chain inet busy c\nadd rule inet busy c counter")?;
                stage.ns().nft("delete table inet busy")?;
                written.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let reloaded = configs.iter().rev().cycle().take(20).try_for_each(|config| {
            // At least one write of the other between two of ours.
            let before = written.load(Ordering::Relaxed);
            wait_until("the busy writer", REPAIRED, || {
                (written.load(Ordering::Relaxed) > before).then_some(())
            });
            stage.director.reload_with(config).map(drop)
        });
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("does not panic").and(reloaded)
    })?;
    arrivals.next(10);
    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    assert_eq!(arrivals.finish().failed(), 0);
    // What somebody else does to his own table is no reason to repair ours.
    assert_eq!(stage.director.number("repairs")?, 0);
    eprintln!("{} foreign writes during 20 reloads", written.into_inner());
    Ok(())
}
