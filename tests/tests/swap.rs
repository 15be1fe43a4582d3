//! A scheduler is exchanged while its service runs, in both planes: by a new file, and for one that the data path uses in
//! another way. No connection breaks, and nobody is refused.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use wvs_tests::{
    Arrivals, Distribution, LabOptions, LongLived, Service, Stage, Target, backend, rs, wait_for,
};

const SOON: Duration = Duration::from_secs(60);
/// Counts its backends, or as it is told.
const TURNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/plugins/fault.wat");
/// Likes the first backend.
const FIRST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugins/shy.wat");

/// The file of a scheduler, as its author has it.
struct File {
    dir: TempDir,
}

impl File {
    fn of(text: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = Self { dir };
        file.put(text)?;
        Ok(file)
    }

    /// By a rename, as any careful author does.
    fn put(&self, text: &str) -> Result<()> {
        let aside = self.dir.path().join("aside");
        std::fs::write(&aside, text)?;
        Ok(std::fs::rename(aside, self.path())?)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mine.wat")
    }

    fn schedules(&self, service: Service) -> Result<Service> {
        let path = self.path();
        let path = path.to_str().context("a path in UTF-8")?;
        Ok(service.scheduler_with(path, &[]))
    }
}

/// Long-lived connections and a stream of new ones.
struct Load {
    flows: LongLived,
    arrivals: Arrivals,
}

impl Load {
    fn on(stage: &Stage) -> Result<Self> {
        Ok(Self {
            flows: LongLived::open(&stage.client(), stage.web(), 60)?,
            arrivals: Arrivals::start(&stage.client(), stage.web(), 50),
        })
    }

    /// That of the next connections each goes to one of so many servers.
    #[track_caller]
    fn assert_spread(&self, servers: usize, by: &str) {
        let seen = self.arrivals.next(40);
        assert_eq!((seen.failed(), seen.servers.len()), (0, servers), "{by}: {seen}");
        self.flows.settle();
        assert_eq!(self.flows.report().broken(), 0, "{by}");
    }

    #[track_caller]
    fn assert_unharmed(self) {
        self.flows.settle();
        let report = self.flows.finish();
        assert_eq!(report.broken(), 0, "{report:?}");
        let arrived = self.arrivals.finish();
        assert_eq!(arrived.failed(), 0, "{arrived}");
    }
}

fn direct(service: Service) -> Result<Stage> {
    Stage::with(LabOptions::one_arm(), service)
}

#[test]
fn a_file_is_exchanged_under_direct_routing() -> Result<()> {
    let file = File::of(&std::fs::read_to_string(TURNS)?)?;
    let stage = direct(file.schedules(Service::direct("dr"))?)?;
    assert_eq!(stage.client().ask_many(stage.web(), 6), Distribution::even(3, 2));
    let load = Load::on(&stage)?;
    file.put(&std::fs::read_to_string(FIRST)?)?;
    wait_for("the new version", SOON, || load.arrivals.next(10).server("rs1") == 10);
    assert_eq!(load.arrivals.next(40), Distribution::of(&[("rs1", 40)]));
    assert_eq!(stage.director.says(&["status"])?.code, 0);
    load.assert_unharmed();
    Ok(())
}

/// The same scheduler with another answer to what it is.
fn of_kind(number: u8) -> Result<String> {
    let cycle = "(global $dispatch (mut i32) (i32.const 0))";
    let text = std::fs::read_to_string(TURNS)?;
    anyhow::ensure!(text.contains(cycle), "the plugin says what it is in another way");
    Ok(text.replacen(cycle, &cycle.replace("const 0", &format!("const {number}")), 1))
}

fn dispatch(stage: &Stage) -> Result<Value> {
    Ok(stage.director.scheduler("web")?["dispatch"].clone())
}

#[test]
fn a_file_of_another_kind_takes_over_under_direct_routing() -> Result<()> {
    a_file_of_another_kind_takes_over(direct, Service::direct("dr"))
}

#[test]
fn a_file_of_another_kind_takes_over_under_nat() -> Result<()> {
    a_file_of_another_kind_takes_over(Stage::up, Service::web())
}

fn a_file_of_another_kind_takes_over(up: fn(Service) -> Result<Stage>, web: Service) -> Result<()> {
    let kinds = [
        (0, json!("cycle"), 3),
        (1, json!({ "hash": "source" }), 1),
        (2, json!("flow"), 3),
    ];
    let file = File::of(&of_kind(0)?)?;
    let stage = up(file.schedules(web)?)?;
    let load = Load::on(&stage)?;
    // There and back, so that each kind comes after both others.
    for (number, kind, servers) in [1, 2, 0, 2, 1, 0].map(|n: usize| &kinds[n]) {
        file.put(&of_kind(*number)?)?;
        wait_for("the new kind", SOON, || dispatch(&stage).is_ok_and(|it| it == *kind));
        let picks = || -> Result<_> { Ok(stage.director.scheduler("web")?["picks"].as_u64()) };
        let before = picks()?;
        load.assert_spread(*servers, &kind.to_string());
        assert_eq!(picks()? > before, *kind == "flow", "{kind}");
    }
    assert_eq!(stage.director.says(&["status"])?.code, 0);
    load.assert_unharmed();
    Ok(())
}

#[test]
fn a_scheduler_of_another_kind_takes_over_under_direct_routing() -> Result<()> {
    let heavy = Service::direct("dr").only((1..=3).map(|n| Target::new(backend(n)).weight(1000)));
    a_scheduler_of_another_kind_takes_over(direct, &heavy)
}

#[test]
fn a_scheduler_of_another_kind_takes_over_under_nat() -> Result<()> {
    let heavy = Service::web().only((1..=3).map(|n| Target::new(rs(n)).weight(1000)));
    a_scheduler_of_another_kind_takes_over(Stage::up, &heavy)
}

fn a_scheduler_of_another_kind_takes_over(up: fn(Service) -> Result<Stage>, web: &Service) -> Result<()> {
    let stage = up(web.clone().scheduler("rr"))?;
    let load = Load::on(&stage)?;
    // By turns; by the client's address; and lblc, which is asked, keeps a virtual address at one server.
    for (scheduler, servers) in [
        ("sh", 1),
        ("lblc", 1),
        ("rr", 3),
        ("lblc", 1),
        ("sh", 1),
        ("rr", 3),
    ] {
        stage.director.reload_with(web.clone().scheduler(scheduler))?;
        load.assert_spread(servers, scheduler);
        let health = stage.director.scheduler("web")?;
        assert_eq!((&health["plugin"], &health["failures"]), (&json!(scheduler), &json!(0)), "{health}");
    }
    load.assert_unharmed();
    Ok(())
}
