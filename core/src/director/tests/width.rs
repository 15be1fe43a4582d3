//! Plans of schedulers that look at connections are as wide as the connections that come by one.

use std::time::{Duration, Instant};

use super::{Bench, DIRECT, WEB};
use crate::ruleset::Family;
use crate::scheduler::{BackendId, Load};

impl Bench {
    /// Connections are counted, and the first backend has so many.
    fn count(&mut self, active: u32) {
        let load = Load { active, inactive: 0 };
        *self.conntrack.0.lock().unwrap() = [(BackendId(1), load)].into();
        self.engine.reschedule(Instant::now() + Duration::from_secs(1));
    }

    fn slots(&self) -> Vec<Option<BackendId>> {
        self.kernel.lock().unwrap().observed.tables[&Family::V4].slots["slots-web"].clone()
    }
}

#[test]
fn a_plan_grows_to_what_came_by_one_and_begins_where_the_kernel_does() {
    let mut bench = Bench::new();
    let text = WEB.replace("name = \"web\"", "name = \"web\"\nscheduler = \"wlc\"");
    bench.apply(&text).unwrap();
    bench.kernel.lock().unwrap().drawn = 1000;
    bench.count(10);
    // Nobody knows how many of them came by the first plan.
    assert_eq!(bench.slots().len(), 256);
    bench.kernel.lock().unwrap().drawn = 1203;
    bench.count(11);
    assert_eq!(bench.slots().len(), 256);
    let commits = bench.commits();
    bench.kernel.lock().unwrap().drawn = 4203;
    bench.count(40);
    assert_eq!((bench.slots().len(), bench.commits()), (4096, commits + 1));
    assert!(bench.engine.ruleset_text().contains("mod 4096"));
    // The rule is new, and so is its walk.
    assert_eq!(bench.slots()[..40], [Some(BackendId(2)); 40]);
    bench.kernel.lock().unwrap().drawn = 7;
    bench.count(50);
    assert_eq!(bench.slots().len(), 4096);
    assert_eq!(bench.slots()[7..57], [Some(BackendId(2)); 50]);
    // What stands is what is wanted.
    let commits = bench.commits();
    assert_eq!((bench.apply(&text).unwrap().plan.as_str(), bench.commits()), ("", commits));
}

#[test]
fn other_schedulers_tables_stay_as_they_are() {
    let mut bench = Bench::new();
    bench.apply(WEB).unwrap();
    for drawn in [1000, 90_000] {
        bench.kernel.lock().unwrap().drawn = drawn;
        bench.count(10);
    }
    assert_eq!(bench.slots().len(), 256);
}

#[test]
fn in_the_program_the_walk_goes_on() {
    let mut bench = Bench::new();
    let text = DIRECT.replace("name = \"web\"", "name = \"web\"\nscheduler = \"wlc\"");
    bench.apply(&text).unwrap();
    let table = |bench: &Bench| {
        let services = &bench.engine.tc.installed.services;
        services.values().next().unwrap().table.slots.clone()
    };
    for (drawn, slots) in [(100, 256), (300, 256), (2300, 4096)] {
        bench.tc.0.lock().unwrap().position = drawn;
        bench.redraw();
        assert_eq!((table(&bench).len(), bench.slots().len()), (slots, slots), "{drawn}");
    }
}

impl Bench {
    /// As after counts have moved.
    fn redraw(&mut self) {
        let (key, pool) = self.engine.pools.first_key_value().unwrap();
        let (key, candidates) = (key.clone(), pool.candidates().to_vec());
        self.engine.redraw(&key, candidates).unwrap();
    }
}
