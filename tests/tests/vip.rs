//! Virtual addresses come and go with the configuration, and nothing of others goes with them.

use std::time::Duration;

use anyhow::Result;
use wvs_tests::{
    Arrivals, Config, Director, Distribution, Lab, LabOptions, LongLived, Namespace, ServerOptions, Service,
    Stage, rs, vip, vip6, wait_for,
};

const SOON: Duration = Duration::from_secs(5);

/// The addresses of `eth0`, without those that the kernel makes up.
fn addresses(ns: &Namespace) -> Result<Vec<String>> {
    let listed = ns.ip("-o addr show dev eth0")?;
    let words = listed.lines().filter_map(|line| line.split_whitespace().nth(3));
    Ok(words
        .filter(|address| !address.starts_with("fe80:"))
        .map(str::to_owned)
        .collect())
}

fn has(ns: &Namespace, address: &str) -> bool {
    addresses(ns).is_ok_and(|all| all.iter().any(|it| it == address))
}

const VIP: &str = "10.0.0.100/32";
const VIP6: &str = "fd00:a::100/128";

#[test]
fn addresses_come_and_go_with_their_services() -> Result<()> {
    let other = Service::new("other", &["tcp://10.0.0.101:80"]).backend(rs(1));
    let lab = Lab::new(LabOptions {
        backends: 3,
        ..LabOptions::default()
    })?;
    let before = addresses(lab.director_ns())?;
    let director = Director::start(&lab, &Service::web_of_both_families().to_string())?;
    let ns = lab.director_ns();
    assert!(has(ns, VIP) && has(ns, VIP6), "{:?}", addresses(ns)?);

    let applied = director.reload_with(Config::of([Service::web(), other.clone()]))?;
    let changes: Vec<_> = applied["addresses"].as_array().into_iter().flatten().collect();
    assert_eq!(changes, ["+ 10.0.0.101 on eth0", "- fd00:a::100 on eth0"], "{applied}");
    assert!(has(ns, VIP) && has(ns, "10.0.0.101/32") && !has(ns, VIP6), "{:?}", addresses(ns)?);

    // An address that two services share stays until the last of them goes.
    let shared = Service::new("shared", &["tcp://10.0.0.100:81"]).backend(rs(1));
    director.reload_with(Config::of([Service::web(), shared.clone()]))?;
    director.ok(&["remove", "service", "web"])?;
    assert!(has(ns, VIP));
    director.ok(&["remove", "service", "shared"])?;
    assert_eq!(addresses(ns)?, before);
    Ok(())
}

#[test]
fn an_address_that_was_there_stays() -> Result<()> {
    let stage =
        Stage::prepared(LabOptions::default(), Service::web_of_both_families(), |lab| lab.add_vip(vip(0)))?;
    let applied = stage.director.reload_with("")?;
    assert_eq!(applied["addresses"], serde_json::json!(["- fd00:a::100 on eth0"]));
    assert!(has(stage.ns(), VIP) && !has(stage.ns(), VIP6));
    stage.director.reload_with(Service::web())?;
    stage.director.ok(&["teardown", "--yes"])?;
    assert!(has(stage.ns(), VIP));
    Ok(())
}

#[test]
fn what_a_dead_director_brought_up_the_next_takes_down() -> Result<()> {
    let mut stage = Stage::up(Service::web_of_both_families())?;
    stage.director.kill9()?;
    assert!(has(stage.ns(), VIP) && has(stage.ns(), VIP6));
    stage.director.write_config(&Service::web().to_string())?;
    stage.director.restart()?;
    assert!(has(stage.ns(), VIP) && !has(stage.ns(), VIP6));
    Ok(())
}

/// What the client's neighbour table says of an address: a hardware address, if any.
fn neighbour(lab: &Lab, address: &str) -> Result<Option<String>> {
    let listed = lab.client_ns().ip(&format!("neigh show {address} dev eth0"))?;
    let mut words = listed.split_whitespace().skip_while(|word| *word != "lladdr");
    Ok(words.nth(1).map(str::to_owned))
}

#[test]
fn neighbours_hear_that_an_address_has_moved() -> Result<()> {
    let elsewhere = "02:00:00:00:00:99";
    let before = |lab: &Lab| -> Result<()> {
        for address in [vip(0), vip6(0)] {
            // As if another host had it and the client had talked to it just now.
            lab.client_ns()
                .ip(&format!("neigh add {address} lladdr {elsewhere} dev eth0 nud reachable"))?;
        }
        Ok(())
    };
    let stage = Stage::prepared(LabOptions::default(), Service::web_of_both_families(), before)?;
    let link = stage.ns().ip("-o link show dev eth0")?;
    let own = link
        .split_whitespace()
        .skip_while(|word| *word != "link/ether")
        .nth(1)
        .map(str::to_owned);
    for address in [vip(0), vip6(0)] {
        wait_for("the announcement", SOON, || {
            neighbour(&stage.lab, &address.to_string()).is_ok_and(|now| now == own)
        });
    }
    let seen = stage.client().ask_many(stage.web(), 3);
    assert_eq!((seen.answered(), stage.client().ask_many(stage.web6(), 3).answered()), (3, 3));
    Ok(())
}

