//! `wvs real-server` and `wvs doctor` on the hosts of direct routing and tunnels, as processes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use wvs_tests::{Lab, LabOptions, Namespace, Said, wvs_binary};

/// A real server's host, with the places that commands there use.
struct Host {
    // Dropped before the namespaces.
    dir: TempDir,
    lab: Lab,
}

const VIPS: &str = "10.0.0.100,fd00:a::100";

impl Host {
    fn new() -> Result<Self> {
        Ok(Self {
            dir: tempfile::tempdir()?,
            lab: Lab::new(LabOptions {
                backends: 1,
                name: "real",
                ..LabOptions::default()
            })?,
        })
    }

    fn ns(&self) -> &Namespace {
        self.lab.backend_ns(1)
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn state_file(&self) -> PathBuf {
        self.dir.path().join("state/real-server.json")
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.ns().command(wvs_binary()?);
        command.arg("real-server").args(arguments);
        command.arg("--state-dir").arg(self.dir.path().join("state"));
        command.arg("--pin-dir").arg(self.lab.pin_dir());
        command.arg("--root").arg(self.root()).stdin(Stdio::null());
        Ok(command)
    }

    fn says(&self, arguments: &[&str]) -> Result<Said> {
        Ok(self.command(arguments)?.output()?.into())
    }

    fn json(&self, arguments: &[&str]) -> Result<(i32, Value)> {
        let said = self.says(&[arguments, &["-o", "json"]].concat())?;
        let value = serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))?;
        Ok((said.code, value))
    }

    /// All that setup may change on the host.
    fn state(&self) -> Result<String> {
        let links = self.ns().ip("-o link show")?;
        let names: Vec<_> = links
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        let settings = self.ns().run(|| -> Result<String> {
            let mut text = String::new();
            for conf in ["all", "lo", "eth0"] {
                for key in ["arp_ignore", "arp_announce", "rp_filter"] {
                    text += &fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{conf}/{key}"))?;
                }
            }
            Ok(text)
        })?;
        let decapsulator = self.lab.pin_dir().join("decap").exists();
        Ok(format!("{names:?}\n{settings}{decapsulator}\n{}", self.ns().ip("-o address show")?))
    }
}

fn changes(value: &Value) -> usize {
    value["changes"].as_array().map_or(usize::MAX, Vec::len)
}

#[test]
fn it_is_set_up_looked_at_and_taken_back() -> Result<()> {
    let host = Host::new()?;
    let before = host.state()?;
    let wish = ["--vip", VIPS, "--mode", "dr"];
    let setup = [&["setup"][..], &wish].concat();

    let unknown = host.says(&["status"])?;
    unknown.assert_failed(&["no setup is remembered", "--vip"]);
    let (code, missing) = host.json(&[&["status"][..], &wish].concat())?;
    assert_eq!((code, &missing["remembered"]), (4, &false.into()), "{missing}");
    let (code, rehearsed) = host.json(&[&setup[..], &["--dry-run"]].concat())?;
    assert_eq!((code, changes(&rehearsed), host.state()?), (0, 4, before.clone()), "{rehearsed}");

    let (code, made) = host.json(&setup)?;
    assert_eq!((code, &made["changes"]), (0, &rehearsed["changes"]), "{made}");
    let after = host.state()?;
    assert_ne!(after, before);
    let (code, again) = host.json(&setup)?;
    assert_eq!((code, changes(&again), host.state()?), (0, 0, after), "{again}");

    let (code, status) = host.json(&["status"])?;
    let items = status["items"].as_array().context("no items")?;
    assert_eq!((code, status["remembered"] == true), (0, true), "{status}");
    assert!(items.len() >= 4 && items.iter().all(|it| it["ok"] == true), "{status}");
    for field in ["name", "wanted", "is", "state", "why"] {
        assert!(items.iter().all(|it| it[field].is_string()), "{field}: {status}");
    }
    let yaml = host.says(&["status", "-o", "yaml"])?;
    assert_eq!(serde_yaml_ng::from_str::<Value>(&yaml.stdout)?, status);
    let table = host.says(&["status"])?;
    assert_eq!(
        table.stdout.lines().filter(|line| line.ends_with(" ok")).count(),
        items.len(),
        "{table:?}"
    );

    // Somebody takes an address away.
    host.ns().ip("addr del 10.0.0.100/32 dev lo")?;
    assert_eq!(host.json(&["status"])?.0, 4);
    assert_eq!(changes(&host.json(&setup)?.1), 1);

    let (code, undone) = host.json(&["undo", "--vip", "fd00:a::100"])?;
    assert_eq!((code, changes(&undone)), (0, 1), "{undone}");
    assert!(
        undone["remains"]
            .as_str()
            .is_some_and(|it| it.contains("10.0.0.100 ")),
        "{undone}"
    );
    let (code, undone) = host.json(&["undo"])?;
    assert_eq!((code, changes(&undone), host.state()?), (0, 3, before), "{undone}");
    assert!(!host.state_file().exists());
    let (code, nothing) = host.json(&["undo"])?;
    assert_eq!((code, changes(&nothing), &nothing["remembered"]), (0, 0, &false.into()), "{nothing}");
    Ok(())
}

