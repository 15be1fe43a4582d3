//! Plugins whose files change under a running director.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{ApplyError, Bench, SchedulerHealth, WEB};
use crate::api::{Happening, SchedulerView};
use crate::director::StartError;
use crate::ruleset::Family;
use crate::scheduler::{BackendId, Dispatch, HashKey};

/// A round robin.
pub(super) const TURNS: &str = include_str!("../../../tests/plugins/fault.wat");

/// The same with a part exchanged.
pub(super) fn changed(from: &str, to: &str) -> String {
    assert!(TURNS.contains(from), "{from}");
    TURNS.replace(from, to)
}

/// Gives everything to the first backend.
pub(super) fn first() -> String {
    changed("(i32.rem_u (local.get $slot) (global.get $usable))", "(i32.const 0)")
}

/// Fails as soon as it is told of backends.
fn failing() -> String {
    let update = "(func (export \"update\") (param $backends i32) (param $count i32) (result i32)";
    changed(update, &format!("{update} unreachable"))
}

/// A director with a plugin in a file.
pub(super) struct Stage {
    pub(super) bench: Bench,
    dir: tempfile::TempDir,
    now: Instant,
}

impl Stage {
    pub(super) fn new(plugin: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = Stage {
            bench: Bench::new(),
            dir,
            now: Instant::now(),
        };
        stage.write("mine", plugin);
        let text = stage.text("mine");
        stage.bench.apply(&text).unwrap();
        stage
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.wat"))
    }

    pub(super) fn write(&self, name: &str, plugin: &str) {
        std::fs::write(self.file(name), plugin).unwrap();
    }

    pub(super) fn text(&self, scheduler: &str) -> String {
        let dir = self.dir.path().display();
        let web = WEB.replace("name = \"web\"", &format!("name = \"web\"\nscheduler = \"{scheduler}\""));
        format!("[director]\nplugin_dir = \"{dir}\"\n{web}")
    }

    /// A look at the files, a second after the one before.
    pub(super) fn look(&mut self) {
        self.now += Duration::from_secs(1);
        self.bench.engine.swap_plugins(self.now);
    }

    /// Looks until something is so. Plugins are loaded on a thread that takes its time.
    pub(super) fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            assert!(begun.elapsed() < Duration::from_secs(120), "waited in vain for {what}");
            self.look();
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn slots(&self) -> Vec<u16> {
        let slots = &self.bench.engine.desired.tables[&Family::V4].slots["slots-web"];
        assert_eq!(slots, &self.bench.kernel.lock().unwrap().observed.tables[&Family::V4].slots["slots-web"]);
        slots[..4]
            .iter()
            .map(|slot| slot.map_or(0, |BackendId(id)| id))
            .collect()
    }

    /// How the service chooses in the kernel.
    fn rules(&self) -> String {
        let text = self.bench.engine.ruleset_text();
        assert_eq!(self.bench.engine.desired.tables.len(), 1);
        text.lines().filter(|line| line.contains("@slots-web")).collect()
    }

    pub(super) fn view(&self) -> SchedulerView {
        let (key, pool) = self.bench.engine.pools.first_key_value().unwrap();
        pool.view(key)
    }

    pub(super) fn refused(&self) -> Option<String> {
        self.view().refused
    }

    /// What was told last.
    pub(super) fn told(&self) -> Option<Happening> {
        self.bench.engine.events.recent().pop().map(|event| event.what)
    }
}

#[test]
fn a_changed_plugin_takes_over_when_its_file_has_come_to_rest() {
    let mut stage = Stage::new(TURNS);
    assert_eq!(stage.slots(), [1, 2, 1, 2]);
    let commits = stage.bench.commits();
    for _ in 0..3 {
        stage.look();
    }
    stage.write("mine", &first()[..3000]);
    stage.look();
    assert!(stage.bench.engine.swaps.is_idle(), "a file that is being written is left alone");
    stage.write("mine", &first());
    stage.until("the new version", |stage| stage.slots() == [1, 1, 1, 1]);
    assert_eq!((stage.bench.commits(), stage.refused()), (commits + 1, None));
    assert!(matches!(stage.told(), Some(Happening::SchedulerExchanged { .. })));
    assert_eq!(stage.view().health, SchedulerHealth::Running);
    assert!(stage.bench.engine.status().warnings.is_empty());
    // It is the one that is told of changes.
    let backend = "10.1.0.11:80".parse().unwrap();
    let drain = crate::api::Edit::Drain {
        service: "web".into(),
        backend,
        drain: true,
    };
    stage.bench.engine.edit(&drain).unwrap();
    assert_eq!(stage.slots(), [2, 2, 2, 2]);
}

