//! Starting, killing and asking a director, proven with a stand-in for the binary.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use wvs_tests::{Director, DirectorOptions, Lab, LabOptions, wait_for};

const SOON: Duration = Duration::from_secs(5);

fn small() -> Result<Lab> {
    Lab::new(LabOptions {
        backends: 1,
        ..LabOptions::default()
    })
}

fn stand_in(config: &str) -> DirectorOptions {
    DirectorOptions {
        config: config.to_owned(),
        binary: Some(env!("CARGO_BIN_EXE_stand-in-director").into()),
        ..DirectorOptions::default()
    }
}

/// Whether a process has ended, reaped or not.
fn ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn it_runs_in_the_directors_namespace_and_so_do_commands() -> Result<()> {
    let lab = small()?;
    let director = Director::start_with(&lab, stand_in(""))?;
    let inside = lab
        .director_ns()
        .run(|| std::fs::read_link("/proc/thread-self/ns/net"))?;
    let pid = director.pid().expect("it runs");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/ns/net"))?, inside);
    // nsenter and setpriv have made way for the program itself.
    let program = std::fs::read_link(format!("/proc/{pid}/exe"))?;
    assert_eq!(program, PathBuf::from(env!("CARGO_BIN_EXE_stand-in-director")));

    let answer = director.json(&["services"])?;
    assert_eq!(answer["namespace"].as_str(), inside.to_str());
    let arguments = serde_json::json!(["--socket", director.socket(), "services", "-o", "json"]);
    assert_eq!(answer["arguments"], arguments);
    let output = director.wvs_with_input(&["apply", "-"], "a plan")?;
    assert!(String::from_utf8_lossy(&output.stdout).contains(r#""input":"a plan""#));
    Ok(())
}

#[test]
fn it_survives_kills_and_keeps_its_state() -> Result<()> {
    let lab = small()?;
    let mut director = Director::start_with(&lab, stand_in(""))?;
    let first = director.pid().expect("it runs");
    assert!(director.restart().is_err(), "it still runs");
    director.kill9()?;
    assert!(ended(first));
    assert!(director.ok(&["services"]).is_err(), "nobody is there");
    assert!(director.kill9().is_err());
    director.restart()?;
    assert_eq!(director.terminate()?.signal(), Some(15));
    director.restart()?;
    assert_eq!(director.stderr(), "start 1\nstart 2\nstart 3\n");
    let third = director.pid().expect("it runs");
    drop(director);
    assert!(ended(third));
    Ok(())
}

#[test]
fn a_refused_configuration_is_an_error_with_the_reason() -> Result<()> {
    let lab = small()?;
    let error = Director::start_with(&lab, stand_in("refuse")).expect_err("it refuses");
    assert!(format!("{error:#}").contains("the configuration is refused"), "{error:#}");

    let mut director = Director::start_with(&lab, stand_in("fine"))?;
    director.write_config("refuse")?;
    director.terminate()?;
    assert!(director.restart().is_err());
    director.write_config("fine again")?;
    director.restart()?;
    Ok(())
}

#[test]
fn it_does_not_outlive_the_thread_that_started_it() -> Result<()> {
    let lab = small()?;
    // As good as a killed test process, whose threads all end.
    let director = std::thread::scope(|scope| {
        scope
            .spawn(|| Director::start_with(&lab, stand_in("")))
            .join()
            .expect("does not panic")
    })?;
    let pid = director.pid().expect("it was started");
    wait_for("the orphaned director to end", SOON, || ended(pid));
    Ok(())
}