#[test]
fn senseless_wishes_are_usage() -> Result<()> {
    let host = Host::new()?;
    for arguments in [
        &["setup", "--mode", "dr"][..],
        &["setup", "--vip", "10.0.0.100"],
        &["setup", "--vip", "web", "--mode", "dr"],
        &["setup", "--vip", "127.0.0.1", "--mode", "dr"],
        &["setup", "--vip", "10.0.0.100", "--mode", "dr", "--tunnel", "gre"],
        &[
            "setup",
            "--vip",
            "10.0.0.100",
            "--mode",
            "tun",
            "--tunnel",
            "gue:0",
        ],
        &["status", "--vip", "10.0.0.100"],
        &["status", "--mode", "dr"],
    ] {
        let said = host.says(arguments)?;
        assert_eq!((said.code, &*said.stdout), (2, ""), "{arguments:?}: {said:?}");
    }
    Ok(())
}

#[test]
fn obstacles_and_missing_rights_change_nothing() -> Result<()> {
    let host = Host::new()?;
    host.ns().ip("addr add 10.0.0.100/24 dev eth0")?;
    let before = host.state()?;
    let setup = ["setup", "--vip", VIPS, "--mode", "dr"];
    host.says(&setup)?.assert_failed(&[
        "nothing was changed",
        "fix: ip address delete 10.0.0.100/24 dev eth0",
    ]);
    host.ns().ip("addr del 10.0.0.100/24 dev eth0")?;
    assert_ne!(host.state()?, before);

    let before = host.state()?;
    let state = host.dir.path().join("state");
    fs::create_dir_all(&state)?;
    let command = host.command(&setup)?;
    let mut unprivileged = Command::new("setpriv");
    unprivileged
        .args(["--inh-caps=-net_admin", "--bounding-set=-net_admin", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    let said: Said = unprivileged.output()?.into();
    said.assert_failed(&["run it as root"]);
    assert_eq!((host.state()?, host.state_file().exists()), (before, false));
    Ok(())
}

/// Killed at whatever moment, it leaves what undo needs; and so does a killed undo.
#[test]
fn kill_9_loses_nothing() -> Result<()> {
    const MOMENTS: u32 = 20;
    let host = Host::new()?;
    // Where the kernel has such devices, its modules bring devices of their own.
    let setup = ["setup", "--vip", VIPS, "--mode", "tun", "--interface", "eth0"];
    let took = |arguments: &[&str]| -> Result<Duration> {
        let began = Instant::now();
        let said = host.says(arguments)?;
        ensure!(said.code == 0, "{said:?}");
        Ok(began.elapsed())
    };
    took(&setup)?;
    took(&["undo"])?;
    let before = host.state()?;
    let (setup_takes, undo_takes) = (took(&setup)?, took(&["undo"])?);
    for moment in 1..=MOMENTS {
        for (arguments, takes) in [(&setup[..], setup_takes), (&["undo"][..], undo_takes)] {
            let mut child = host
                .command(arguments)?
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            sleep(takes * moment / MOMENTS);
            // It may have ended by itself.
            let _ = child.kill();
            child.wait()?;
        }
        if moment % 2 == 0 {
            took(&setup)?;
            assert_eq!(host.json(&["status"])?.0, 0);
        }
        took(&["undo"])?;
        assert_eq!(host.state()?, before, "moment {moment}");
    }
    Ok(())
}

#[test]
fn a_unit_sets_it_up_at_boot() -> Result<()> {
    let host = Host::new()?;
    let before = host.state()?;
    let said = host.says(&["setup", "--vip", VIPS, "--mode", "dr", "--persistent"])?;
    assert_eq!(said.code, 0, "{said:?}");
    let system = host.root().join("etc/systemd/system");
    let unit = system.join("wvs-real-server.service");
    let link = system.join("multi-user.target.wants/wvs-real-server.service");
    assert_eq!(fs::read_link(&link)?.display().to_string(), "/etc/systemd/system/wvs-real-server.service");
    let text = fs::read_to_string(&unit)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .context("no ExecStart")?;
    assert_eq!(host.json(&["status"])?.0, 0);

    assert_eq!(host.says(&["undo"])?.code, 0);
    assert!(!unit.exists() && !link.is_symlink());
    assert_eq!(host.state()?, before);

    // What systemd would run.
    let mut words = line.split(' ');
    let mut command = host.ns().command(words.next().context("no program")?);
    let booted: Said = command.args(words).output()?.into();
    assert_eq!(booted.code, 0, "{booted:?}");
    let (code, status) = host.json(&["status"])?;
    assert_eq!((code, status["items"].as_array().map(Vec::len)), (0, Some(4)), "{status}");
    Ok(())
}

/// What was looked at, whether it is well, and what was found.
type Findings = Vec<(String, bool, String)>;

/// What the doctor says of each thing, on the director.
fn examined(lab: &Lab, config: &str) -> Result<(i32, Findings)> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("wvs.toml");
    let settings = format!("[director]\npin_dir = \"{}\"\n", lab.pin_dir().display());
    fs::write(&file, settings + config)?;
    let mut command = lab.director_ns().command(wvs_binary()?);
    command
        .args(["-o", "json", "--socket"])
        .arg(dir.path().join("none"));
    let said: Said = command.arg("doctor").arg("--config").arg(&file).output()?.into();
    let findings: Vec<Value> = serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))?;
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let finding = |it: &Value| (text(&it["name"]), it["ok"] == true, text(&it["detail"]) + &text(&it["fix"]));
    Ok((said.code, findings.iter().map(finding).collect()))
}

