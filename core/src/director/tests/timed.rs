//! Schedulers whose tables change with time alone.

use std::time::{Duration, Instant};

use super::{Bench, WEB};
use crate::ruleset::Family;
use crate::scheduler::BackendId;

fn slow(backends: &str) -> String {
    let scheduler = r#"scheduler = { plugin = "slow-rr", params = { seconds = "2" } }"#;
    let text = WEB.replace("name = \"web\"", &format!("name = \"web\"\n{scheduler}"));
    text.replace("backend = [", &format!("backend = [{backends}"))
}

/// How many of the 256 slots the third backend has in the kernel.
fn share(bench: &Bench) -> usize {
    let kernel = bench.kernel.lock().unwrap();
    let slots = &kernel.observed.tables[&Family::V4].slots["slots-web"];
    slots.iter().filter(|slot| **slot == Some(BackendId(3))).count()
}

fn due(bench: &Bench) -> Option<Instant> {
    bench.engine.pools.values().next().unwrap().due_at()
}

#[test]
fn a_new_backend_is_eased_in_while_nothing_else_happens() {
    let mut bench = Bench::new();
    bench.apply(&slow("")).unwrap();
    assert_eq!((share(&bench), due(&bench)), (0, None));
    let begun = Instant::now();
    bench.apply(&slow(r#"{ address = "10.1.0.13:80" }, "#)).unwrap();
    let mut seen = vec![share(&bench)];
    // A tenth of a weight beside two whole ones: 256 / 21 slots, unless this machine was away for long.
    assert!(seen[0] < 40 || begun.elapsed() > Duration::from_millis(300), "{seen:?}");
    while due(&bench).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never ends: {seen:?}");
        let now = Instant::now();
        bench.engine.reschedule(now);
        seen.push(share(&bench));
        let pause = bench
            .engine
            .next_schedule()
            .saturating_duration_since(Instant::now());
        std::thread::sleep(pause.min(Duration::from_millis(100)));
    }
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(seen.last().unwrap().abs_diff(256 / 3) <= 1, "{seen:?}");
    // Nothing is made anew for ever.
    let commits = bench.commits();
    bench.engine.reschedule(Instant::now());
    assert_eq!(bench.commits(), commits);
}

#[test]
fn a_table_that_is_due_and_not_made_is_due_again_after_a_while() {
    let mut bench = Bench::new();
    bench.apply(&slow("")).unwrap();
    bench.apply(&slow(r#"{ address = "10.1.0.13:80" }, "#)).unwrap();
    let later = Instant::now() + Duration::from_secs(9);
    let pool = bench.engine.pools.values_mut().next().unwrap();
    assert!(pool.take_due(later) && !pool.take_due(later));
    assert_eq!(pool.due_at(), Some(later + Duration::from_secs(1)));
}
