//! The ruleset as text is the ruleset of the kernel.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::Result;
use wvs_tests::{
    Config, Namespace, Said, Service, Stage, Target, assert_same_tables, assert_same_text, backend, rs, rs6,
};

/// Something of everything.
fn everything() -> Config {
    let sctp = ["sctp://10.0.0.102:36412", "sctp://[fd00:a::102]:36412"];
    Config::of([
        Service::web_of_both_families()
            .reject_other_ports()
            .scheduler("wrr")
            .backend(Target::new(rs(4)).weight(7))
            .backend(Target::new(rs(5)).drained())
            .backend(Target::new(rs(6)).weight(0)),
        Service::new(
            "ranges",
            &[
                "tcp://10.0.0.100:443,8000-8010,9000",
                "udp://10.0.0.100:53,5000-6000",
            ],
        )
        .forward("full-nat")
        .scheduler("sh")
        .backends((1..=3).map(backend)),
        Service::new("pool", &["udp://10.0.0.101:53"])
            .forward("full-nat")
            .source(&["10.1.0.220-10.1.0.223"])
            .scheduler_with("sh", &[("port", "true")])
            .set("slots", "16")
            .backend(Target::new("10.1.0.11:5353"))
            .backend(Target::new("10.1.0.12:5353").forward("nat")),
        Service::new("one-source", &["tcp://[fd00:a::101]:80"])
            .forward("full-nat")
            .source(&["fd00:b::220"])
            .scheduler("wlc")
            .backends((1..=3).map(rs6)),
        Service::new("s1ap", &sctp)
            .set("slots", "4096")
            .backends((1..=2).map(backend))
            .backend(rs6(1)),
        Service::new("marked", &["fwmark:7", "fwmark:0x10000"])
            .unmanaged()
            .backends([rs(1), rs6(1)]),
        Service::new("nobody", &["tcp://10.0.0.103:80"]),
        Service::new("dotted.name_with-all", &["tcp://10.0.0.104:1-65535"]).backend(rs(1)),
    ])
    .director("ct_mark_mask", "\"0x0fff0000\"")
}

fn tables(ns: &Namespace) -> Result<String> {
    Ok(ns.table("ip wvs")? + &ns.table("ip6 wvs")?)
}

#[test]
fn the_text_loads_and_reads_back_the_same() -> Result<()> {
    let stage = Stage::up(everything())?;
    let export = stage.director.ok(&["export", "nft"])?;
    assert_same_text(&tables(stage.ns())?, &export, "the director's tables and the export");
    let fresh = stage.lab.backend_ns(3);
    fresh.nft(&export)?;
    assert_same_text(&tables(fresh)?, &export, "the loaded tables and the export");
    Ok(())
}

#[test]
fn the_text_follows_every_change() -> Result<()> {
    let stage = Stage::up(everything())?;
    let same = |when: &str| -> Result<()> {
        assert_same_tables(&tables(stage.ns())?, &stage.director.ok(&["export", "nft"])?, when);
        Ok(())
    };
    stage
        .director
        .ok(&["weight", "ranges", &backend(1).to_string(), "5"])?;
    same("after a weight")?;
    stage.director.ok(&["drain", "pool", "10.1.0.11:5353"])?;
    same("after a drain")?;
    stage.director.ok(&["remove", "service", "marked"])?;
    same("after a service went")?;
    stage.director.ok(&[
        "add",
        "service",
        "new",
        "-l",
        "tcp://[fd00:a::105]:1000-2000",
        "-b",
        "[fd00:b::11]",
    ])?;
    same("after a service came")?;
    stage.director.reload_with(Service::web())?;
    // What was there before goes, and IPv6 with it.
    assert_same_tables(
        &stage.ns().table("ip wvs")?,
        &stage.director.ok(&["export", "nft"])?,
        "after a reload",
    );
    Ok(())
}

#[test]
fn a_file_is_exported_without_root() -> Result<()> {
    let stage = Stage::up(everything())?;
    // Somebody without rights may read neither the director's file nor, perhaps, where it was built.
    let open = tempfile::tempdir()?;
    std::fs::set_permissions(open.path(), PermissionsExt::from_mode(0o755))?;
    let (binary, file) = (open.path().join("wvs"), open.path().join("wvs.toml"));
    std::fs::copy(stage.director.binary(), &binary)?;
    std::fs::write(&file, everything().to_string())?;
    let nobody = |arguments: &[&str]| -> Result<Said> {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
            "--",
        ]);
        Ok(command.arg(&binary).args(arguments).arg(&file).output()?.into())
    };
    let said = nobody(&["export", "nft", "--config"])?;
    assert_eq!((said.code, &*said.stderr), (0, ""), "{said:?}");
    assert_same_text(
        &said.stdout,
        &stage.director.ok(&["export", "nft"])?,
        "the file's export and the director's",
    );
    assert_eq!(nobody(&["check"])?.code, 0);
    Ok(())
}

#[test]
fn the_running_configuration_is_exported_as_a_file() -> Result<()> {
    let stage = Stage::up(everything())?;
    stage.director.ok(&["weight", "web", &rs(4).to_string(), "5"])?;
    let file = stage.director.ok(&["export", "config"])?;
    let applied = stage.director.reload_with(&file)?;
    assert_eq!((&applied["plan"], &applied["addresses"]), (&"".into(), &serde_json::json!([])), "{file}");
    Ok(())
}