#[test]
fn the_doctor_knows_the_way_to_real_servers() -> Result<()> {
    let lab = Lab::new(LabOptions {
        backends: 2,
        name: "doctor",
        ..LabOptions::default()
    })?;
    lab.add_vip("10.0.0.100".parse()?)?;
    lab.director_ns().ip("route add 10.2.0.0/24 via 10.1.0.11")?;
    lab.unplug(2)?;
    let (code, findings) = examined(
        &lab,
        r#"
        [[service]]
        name = "web"
        listen = ["tcp://10.0.0.100:80"]
        forward = "dr"
        backend = [{ address = "10.1.0.11" }, { address = "10.1.0.12" }, { address = "10.2.0.1" },
                   { address = "10.1.0.1" }]
        [[service]]
        name = "far"
        listen = ["tcp://10.0.0.100:81"]
        forward = "tun"
        backend = [{ address = "10.2.0.1" }, { address = "192.0.2.1" }]
        "#,
    )?;
    assert_eq!(code, 4, "{findings:#?}");
    let of = |name: &str| -> Result<(bool, String)> {
        let found = findings.iter().find(|(it, ..)| it == name);
        let (_, ok, text) = found.with_context(|| format!("no `{name}` in {findings:#?}"))?;
        Ok((*ok, text.clone()))
    };
    for (name, well, said) in [
        ("CAP_SYS_ADMIN", true, "held"),
        ("BPF file system", true, "holds"),
        ("tc ingress", true, "is attached by TCX"),
        ("forwarding program", true, "takes it"),
        ("interfaces of direct routing and tunnels", true, "eth0"),
        ("web 10.1.0.11 (dr)", true, "by br-rs"),
        ("web 10.1.0.12 (dr)", false, "does not tell its hardware address on br-rs"),
        ("web 10.2.0.1 (dr)", false, "behind the router 10.1.0.11"),
        ("web 10.1.0.1 (dr)", true, "is this host itself"),
        ("far 10.2.0.1 (tun)", true, "advmss 1440"),
        ("far 192.0.2.1 (tun)", false, "no route"),
        ("director", false, "wvs run"),
    ] {
        let (ok, text) = of(name)?;
        assert!(ok == well && text.contains(said), "{name}: {ok}, {text}");
    }
    // Packets that only the program forwards need no forwarding by the kernel.
    assert!(of("net.ipv4.ip_forward").is_err());
    // It looked at the program in a place of its own, and nothing is left.
    assert!(!lab.pin_dir().exists());

    lab.plug(2)?;
    lab.director_ns().ip("link set br-rs mtu 1520")?;
    lab.director_ns().ip("link set rs1 mtu 1520")?;
    lab.director_ns().ip("link set rs2 mtu 1520")?;
    lab.director_ns().ip("link set br-rs mtu 1520")?;
    let (code, findings) = examined(
        &lab,
        r#"
        [[service]]
        name = "web"
        listen = ["tcp://10.0.0.100:80"]
        forward = "tun"
        backend = [{ address = "10.1.0.11" }, { address = "10.1.0.12", forward = "dr" }]
        "#,
    )?;
    let wrong: Vec<_> = findings
        .iter()
        .filter(|(_, ok, _)| !ok)
        .map(|(name, ..)| name.as_str())
        .collect();
    assert_eq!((code, wrong), (4, vec!["director"]), "{findings:#?}");
    let room = findings
        .iter()
        .any(|(_, _, text)| text.contains("MTU 1520: room for tunnels"));
    assert!(room, "{findings:#?}");
    Ok(())
}

#[test]
fn the_doctor_points_to_a_bad_configuration() -> Result<()> {
    let lab = Lab::new(LabOptions {
        backends: 0,
        ..LabOptions::default()
    })?;
    let (code, findings) = examined(&lab, "[[service]]\nnmae = \"web\"\n")?;
    let told = findings
        .iter()
        .any(|(name, ok, text)| name == "configuration" && !ok && text.contains("wvs check"));
    assert!(code == 4 && told, "{findings:#?}");
    Ok(())
}
