//! Plugins that misbehave or cannot be had: there is a table in any case, and nothing else suffers.

use std::time::Duration;

use anyhow::{Context, Result};
use wvs_tests::{
    Arrivals, Config, Director, DirectorOptions, Distribution, Lab, LabOptions, LongLived, ServerOptions,
    Service, Stage, rs, wait_for,
};

/// A plugin made for tests, of the director's own tests or of these.
fn fixture(name: &str) -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    let places = [
        format!("{here}/tests/plugins/{name}"),
        format!("{here}/../core/tests/plugins/{name}"),
    ];
    let found = places
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    found.unwrap_or_else(|| panic!("no plugin {name} among the fixtures"))
}

/// A plugin that misbehaves as it is told.
fn faulty(service: Service, params: &[(&str, &str)]) -> Service {
    service.scheduler_with(fixture("fault.wat"), params)
}

#[test]
fn a_plugin_that_fails_at_start_is_stood_in_for() -> Result<()> {
    let faults = ["trap", "loop", "memory", "wrong-id", "refuse"];
    let services = (0..).zip(faults).map(|(n, fault)| {
        let listen = format!("tcp://10.0.0.100:{}", 8000 + n);
        faulty(Service::new(fault, &[&listen]).weights(&[3, 2, 1]), &[("fault", fault)])
    });
    let stage = Stage::up(Config::of(services))?;
    for (n, fault) in (0..).zip(faults) {
        // The plugin itself knows no weights: this is the built-in round robin.
        let seen = stage.client().ask_many(stage.lab.vip(8000 + n), 24);
        assert_eq!(seen, Distribution::of(&[("rs1", 12), ("rs2", 8), ("rs3", 4)]), "{fault}");
        let scheduler = stage.director.scheduler(fault)?;
        assert_eq!(scheduler["health"]["fallback"], true, "{scheduler}");
        let expected = if fault == "refuse" {
            "refusing"
        } else {
            "backing-off"
        };
        assert_eq!(scheduler["health"]["state"], expected, "{scheduler}");
        assert!(scheduler["last_error"].is_string(), "{scheduler}");
    }
    let said = stage.director.says(&["status"])?;
    assert_eq!(said.code, 4, "{said:?}");
    for fault in faults {
        assert!(said.stdout.contains(&format!("service {fault} ")), "{said:?}");
    }
    assert!(said.stdout.contains("built-in round robin stands in"), "{said:?}");
    assert!(stage.director.stderr().contains("trapped"), "the log says so, too");
    // It is tried again, and counted.
    let failures = |stage: &Stage| stage.director.scheduler("trap").ok()?["failures"].as_u64();
    let before = failures(&stage).context("a number of failures")?;
    assert!(before >= 1);
    wait_for("it to be tried again", Duration::from_secs(10), || failures(&stage) > Some(before));
    Ok(())
}

#[test]
fn a_plugin_that_fails_later_leaves_its_last_table() -> Result<()> {
    let web = Service::web().scheduler_with(fixture("shy.wat"), &[]);
    let stage = Stage::up(web)?;
    // It likes the first backend; the built-in round robin would not.
    assert_eq!(stage.client().ask_many(stage.web(), 6), Distribution::of(&[("rs1", 6)]));
    assert_eq!(stage.director.says(&["status"])?.code, 0);
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    let arrivals = Arrivals::start(&stage.client(), stage.web(), 50);

    stage
        .director
        .ok(&["remove", "backend", "web", &rs(3).to_string()])?;
    let scheduler = stage.director.scheduler("web")?;
    assert_eq!(scheduler["health"]["fallback"], false, "{scheduler}");
    assert_eq!(stage.director.says(&["status"])?.code, 4);
    assert_eq!(arrivals.next(20).servers.len(), 1);
    assert_eq!(stage.client().ask_many(stage.web(), 6), Distribution::of(&[("rs1", 6)]));

    // Also a table that nobody makes anew leads to nobody who takes no connections.
    stage.director.drain("web", rs(1))?;
    let seen = arrivals.next(20);
    assert_eq!((seen.server("rs1"), seen.failed()), (0, 0), "{seen}");

    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    assert_eq!(arrivals.finish().failed(), 0);
    Ok(())
}

#[test]
fn a_plugin_that_fails_once_is_back_at_once() -> Result<()> {
    for fault in ["trap", "loop", "memory", "wrong-id"] {
        let stage = Stage::up(faulty(Service::web(), &[("fault", fault), ("after", "1")]))?;
        let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
        stage.director.drain("web", rs(3))?;
        let scheduler = stage.director.scheduler("web")?;
        assert_eq!((&scheduler["health"]["state"], &scheduler["failures"]), (&"running".into(), &1.into()));
        assert!(scheduler["last_error"].is_string(), "{scheduler}");
        let seen = stage.client().ask_many(stage.web(), 20);
        assert_eq!(seen, Distribution::of(&[("rs1", 10), ("rs2", 10)]), "{fault}");
        flows.settle();
        assert_eq!(flows.finish().broken(), 0, "{fault}");
    }
    Ok(())
}

