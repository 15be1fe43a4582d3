//! What goes wrong beside the director does not go wrong in the kernel: plugins, files, another director,
//! missing privileges.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use wvs_tests::{
    Config, Director, Distribution, Lab, LabOptions, LongLived, Said, Service, Stage, Target, rs, rs6, vip,
    wait_for,
};

#[test]
fn a_bad_file_is_refused_with_all_its_faults() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 10)?;
    let bad = "[[service]]\nname = \"web\"\nlisten = [\"tcp://10.0.0.100:80\"]\nweigth = 3\nslots = 17\n";
    stage.director.write_config(bad)?;
    let commits = stage.director.number("commits")?;
    let said = stage.director.says(&["reload"])?;
    let file = stage.director.config().display().to_string();
    said.assert_failed(&[
        &format!("{file}:4:1"),
        &format!("{file}:5:9"),
        "weigth",
        "17",
        "^",
        "help:",
    ]);
    let said = stage.director.apply(bad)?;
    said.assert_failed(&["stdin:4:1", "stdin:5:9"]);
    stage.director.write_config("[[service]\n")?;
    stage
        .director
        .says(&["reload"])?
        .assert_failed(&[&format!("{file}:1:")]);
    std::fs::remove_file(stage.director.config())?;
    stage.director.says(&["reload"])?.assert_failed(&[&file]);
    assert_eq!(stage.director.number("commits")?, commits);
    assert_eq!(stage.client().ask_many(stage.web(), 3).answered(), 3);
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

/// `wvs run` in a director's place, which must not come to run.
fn run_beside(lab: &Lab, director: &Director, socket: &std::path::Path) -> Result<Said> {
    let state = tempfile::tempdir()?;
    let mut command = lab.director_ns().command(director.binary());
    command.args(["run", "--config"]).arg(director.config());
    command
        .arg("--socket")
        .arg(socket)
        .arg("--state-dir")
        .arg(state.path());
    ends(command)
}

/// Runs a command that must end by itself, and soon.
fn ends(mut command: Command) -> Result<Said> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut child = Ended(child);
    wait_for("a director that cannot run to end", Duration::from_secs(20), || {
        child.0.try_wait().is_ok_and(|status| status.is_some())
    });
    let mut said = Said {
        code: -1,
        stdout: String::new(),
        stderr: String::new(),
    };
    said.code = child.0.wait()?.code().unwrap_or(-1);
    child
        .0
        .stdout
        .take()
        .context("piped")?
        .read_to_string(&mut said.stdout)?;
    child
        .0
        .stderr
        .take()
        .context("piped")?
        .read_to_string(&mut said.stderr)?;
    Ok(said)
}

/// Killed when the test ends, however it ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_director_is_refused_and_the_first_unharmed() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 10)?;
    let pid = stage.director.status()?["pid"].clone();
    let table = stage.ns().table("-a ip wvs")?;

    let elsewhere = tempfile::tempdir()?;
    let said = run_beside(&stage.lab, &stage.director, &elsewhere.path().join("wvs.sock"))?;
    said.assert_failed(&["another director", "network namespace"]);

    // In another namespace the tables are free, but the socket is not.
    let other = Lab::new(LabOptions {
        backends: 0,
        ..LabOptions::default()
    })?;
    let socket = stage.director.socket();
    let said = run_beside(&other, &stage.director, &socket)?;
    said.assert_failed(&["another director answers", &socket.display().to_string()]);
    assert_eq!(other.director_ns().tables()?, "");

    let said = run_beside(&stage.lab, &stage.director, &socket)?;
    said.assert_failed(&["another director"]);

    assert_eq!(stage.director.status()?["pid"], pid);
    assert_eq!(stage.ns().table("-a ip wvs")?, table);
    assert_eq!(stage.client().ask_many(stage.web(), 3).answered(), 3);
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

#[test]
fn without_privileges_it_says_which() -> Result<()> {
    let stage = Stage::with_servers(1, Service::web().only([rs(1)]))?;
    let other = Lab::new(LabOptions {
        backends: 0,
        ..LabOptions::default()
    })?;
    let state = tempfile::tempdir()?;
    let mut command = other.director_ns().command("setpriv");
    // Still root, so that it may read and write what it has to, but as powerless as anybody.
    command
        .args(["--bounding-set=-all", "--inh-caps=-all", "--"])
        .arg(stage.director.binary());
    command.args(["run", "--config"]).arg(stage.director.config());
    command
        .arg("--socket")
        .arg(state.path().join("wvs.sock"))
        .arg("--state-dir")
        .arg(state.path().join("state"));
    let said = ends(command)?;
    said.assert_failed(&["CAP_NET_ADMIN"]);
    assert_eq!(other.director_ns().tables()?, "");
    Ok(())
}

#[test]
fn a_backend_without_a_route_is_warned_of_and_the_others_serve() -> Result<()> {
    let nowhere = "203.0.113.9:8080";
    let web = Service::web().backend(Target::new(nowhere));
    let stage = Stage::up(web)?;
    let said = stage.director.says(&["status"])?;
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stdout.contains("203.0.113.9"), "{said:?}");
    let seen = stage.client().ask_many(stage.web(), 4);
    assert_eq!(["rs1", "rs2", "rs3"].map(|rs| seen.server(rs)), [1, 1, 1], "{seen}");

    // Once there is a route, or no such backend, all is well.
    stage.director.ok(&["remove", "backend", "web", nowhere])?;
    let said = stage.director.says(&["status"])?;
    assert_eq!(said.code, 0, "{said:?}");
    let added = stage.director.json(&["add", "backend", "web", nowhere])?;
    assert!(
        added["warnings"][0]
            .as_str()
            .is_some_and(|it| it.contains("203.0.113.9")),
        "{added}"
    );
    Ok(())
}