#[test]
fn a_version_that_cannot_be_used_leaves_the_one_before_until_the_file_changes_again() {
    let mut stage = Stage::new(TURNS);
    let commits = stage.bench.commits();
    for (version, reason) in [
        (failing().as_str(), "update trapped"),
        ("not a plugin \u{1}", "neither WebAssembly nor its text form"),
        (
            include_str!("../../../tests/plugins/next-version.wat"),
            "built against wvs:scheduler 0.2.0",
        ),
        (include_str!("../../../tests/plugins/nameless.wat"), "its description is wrong"),
        (
            changed("(i32.load offset=4096", "(i32.load offset=0").as_str(),
            "which was not in the last update",
        ),
    ] {
        stage.write("mine", version);
        stage.until(reason, |stage| stage.refused().is_some_and(|it| it.contains(reason)));
        let told = stage.told();
        assert!(matches!(told, Some(Happening::SchedulerRefused { why, .. }) if why.contains(reason)));
        assert_eq!((stage.slots(), stage.bench.commits()), (vec![1, 2, 1, 2], commits));
        let status = stage.bench.engine.status();
        assert_eq!(status.schedulers[0].health, SchedulerHealth::Running);
        let [warning] = &status.warnings[..] else {
            panic!("{status:?}")
        };
        assert!(warning.contains("the one before goes on until the file changes again"), "{warning}");
        for _ in 0..3 {
            stage.look();
            assert!(stage.bench.engine.swaps.is_idle(), "it is not tried again");
        }
    }
    // A weight can be changed meanwhile, and the same again is nothing new.
    stage.bench.engine.edit(&super::set_weight(11, 3)).unwrap();
    stage.write("mine", TURNS);
    stage.until("the old version to be recognised", |stage| stage.refused().is_none());
    assert_eq!(stage.bench.commits(), commits, "it knows no weights");
}

#[test]
fn one_that_is_used_in_another_way_brings_its_rule_along() {
    let mut stage = Stage::new(TURNS);
    let cycle = "(i32.store8 offset=4 (i32.const 0) (global.get $dispatch))";
    let answer =
        |n: u8| changed(cycle, &cycle.replace("(global.get $dispatch)", &format!("(i32.const {n})")));
    for (version, dispatch) in [
        (answer(1), Dispatch::Hash(HashKey::Source)),
        (answer(2), Dispatch::Flow),
        (answer(0), Dispatch::Cycle),
    ] {
        let before = stage.rules();
        stage.write("mine", &version);
        stage.until("the new version", |stage| stage.view().dispatch == dispatch);
        // With nobody to ask, the kernel walks the table of one that decides for each connection.
        assert_eq!(stage.rules() == before, dispatch == Dispatch::Cycle);
        let text = stage.text("mine");
        assert_eq!(stage.bench.apply(&text).unwrap().plan, "", "all of it is in the kernel");
    }
}

#[test]
fn what_the_kernel_refuses_is_tried_again() {
    let mut stage = Stage::new(TURNS);
    stage.bench.kernel.lock().unwrap().refuse = true;
    stage.write("mine", &first());
    stage.until("the refusal", |stage| stage.refused().is_some());
    assert_eq!(stage.slots(), [1, 2, 1, 2]);
    assert_eq!(stage.view().health, SchedulerHealth::Running);
    stage.bench.kernel.lock().unwrap().refuse = false;
    stage.until("the new version", |stage| stage.slots() == [1, 1, 1, 1]);
    assert_eq!(stage.refused(), None);
}

/// Also where no file was before, and where it goes.
#[test]
fn a_file_takes_the_place_of_what_is_built_in_and_gives_it_back() {
    let mut stage = Stage::new(TURNS);
    let text = stage.text("rr");
    stage.bench.apply(&text).unwrap();
    stage.write("rr", &first());
    stage.until("the file", |stage| stage.slots() == [1, 1, 1, 1]);
    std::fs::remove_file(stage.file("rr")).unwrap();
    stage.until("what is built in", |stage| stage.slots() == [1, 2, 1, 2]);
    // A plugin that is nowhere else goes on.
    let text = stage.text("mine");
    stage.bench.apply(&text).unwrap();
    std::fs::remove_file(stage.file("mine")).unwrap();
    stage.until("the loss to be noticed", |stage| stage.refused().is_some());
    assert!(stage.refused().unwrap().contains("no scheduler mine"), "{:?}", stage.refused());
    assert_eq!(stage.slots(), [1, 2, 1, 2]);
}