/// A file that changes under a running director, by a rename as any careful author does, and then by one that is no good.
#[test]
fn a_plugin_is_exchanged_under_traffic() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("mine.wat");
    let put = |name: &str, edit: &dyn Fn(String) -> String| -> Result<()> {
        let aside = dir.path().join("aside");
        std::fs::write(&aside, edit(std::fs::read_to_string(fixture(name))?))?;
        Ok(std::fs::rename(aside, &file)?)
    };
    put("fault.wat", &|text| text)?;
    let plugin = file.to_str().context("a path in UTF-8")?;
    let stage = Stage::up(Service::web().scheduler_with(plugin, &[]))?;
    assert_eq!(
        stage.client().ask_many(stage.web(), 6),
        Distribution::of(&[("rs1", 2), ("rs2", 2), ("rs3", 2)])
    );
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    let arrivals = Arrivals::start(&stage.client(), stage.web(), 50);

    put("shy.wat", &|text| text)?;
    let all_to_first = || arrivals.next(10).server("rs1") == 10;
    wait_for("the new version", Duration::from_secs(60), all_to_first);
    assert_eq!(stage.director.says(&["status"])?.code, 0);

    // It gives up when it is told of backends.
    let update = "(func (export \"update\") (param $backends i32) (param $count i32) (result i32)";
    put("fault.wat", &|text| text.replacen(update, &format!("{update} unreachable"), 1))?;
    let warned = || stage.director.says(&["status"]).is_ok_and(|said| said.code == 4);
    wait_for("the warning", Duration::from_secs(60), warned);
    let said = stage.director.says(&["status"])?;
    assert!(
        said.stdout
            .contains("the one before goes on until the file changes again"),
        "{said:?}"
    );
    assert_eq!(arrivals.next(20).server("rs1"), 20);

    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    assert_eq!(arrivals.finish().failed(), 0);
    Ok(())
}

#[test]
fn a_director_that_interprets_serves() -> Result<()> {
    let lab = Lab::new(LabOptions::default())?;
    let _servers = lab.start_servers(&ServerOptions::default())?;
    let options = DirectorOptions {
        config: Config::from(Service::web().scheduler("rr")).to_string(),
        arguments: vec!["--pulley".into()],
        ..DirectorOptions::default()
    };
    let mut director = Director::start_with(&lab, options)?;
    let even = Distribution::of(&[("rs1", 2), ("rs2", 2), ("rs3", 2)]);
    assert_eq!(lab.client().ask_many(lab.vip(80), 6), even);
    let said = director.stderr();
    let denied = "no memory of this process becomes executable from now on";
    assert!(said.contains(denied) || said.contains("Linux 6.3 can"), "{said}");
    assert_eq!(director.says(&["status"])?.code, 0);
    // What was compiled for the interpreter is kept, too, and what is known of it.
    let kept = || std::fs::read_dir(director.state_dir().join("plugin-cache")).map(Iterator::count);
    assert_eq!(kept()?, 2);
    director.kill9()?;
    director.restart()?;
    assert_eq!(director.scheduler("web")?["health"]["state"], "running");
    Ok(())
}

/// A switch to a scheduler that does not work is refused, and the one before goes on.
#[test]
fn a_switch_to_a_plugin_that_fails_is_taken_back() -> Result<()> {
    let stage = Stage::up(Service::web().scheduler("rr"))?;
    let broken = faulty(Service::web(), &[("fault", "trap"), ("call", "update")]);
    stage.assert_refused(&broken.into(), &["fails at its first calls", "update trapped"])?;
    assert_eq!(stage.director.says(&["status"])?.code, 0);
    assert_eq!(stage.director.scheduler("web")?["plugin"], "rr");
    Ok(())
}

#[test]
fn plugins_that_cannot_be_had_are_refused() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let refused = |web: Service, reasons: &[&str]| stage.assert_refused(&web.into(), reasons);
    refused(Service::web().scheduler("nobody"), &["nobody", "scheduler"])?;
    refused(Service::web().scheduler("/nowhere/mine.wasm"), &["/nowhere/mine.wasm"])?;
    refused(Service::web().scheduler(&fixture("next-version.wat")), &["0.2.0"])?;
    refused(Service::web().scheduler(&fixture("wasi.wat")), &["wasi"])?;
    refused(Service::web().scheduler_with("sh", &[("prot", "true")]), &["prot", "port"])?;
    refused(Service::web().scheduler_with("sh", &[("port", "perhaps")]), &["port", "perhaps"])?;
    // And at a start.
    let other = Lab::new(LabOptions {
        backends: 0,
        ..LabOptions::default()
    })?;
    let error = Director::start(&other, &Service::web().scheduler("nobody").to_string());
    let error = format!("{:#}", error.expect_err("there is no such plugin"));
    assert!(error.contains("nobody"), "{error}");
    assert_eq!(other.director_ns().tables()?, "");
    Ok(())
}
