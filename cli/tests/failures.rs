//! What commands say and how they end when something fails.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::io::pipe;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::{FakeDirector, run, wvs};

/// The messages with the socket's changing path taken out.
fn messages(ran: &support::Ran, socket: &Path) -> String {
    ran.stderr.replace(&socket.display().to_string(), "SOCKET")
}

#[test]
fn without_a_socket_the_operator_learns_how_to_start_a_director() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("wvs.sock");
    let ran = run(wvs(&socket).arg("status"));
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
    insta::assert_snapshot!(messages(&ran, &socket), @r##"
    error: the director cannot be reached at SOCKET
      caused by: No such file or directory (os error 2)
    help: there is no SOCKET: start the director with `wvs run --config FILE`, or name its socket with --socket or WVS_SOCKET
    "##);
}

#[test]
fn a_socket_that_nobody_listens_on_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("wvs.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let ran = run(wvs(&socket).args(["weight", "web", "10.1.0.11", "1"]));
    assert_eq!(ran.code, 3, "{ran:?}");
    insta::assert_snapshot!(messages(&ran, &socket), @r##"
    error: the director cannot be reached at SOCKET
      caused by: Connection refused (os error 111)
    help: SOCKET is there, but no director listens: start it with `wvs run --config FILE`
    "##);
}

#[test]
fn without_permission_the_operator_is_told_to_be_root() {
    let dir = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let socket = dir.path().join("wvs.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    // The program's own folder may be closed to others.
    let program = dir.path().join("wvs");
    std::fs::copy(env!("CARGO_BIN_EXE_wvs"), &program).unwrap();
    let mut command = Command::new(&program);
    command
        .env_clear()
        .env("WVS_SOCKET", &socket)
        .args(["teardown", "--yes"]);
    if std::fs::metadata(&socket).unwrap().uid() == 0 {
        // Root may do all, so be somebody else.
        command.uid(65_534).gid(65_534).current_dir("/");
    }
    let ran = run(&mut command);
    assert_eq!(ran.code, 3, "{ran:?}");
    insta::assert_snapshot!(messages(&ran, &socket), @r##"
    error: the director cannot be reached at SOCKET
      caused by: Permission denied (os error 13)
    help: run as root
    "##);
}

#[test]
fn an_answer_that_makes_no_sense_is_no_panic() {
    let director = FakeDirector::new([
        ("GET /v1/status", 200, "{\"version\": 7}".to_owned()),
        ("GET /v1/services", 200, String::new()),
        ("POST /v1/teardown", 502, "<html>\u{1b}[2J\nmore".to_owned()),
    ]);
    let ran = director.wvs(&["status"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    insta::assert_snapshot!(ran.stderr, @r##"
    error: the answer to GET /v1/status makes no sense
      caused by: invalid type: integer `7`, expected a string at line 1 column 13
    help: are the director and this wvs of the same version? See `wvs status` and `wvs --version`
    "##);
    assert_eq!(director.wvs(&["services"]).code, 1);
    let foreign = director.wvs(&["teardown", "--yes"]);
    assert_eq!(foreign.code, 1);
    insta::assert_snapshot!(foreign.stderr, @r##"
    error: the answer to POST /v1/teardown was 502 Bad Gateway: <html>\u{1b}[2J
    help: are the director and this wvs of the same version? See `wvs status` and `wvs --version`
    "##);
}

#[test]
fn a_refusal_is_printed_with_its_causes() {
    let refusal = json!({ "error": "there is no service `wbe`", "causes": ["did you mean `web`?\u{7}"] });
    let director = FakeDirector::new([("POST /v1/edit", 404, refusal.to_string())]);
    let ran = director.wvs(&["drain", "wbe", "10.1.0.11"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    insta::assert_snapshot!(ran.stderr, @r##"
    error: there is no service `wbe`
      caused by: did you mean `web`?\u{7}
    "##);
}

#[test]
fn faults_of_a_configuration_are_printed_as_they_are() {
    let faults = "error: unknown key `nmae`\n --> new.toml:2:1\n  |\n2 | nmae = \"web\"\n  | ^^^^ did you mean `name`?\n\u{1b}[2J";
    let refusal = json!({ "error": "the configuration has faults; the running one stays", "faults": faults });
    let director = FakeDirector::new([("POST /v1/apply", 422, refusal.to_string())]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new.toml");
    std::fs::write(&file, "[[service]]\nnmae = \"web\"\n").unwrap();
    let ran = director.wvs(&["apply", file.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    insta::assert_snapshot!(ran.stderr, @r##"
    error: unknown key `nmae`
     --> new.toml:2:1
      |
    2 | nmae = "web"
      | ^^^^ did you mean `name`?
    \u{1b}[2J

    error: the configuration has faults; the running one stays
    "##);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let director = FakeDirector::new([]);
    for arguments in [
        &["apply", "/nonexistent/new.toml"][..],
        &["diff", "/nonexistent/new.toml"],
        &["check", "/nonexistent/new.toml"],
    ] {
        let ran = director.wvs(arguments);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(
            ran.stderr,
            "error: cannot read /nonexistent/new.toml\n  caused by: No such file or directory (os error 2)\n"
        );
    }
    assert_eq!(director.requests(), []);
}

#[test]
fn a_file_with_faults_does_not_pass_the_check() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.toml"), "[[service]]\nname = 7\n\"\u{9b}2J\" = 1 # \u{1b}[2J\n")
        .unwrap();
    let ran = run(wvs("/nonexistent".as_ref())
        .args(["check", "bad.toml"])
        .current_dir(dir.path()));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("bad.toml:2:8"), "{ran:?}");
    assert!(
        ran.stderr
            .ends_with("error: bad.toml is not a valid configuration\n"),
        "{ran:?}"
    );
    assert!(!ran.stderr.chars().any(|c| c.is_control() && c != '\n'), "{ran:?}");
}

#[test]
fn mistakes_on_the_command_line_are_usage() {
    let nowhere = Path::new("/nonexistent");
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["weight", "web"],
        &["services", "-o", "xml"],
        &["man", "-o", "json"],
    ] {
        let ran = run(wvs(nowhere).args(arguments));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
    }
    let help = run(wvs(nowhere).arg("--help"));
    assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{help:?}");
    assert!(help.stdout.contains("3  the director cannot be reached"), "{help:?}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let service = json!({
        "name": "x".repeat(64), "listen": ["tcp://10.0.0.100:80"], "forward": "nat", "scheduler": "rr",
        "available": 1, "backends": 1, "connections": 7,
        "sent": { "packets": 1, "bytes": 1 }, "received": { "packets": 1, "bytes": 1 },
    });
    // More than a pipe holds.
    let services = serde_json::Value::from(vec![service; 2_000]).to_string();
    let director = FakeDirector::new([("GET /v1/services", 200, services)]);
    for arguments in [
        &["services"][..],
        &["services", "-o", "json"],
        &["man"],
        &["completions", "zsh"],
        &["--help"],
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let ran = run(wvs(&director.socket()).args(arguments).stdout(writer));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn closed_messages_are_no_panic() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = wvs("/nonexistent".as_ref());
    let status = command.args(["status", "-vv"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(3));
}

/// A configuration of one service with a scheduler, checked.
fn checked(dir: &Path, scheduler: &str) -> support::Ran {
    let text = format!(
        "[[service]]\nname = \"web\"\nlisten = [\"tcp://10.0.0.1:80\"]\nscheduler = {scheduler}\n\
         backend = [{{ address = \"10.1.0.1:80\" }}]\n"
    );
    let file = dir.join("wvs.toml");
    std::fs::write(&file, text).unwrap();
    run(wvs(&dir.join("wvs.sock")).arg("check").arg(&file))
}

fn core_plugin(name: &str) -> String {
    format!("{}/../core/tests/plugins/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A check starts schedulers as a director does: what they answer then is known before anything is applied.
#[test]
fn a_scheduler_that_does_not_start_does_not_pass_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let fault = core_plugin("fault.wat");
    for (scheduler, said, help) in [
        (
            format!("\"{}\"", core_plugin("per-flow.wat")),
            "it answers per-flow, but does not export wvs:scheduler/flows@0.1.0",
            "cycle or hash goes with the interface `table`",
        ),
        (
            "{ plugin = \"zone\", params = { local = \"abc\" } }".to_owned(),
            "plugin zone: configure refused: ",
            "`wvs plugin inspect zone` shows its parameters",
        ),
        (
            format!("{{ plugin = \"{fault}\", params = {{ fault = \"refuse\", call = \"configure\" }} }}"),
            "configure refused: as it was told",
            "shows its parameters",
        ),
        (
            "{ plugin = \"sh\", params = { prot = \"true\" } }".to_owned(),
            "sh has no parameter prot; did you mean port?",
            "`wvs plugin inspect sh` shows",
        ),
        (
            format!("\"{}\"", core_plugin("next-version.wat")),
            "built against wvs:scheduler 0.2.0",
            "build it anew against wvs:scheduler 0.1.0",
        ),
        ("\"wcl\"".to_owned(), "did you mean wlc?", "put it there as wcl.wasm"),
    ] {
        let ran = checked(dir, &scheduler);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{scheduler}: {ran:?}");
        let words = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said) && words.contains(help), "{scheduler}: {}", ran.stderr);
    }
    // What fails without a word is stood in for, and may work the next time.
    for (fault_is, said) in [
        ("trap", "configure trapped"),
        ("loop", "configure was stopped after its 250 ms"),
    ] {
        let plugin = format!(
            "{{ plugin = \"{fault}\", params = {{ fault = \"{fault_is}\", call = \"configure\" }} }}"
        );
        let ran = checked(dir, &plugin);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("warning: service web: scheduler "), "{ran:?}");
        assert!(ran.stderr.contains(said) && ran.stderr.contains("round robin stands in"), "{ran:?}");
        assert!(ran.stderr.contains("is sound: 1 service"), "{ran:?}");
    }
    let ran = checked(dir, "{ plugin = \"zone\", params = { local = \"10.1.0.0/16\" } }");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.stderr.contains("warning"), "{ran:?}");
}

/// What has no end, never begins or is too large is not read.
#[test]
fn only_files_of_a_bearable_size_are_read_as_plugins() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let large = dir.join("large.wasm");
    std::fs::File::create(&large)
        .and_then(|file| file.set_len((64 << 20) + 1))
        .unwrap();
    let pipe = dir.join("pipe.wasm");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for (path, said, help) in [
        (
            large.as_path(),
            "it has 67108865 bytes, and at most 67108864 are allowed",
            "make it smaller",
        ),
        (&pipe, "it is a pipe, not a regular file", "into a file"),
        (Path::new("/dev/zero"), "it is a device, not a regular file", "into a file"),
        (dir, "it is a directory", "name the .wasm or .wat in it, or build it first"),
    ] {
        let file = path.to_str().unwrap();
        let by_check = checked(dir, &format!("\"{file}\""));
        let plugin = |arguments: &[&str]| run(wvs(&dir.join("wvs.sock")).arg("plugin").args(arguments));
        let out = dir.join("out.wasm");
        let by_plugin_check = plugin(&["check", file]);
        let by_pack = plugin(&["pack", file, out.to_str().unwrap()]);
        for ran in [by_check, by_plugin_check, by_pack] {
            assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
            let words = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(said) && words.contains(help), "{file}: {}", ran.stderr);
        }
    }
}