#[test]
fn a_plugin_out_of_favour_is_replaced_by_a_better_version() {
    let mut stage = Stage::new(TURNS);
    let text = stage.text("broken");
    stage.write("broken", &failing());
    // A service that is new gets the built-in round robin, and says so.
    let second = "\n[[service]]\nname = \"a\"\nlisten = [\"tcp://10.0.0.9:80\"]\nscheduler = \"broken\"\n\
                  backend = [{ address = \"10.1.0.13:80\" }]\n";
    stage.bench.apply(&(stage.text("mine") + second)).unwrap();
    let health = stage.bench.engine.status().schedulers[0].health.clone();
    assert!(matches!(health, SchedulerHealth::BackingOff { fallback: true, .. }), "{health:?}");
    // One that has a scheduler that works keeps it.
    let before = stage.bench.engine.desired.clone();
    let error = stage.bench.apply(&(text + second)).unwrap_err();
    let ApplyError::Scheduler(StartError::FirstCalls { .. }) = &error else {
        panic!("{error:?}")
    };
    let said = crate::chain(&error);
    assert!(said.contains("`broken` fails at its first calls; the one before goes on: "), "{said}");
    assert!(said.contains("update trapped"), "{said}");
    assert_eq!(stage.bench.engine.desired, before);
    // And the file is mended.
    stage.write("broken", &first());
    stage.until("the new version", |stage| stage.view().health == SchedulerHealth::Running);
    assert_eq!(stage.view().plugin, "broken");
}

/// A start tells, so nothing of the configuration is used; what only fails is stood in for.
#[test]
fn a_scheduler_that_refuses_or_answers_another_kind_is_a_fault_of_the_configuration() {
    let mut stage = Stage::new(TURNS);
    let before = stage.bench.engine.desired.clone();
    let with = |stage: &Stage, params: &str| {
        let scheduler = format!("scheduler = {{ plugin = \"mine\", params = {{ {params} }} }}");
        stage.text("mine").replace("scheduler = \"mine\"", &scheduler)
    };
    let text = with(&stage, "fault = \"refuse\", call = \"configure\"");
    let ApplyError::Faults(faults) = stage.bench.apply(&text).unwrap_err() else {
        panic!("no fault of the configuration")
    };
    assert!(faults.contains("configure refused: as it was told"), "{faults}");
    assert!(faults.contains("`wvs plugin inspect "), "{faults}");
    stage.write("other", include_str!("../../../tests/plugins/per-flow.wat"));
    let text = stage.text("other");
    let ApplyError::Faults(faults) = stage.bench.apply(&text).unwrap_err() else {
        panic!("no fault of the configuration")
    };
    assert!(faults.contains("answers per-flow, but does not export"), "{faults}");
    assert!(faults.contains("cycle or hash goes with the interface `table`"), "{faults}");
    assert_eq!(stage.bench.engine.desired, before);
    // A service that is new gets the built-in round robin.
    let second = "\n[[service]]\nname = \"a\"\nlisten = [\"tcp://10.0.0.9:80\"]\n\
                  scheduler = { plugin = \"mine\", params = { fault = \"trap\", call = \"configure\" } }\n\
                  backend = [{ address = \"10.1.0.13:80\" }]\n";
    stage.bench.apply(&(stage.text("mine") + second)).unwrap();
    let health = stage.bench.engine.status().schedulers[0].health.clone();
    assert!(matches!(health, SchedulerHealth::BackingOff { fallback: true, .. }), "{health:?}");
}

#[test]
fn one_that_does_not_take_the_parameters_any_more_is_refused() {
    let mut stage = Stage::new(TURNS);
    let text = stage
        .text("mine")
        .replace("scheduler = \"mine\"", "scheduler = { plugin = \"mine\", params = { after = \"7\" } }");
    stage.bench.apply(&text).unwrap();
    // The parameter is called aftes now.
    stage.write("mine", &changed("\"after\"", "\"aftes\""));
    stage.until("the refusal", |stage| stage.refused().is_some());
    assert!(stage.refused().unwrap().contains("did you mean aftes?"), "{:?}", stage.refused());
    assert_eq!(stage.slots(), [1, 2, 1, 2]);
}