#[test]
fn an_unknown_interface_is_refused_with_those_there_are() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let other = Service::new("other", &["tcp://10.0.0.101:80"])
        .backend(rs(1))
        .managed_on("eth7");
    let config = Config::of([Service::web().only([rs(1)]), other.clone()]);
    stage.assert_refused(&config, &["eth7", "eth0"])?;
    let lab = Lab::new(LabOptions {
        backends: 0,
        ..LabOptions::default()
    })?;
    let error = Director::start(&lab, &other.to_string()).expect_err("there is no eth7");
    assert!(format!("{error:#}").contains("eth7"), "{error:#}");
    assert_eq!(lab.director_ns().tables()?, "");
    Ok(())
}

/// `table ip6 wvs`, held by a process whose own it is as long as it lives (`flags owner`).
struct Owner(Child);

impl Owner {
    /// Takes the table, after other things in the same transaction.
    fn take(lab: &Lab, before: &str) -> Result<Self> {
        let mut command = lab.director_ns().command("nft");
        let mut owner = Self(
            command
                .arg("-i")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()?,
        );
        let stdin = owner.0.stdin.as_mut().context("piped")?;
        writeln!(stdin, "{before}add table ip6 wvs {{ flags owner; }}")?;
        let owned = || {
            lab.director_ns()
                .table("ip6 wvs")
                .is_ok_and(|table| table.contains("flags owner"))
        };
        wait_for("the owned table", Duration::from_secs(5), owned);
        Ok(owner)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_the_kernel_refuses_is_not_half_applied() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 10)?;
    let before = (stage.ns().table("-a ip wvs")?, stage.director.ok(&["export", "config"])?);
    let addresses = stage.ns().ip("addr show dev eth0")?;
    let owner = Owner::take(&stage.lab, "")?;
    // The IPv4 part alone would be fine; the IPv6 part is somebody else's.
    let both = Service::web_of_both_families().only([rs(1), rs6(1)]);
    let said = stage.director.apply(&both)?;
    said.assert_failed(&["kernel"]);
    let after = (stage.ns().table("-a ip wvs")?, stage.director.ok(&["export", "config"])?);
    assert_eq!(after, before);
    assert_eq!(stage.ns().ip("addr show dev eth0")?, addresses);
    assert_eq!(stage.client().ask_many(stage.web(), 3).servers.len(), 3);
    drop(owner);
    // As soon as it is free, the same succeeds.
    let said = stage.director.apply(&both)?;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(stage.client().ask_many(stage.web6(), 3), Distribution::of(&[("rs1", 3)]));
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

#[test]
fn a_repair_that_cannot_be_made_is_made_as_soon_as_it_can() -> Result<()> {
    let stage = Stage::up(Service::web_of_both_families())?;
    let owner = Owner::take(&stage.lab, "delete table ip6 wvs; ")?;
    wait_for("the director to notice", Duration::from_secs(5), || {
        stage.director.stderr().contains("cannot look after the tables")
    });
    assert_eq!(stage.client().ask_many(stage.web(), 3).servers.len(), 3);
    assert!(stage.client().ask(stage.web6()).is_err());
    // Nobody changes anything any more: the table goes with its owner, without a word from the kernel.
    drop(owner);
    wait_for("the repair", Duration::from_secs(2), || stage.client().ask(stage.web6()).is_ok());
    let said = stage.director.stderr();
    assert_eq!(said.matches("cannot look after the tables").count(), 1, "{said}");
    Ok(())
}

#[test]
fn damaged_state_does_not_keep_it_from_starting() -> Result<()> {
    let mut stage = Stage::up(Service::web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 10)?;
    stage.director.kill9()?;
    std::fs::write(stage.director.state_dir().join("running.json"), "{\"file_digest\":")?;
    stage.director.restart()?;
    assert!(stage.director.stderr().contains("damaged"), "{}", stage.director.stderr());
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    assert_eq!(stage.client().ask_many(stage.web(), 30).servers.len(), 3);
    Ok(())
}

#[test]
fn edits_that_make_no_sense_are_refused() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let refused = |arguments: &[&str], reasons: &[&str]| -> Result<()> {
        stage.director.says(arguments)?.assert_failed(reasons);
        Ok(())
    };
    let (first, fifth) = (rs(1).to_string(), rs(5).to_string());
    refused(&["weight", "we", &first, "1"], &["we", "did you mean `web`"])?;
    refused(&["weight", "web", &fifth, "1"], &[&fifth, &first])?;
    refused(&["remove", "service", "other"], &["other"])?;
    refused(&["remove", "backend", "web", &fifth], &[&fifth])?;
    refused(&["add", "backend", "web", &first], &["already"])?;
    refused(&["add", "backend", "web", &rs6(1).to_string()], &["IPv6"])?;
    refused(&["add", "backend", "web", &vip(0).to_string(), "--forward", "dr"], &["virtual IP"])?;
    refused(&["add", "backend", "web", "10.1.0.15:8080", "--forward", "dr"], &["port"])?;
    let web = stage.lab.vip(80);
    refused(
        &[
            "add",
            "service",
            "twin",
            "--listen",
            &format!("tcp://{web}"),
            "-b",
            &first,
        ],
        &["taken"],
    )?;
    assert_eq!(stage.director.status()?["edited"], Value::Bool(false));
    Ok(())
}
