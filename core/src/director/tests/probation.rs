//! A version of a plugin that fails after it has taken over.

use std::time::{Duration, Instant};

use super::swap::{Stage, TURNS, changed, first};
use super::{SchedulerHealth, set_weight};
use crate::api::Happening;

/// Gives everything to the first backend, and traps after so many tables of one instance.
fn failing_after(tables: u8) -> String {
    let words = r#""\00\05\00\00\0c\00\00\00""#;
    let (none, trap) = (r#""\50\01\00\00\04\00\00\00""#, r#""\80\01\00\00\04\00\00\00""#);
    let version = changed(&format!("{words} {none}"), &format!("{words} {trap}"));
    let zero = r#"(data (i32.const 352) "0")"#;
    assert!(version.contains(zero));
    version
        .replace(zero, &zero.replace("\"0\"", &format!("\"{tables}\"")))
        .replace("(i32.rem_u (local.get $slot) (global.get $usable))", "(i32.const 0)")
}

#[test]
fn one_that_fails_at_its_second_table_does_not_take_over() {
    let mut stage = Stage::new(TURNS);
    let commits = stage.bench.commits();
    stage.write("mine", &failing_after(1));
    stage.until("the refusal", |stage| stage.refused().is_some_and(|it| it.contains("fill trapped")));
    assert_eq!((stage.slots(), stage.bench.commits()), (vec![1, 2, 1, 2], commits));
}

#[test]
fn one_that_fails_soon_gives_its_place_back() {
    let mut stage = Stage::new(TURNS);
    stage.write("mine", &failing_after(7));
    stage.until("the new version", |stage| stage.slots() == [1, 1, 1, 1]);
    assert_eq!(stage.refused(), None);
    // Each weight is another table.
    for weight in 2.. {
        stage.bench.engine.edit(&set_weight(11, weight)).unwrap();
        if stage.view().failures > 0 {
            break;
        }
        assert_eq!(stage.slots(), [1, 1, 1, 1]);
        assert!(weight < 20, "it never fails");
    }
    stage.look();
    assert_eq!(stage.slots(), [1, 2, 1, 2]);
    let why = stage.refused().unwrap();
    assert!(why.contains("fill trapped") && why.contains("the one before is back"), "{why}");
    assert!(matches!(stage.told(), Some(Happening::SchedulerRefused { .. })));
    assert_eq!(stage.view().health, SchedulerHealth::Running);
    // Not again until the file changes again.
    for _ in 0..3 {
        stage.look();
        assert_eq!(stage.slots(), [1, 2, 1, 2]);
    }
    stage.write("mine", &first());
    stage.until("a better version", |stage| stage.slots() == [1, 1, 1, 1]);
}

#[test]
fn one_that_fails_late_is_started_again_and_stays() {
    let mut stage = Stage::new(TURNS);
    stage.write("mine", &failing_after(7));
    stage.until("the new version", |stage| stage.slots() == [1, 1, 1, 1]);
    for _ in 0..61 {
        stage.look();
    }
    for weight in 2..20 {
        stage.bench.engine.edit(&set_weight(11, weight)).unwrap();
        stage.look();
    }
    assert!(stage.view().failures > 0);
    assert_eq!((stage.slots(), stage.refused()), (vec![1, 1, 1, 1], None));
}

#[test]
fn a_reload_ends_a_quarantine() {
    let mut stage = Stage::new(TURNS);
    let faulty = "scheduler = { plugin = \"mine\", params = { fault = \"trap\", after = \"7\" } }";
    let text = stage.text("mine").replace("scheduler = \"mine\"", faulty);
    stage.bench.apply(&text).unwrap();
    let pool = stage.bench.engine.pools.values_mut().next().unwrap();
    let candidates = pool.candidates().to_vec();
    for second in 0..60 {
        let now = Instant::now() + Duration::from_secs(second);
        pool.scheduler.table(&candidates, &[], 256, now);
    }
    assert_eq!(stage.view().health, SchedulerHealth::Quarantined { fallback: false });
    let file = stage.bench.state.path().join("wvs.toml");
    std::fs::write(&file, text).unwrap();
    stage.bench.engine.config_file = file;
    stage.bench.engine.reload(true).unwrap();
    assert_eq!(stage.view().health, SchedulerHealth::Quarantined { fallback: false });
    stage.bench.engine.reload(false).unwrap();
    stage.bench.engine.reschedule(Instant::now());
    assert_eq!(stage.view().health, SchedulerHealth::Running);
}