/// All of the namespace that a teardown might touch.
fn surroundings(ns: &Namespace) -> Result<String> {
    let tables = ns.read("nft", &["-sa", "list", "ruleset"])?;
    Ok([
        addresses(ns)?.join("\n"),
        tables,
        ns.ip("route show table all")?,
        ns.ip("rule show")?,
    ]
    .join("\n"))
}

const FOREIGN: &str = "table inet foreign {
    chain c {
        type nat hook prerouting priority 0;
        tcp dport 1 accept
    }
}";

/// A director beside foreign things, and what was there before it.
fn beside_foreign_things() -> Result<(Stage, String)> {
    let mut before = String::new();
    let config = Service::web_of_both_families().reject_other_ports();
    let stage = Stage::prepared(LabOptions::default(), config, |lab| {
        lab.add_vip(vip(5))?;
        lab.director_ns().nft(FOREIGN)?;
        before = surroundings(lab.director_ns())?;
        Ok(())
    })?;
    Ok((stage, before))
}

#[test]
fn a_teardown_removes_what_is_ours_and_nothing_else() -> Result<()> {
    let (mut stage, before) = beside_foreign_things()?;
    assert_ne!(surroundings(stage.ns())?, before);
    let torn = stage.director.json(&["teardown", "--yes"])?;
    assert_eq!(torn["tables"], true, "{torn}");
    assert_eq!(surroundings(stage.ns())?, before);
    // The director has gone, too.
    let socket = stage.director.socket();
    wait_for("the director to end", SOON, || !socket.exists());
    assert!(stage.director.terminate()?.success());
    // It comes back to an empty kernel and makes all of it again.
    stage.director.restart()?;
    assert_eq!(stage.client().ask_many(stage.web(), 30).answered(), 30);
    assert_eq!(stage.client().ask_many(stage.web6(), 30).answered(), 30);
    Ok(())
}

#[test]
fn a_teardown_needs_no_director() -> Result<()> {
    let (mut stage, before) = beside_foreign_things()?;
    stage.director.kill9()?;
    let state = stage.director.state_dir();
    let arguments = [
        "teardown",
        "--yes",
        "--state-dir",
        state.to_str().expect("a path of this test"),
    ];
    let torn = stage.director.json(&arguments)?;
    assert_eq!(torn["tables"], true, "{torn}");
    assert_eq!(surroundings(stage.ns())?, before);
    let torn = stage.director.json(&arguments)?;
    assert_eq!((&torn["tables"], &torn["addresses"]), (&false.into(), &serde_json::json!([])));
    Ok(())
}

#[test]
fn stopping_leaves_everything_in_place() -> Result<()> {
    let mut stage = Stage::up(Service::web_of_both_families())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    let arrivals = Arrivals::start(&stage.client(), stage.web6(), 50);
    let before = surroundings(stage.ns())?;
    assert!(stage.director.terminate()?.success());
    assert!(!stage.director.socket().exists());
    assert_eq!(surroundings(stage.ns())?, before);
    let seen = stage.client().ask_many(stage.web(), 30);
    assert_eq!(seen, Distribution::of(&[("rs1", 10), ("rs2", 10), ("rs3", 10)]));
    stage.director.restart()?;
    assert_eq!(surroundings(stage.ns())?, before);
    arrivals.next(10);
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    assert_eq!(arrivals.finish().failed(), 0);
    Ok(())
}

#[test]
fn a_service_moves_to_another_interface() -> Result<()> {
    let lab = Lab::new(LabOptions {
        backends: 1,
        ..LabOptions::default()
    })?;
    let servers = lab.start_servers(&ServerOptions::default())?;
    let web = Service::web().only([rs(1)]);
    let director = Director::start(&lab, &web.to_string())?;
    director.reload_with(web.managed_on("lo"))?;
    assert!(!has(lab.director_ns(), VIP));
    assert!(lab.director_ns().ip("-o addr show dev lo")?.contains(VIP));
    // Still the director's own address, whatever the interface.
    assert_eq!(lab.client().ask_many(lab.vip(80), 3), Distribution::of(&[("rs1", 3)]));
    assert_eq!(servers[0].accepted(), 3);
    Ok(())
}
