//! The engine against a model of the kernel.

mod explain;
mod fakes;
mod happen;
mod latency;
mod metrics;
mod queued;
mod swap;
mod timed;
mod width;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use fakes::{FakeAddresses, FakeConntrack, FakeQueues, FakeTc};

use super::engine::Engine;
use super::error::ApplyError;
use super::reading::checked;
use super::store::Store;
use crate::api::{BackendState, Edit, SchedulerHealth};
use crate::kernel::Doors;
use crate::plan::model::ModelKernel;
use crate::ruleset::Family;
use crate::scheduler::catalog::Catalog;
use crate::scheduler::{BackendId, Load};
use crate::tc::TcState;

mod persistence;
mod probation;

/// An engine, and everything around it that a test looks at.
struct Bench {
    engine: Engine,
    kernel: Arc<Mutex<ModelKernel>>,
    conntrack: FakeConntrack,
    addresses: FakeAddresses,
    tc: FakeTc,
    queues: FakeQueues,
    state: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::of(WEB)
    }

    fn of(text: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let (kernel, conntrack, addresses, tc, queues) = Default::default();
        let mut bench = Bench {
            engine: engine(&kernel, &conntrack, &addresses, &tc, &queues, &state),
            kernel,
            conntrack,
            addresses,
            tc,
            queues,
            state,
        };
        bench.apply(text).unwrap();
        bench
    }

    fn apply(&mut self, text: &str) -> Result<crate::api::Applied, ApplyError> {
        self.engine.apply_text(text, "wvs.toml", false)
    }

    /// As after `kill -9`: the kernel and the state directory stay.
    fn restart(&mut self, text: &str) {
        self.engine = {
            self.tc.0.lock().unwrap().loaded = false;
            engine(&self.kernel, &self.conntrack, &self.addresses, &self.tc, &self.queues, &self.state)
        };
        let config = checked(text, "wvs.toml", &self.engine.catalog).unwrap();
        self.engine.resume(config, text).unwrap();
    }

    fn commits(&self) -> usize {
        self.kernel.lock().unwrap().commits
    }

    fn weights(&self) -> Vec<u32> {
        self.engine.config.services[0]
            .backends
            .iter()
            .map(|it| it.weight)
            .collect()
    }
}

fn engine(
    kernel: &Arc<Mutex<ModelKernel>>,
    conntrack: &FakeConntrack,
    addresses: &FakeAddresses,
    tc: &FakeTc,
    queues: &FakeQueues,
    state: &tempfile::TempDir,
) -> Engine {
    let doors = Doors {
        nft: Box::new(kernel.clone()),
        conntrack: Box::new(conntrack.clone()),
        addresses: Box::new(addresses.clone()),
        tc: Box::new(tc.clone()),
        queues: Box::new(queues.clone()),
    };
    let store = Store::open(state.path()).unwrap();
    Engine::new(doors, Catalog::new().unwrap(), store, "wvs.toml".into()).unwrap()
}

const WEB: &str = r#"
[[service]]
name = "web"
listen = ["tcp://10.0.0.100:80"]
backend = [{ address = "10.1.0.11:80" }, { address = "10.1.0.12:80" }]
"#;

/// The same, by weight.
fn weighted() -> String {
    WEB.replace("backend =", "scheduler = \"wrr\"\nbackend =")
}

fn set_weight(last: u8, weight: u32) -> Edit {
    let backend = format!("10.1.0.{last}:80").parse().unwrap();
    Edit::SetWeight {
        service: "web".into(),
        backend,
        weight,
    }
}

#[test]
fn the_same_configuration_sends_nothing() {
    let mut bench = Bench::new();
    let applied = bench.apply(WEB).unwrap();
    assert_eq!((applied.plan.as_str(), applied.changed, bench.commits()), ("", false, 1));
}

#[test]
fn a_question_says_what_would_change_and_changes_nothing() {
    let mut bench = Bench::new();
    let quiet = WEB.replace("backend", "forward = \"nat\"\nbackend");
    assert!(!bench.engine.apply_text(&quiet, "wvs.toml", true).unwrap().changed);
    let one = bench
        .engine
        .apply_text(&WEB.replace("12:80", "13:80"), "wvs.toml", true)
        .unwrap();
    assert!(one.changed && one.dry_run && one.plan.contains("10.1.0.13"), "{one:?}");
    assert_eq!((bench.commits(), bench.apply(WEB).unwrap().plan.as_str()), (1, ""));
}

#[test]
fn a_restart_finds_its_tables_and_sends_nothing() {
    let mut bench = Bench::new();
    bench.restart(WEB);
    assert_eq!(bench.commits(), 1);
}

#[test]
fn edits_outlive_a_restart_unless_the_file_has_changed() {
    let mut bench = Bench::of(&weighted());
    bench.engine.edit(&set_weight(11, 5)).unwrap();
    bench.restart(&weighted());
    assert_eq!((bench.weights(), bench.engine.edited, bench.commits()), (vec![5, 1], true, 2));
    bench.restart(&weighted().replace("12:80", "13:80"));
    assert_eq!((bench.weights(), bench.engine.edited), (vec![1, 1], false));
}

#[test]
fn a_weight_touches_the_slots_of_its_service_only() {
    let mut bench = Bench::of(&weighted());
    let plan = bench.engine.edit(&set_weight(11, 3)).unwrap().plan;
    assert!(
        !plan.is_empty()
            && plan
                .lines()
                .all(|line| line.contains(" element ip wvs slots-web ")),
        "{plan}"
    );
    let refused = bench.engine.edit(&set_weight(11, 1 << 31)).unwrap_err();
    assert!(matches!(refused, ApplyError::Faults(_)), "{refused}");
}

#[test]
fn a_refused_batch_leaves_all_as_it_was() {
    let mut bench = Bench::of(&weighted());
    let before = (bench.engine.desired.clone(), bench.engine.config.clone(), bench.engine.ids.clone());
    for change in [
        set_weight(11, 9),
        Edit::RemoveBackend {
            service: "web".into(),
            backend: "10.1.0.11:80".parse().unwrap(),
            cut: true,
        },
    ] {
        bench.kernel.lock().unwrap().refuse = true;
        let refused = bench.engine.edit(&change).unwrap_err();
        assert!(matches!(refused, ApplyError::Kernel(_)), "{refused}");
        let after = (bench.engine.desired.clone(), bench.engine.config.clone(), bench.engine.ids.clone());
        assert_eq!(after, before);
    }
    bench.kernel.lock().unwrap().refuse = false;
    // The schedulers know nothing of it either: the tables are still the ones in the kernel.
    assert_eq!(bench.apply(&weighted()).unwrap().plan, "");
}

#[test]
fn somebody_elses_change_in_between_is_planned_around() {
    let mut bench = Bench::of(&weighted());
    bench.kernel.lock().unwrap().observed.generation += 1;
    bench.engine.edit(&set_weight(11, 3)).unwrap();
    bench.kernel.lock().unwrap().observed.generation += 1;
    bench.apply(&weighted().replace(":80\"]", ":81\"]")).unwrap();
    assert_eq!(bench.commits(), 3);
}

#[test]
fn tampering_is_repaired_and_looking_costs_nothing() {
    let mut bench = Bench::new();
    bench.engine.repair().unwrap();
    assert_eq!((bench.commits(), bench.engine.repairs), (1, 0));
    {
        let mut kernel = bench.kernel.lock().unwrap();
        kernel.observed.generation += 1;
        kernel.observed.tables.get_mut(&Family::V4).unwrap().damage = Some("a foreign set".into());
    }
    bench.engine.repair().unwrap();
    assert_eq!((bench.commits(), bench.engine.repairs), (2, 1));
    assert_eq!(bench.apply(WEB).unwrap().plan, "");
}

#[test]
fn addresses_that_the_director_did_not_make_are_left() {
    let managed = WEB.replace("backend", "manage_vip = { interface = \"eth0\" }\nbackend");
    let mut bench = Bench::new();
    let vip: IpAddr = [10, 0, 0, 100].into();
    assert_eq!(bench.apply(&managed).unwrap().addresses, ["+ 10.0.0.100 on eth0"]);
    assert_eq!(bench.apply(WEB).unwrap().addresses, ["- 10.0.0.100 on eth0"]);
    bench.addresses.0.lock().unwrap().insert(vip, "eth0".into());
    assert!(bench.apply(&managed).unwrap().addresses.is_empty());
    assert!(bench.apply(WEB).unwrap().addresses.is_empty());
    assert!(bench.addresses.0.lock().unwrap().contains_key(&vip));
}

#[test]
fn an_address_that_cannot_be_managed_takes_the_change_back() {
    for interface in ["eth8", "eth9"] {
        let mut bench = Bench::new();
        let second = "\n[[service]]\nname = \"a\"\nlisten = [\"tcp://10.0.0.9:80\"]\n\
                      manage_vip = { interface = \"eth0\" }\n";
        let before = bench.engine.desired.clone();
        let other =
            WEB.replace("backend", &format!("manage_vip = {{ interface = \"{interface}\" }}\nbackend"));
        let refused = bench
            .apply(&(other.replace("12:80", "13:80") + second))
            .unwrap_err();
        assert!(matches!(refused, ApplyError::Address(_)), "{refused}");
        assert_eq!(bench.engine.desired, before);
        assert!(bench.addresses.0.lock().unwrap().is_empty());
        assert_eq!(bench.apply(WEB).unwrap().plan, "");
    }
}

#[test]
fn cutting_forgets_the_removed_backends_connections_only() {
    let mut bench = Bench::new();
    let load = |active| Load { active, inactive: 0 };
    *bench.conntrack.0.lock().unwrap() = [(BackendId(1), load(7)), (BackendId(2), load(4))].into();
    let backend = "10.1.0.11:80".parse().unwrap();
    let applied = bench
        .engine
        .edit(&Edit::RemoveBackend {
            service: "web".into(),
            backend,
            cut: true,
        })
        .unwrap();
    assert_eq!(applied.cut, 7);
    assert_eq!(*bench.conntrack.0.lock().unwrap(), [(BackendId(2), load(4))].into());
}

#[test]
fn a_scheduler_that_looks_at_load_follows_it() {
    let mut bench = Bench::new();
    bench
        .apply(&WEB.replace("name = \"web\"", "name = \"web\"\nscheduler = \"wlc\""))
        .unwrap();
    let first = |bench: &Bench| bench.engine.desired.tables[&Family::V4].slots["slots-web"][..8].to_vec();
    let busy = Load {
        active: 100,
        inactive: 0,
    };
    *bench.conntrack.0.lock().unwrap() = [(BackendId(1), busy)].into();
    bench.engine.reschedule(std::time::Instant::now());
    assert_eq!(first(&bench), [Some(BackendId(2)); 8]);
    assert_eq!(bench.engine.status().schedulers[0].health, SchedulerHealth::Running);
}

#[test]
fn a_faulty_text_changes_nothing_and_every_fault_is_told() {
    let mut bench = Bench::new();
    let faulty = WEB.replace("listen", "lisen").replace("11:80", "11:99999");
    let ApplyError::Faults(rendered) = bench.apply(&faulty).unwrap_err() else {
        panic!("not faults")
    };
    assert!(rendered.contains("lisen") && rendered.contains("99999"), "{rendered}");
    assert_eq!((bench.commits(), bench.weights()), (1, vec![1, 1]));
}

const DIRECT: &str = r#"
[[service]]
name = "web"
listen = ["tcp://10.0.0.100:80"]
forward = "dr"
manage_vip = { interface = "eth0" }
backend = [{ address = "10.0.0.11" }, { address = "10.0.0.12" }, { address = "10.0.0.66" }]
"#;

impl Bench {
    fn program(&self) -> TcState {
        self.tc.0.lock().unwrap().holds.clone()
    }

    /// The persistence group of the program's first service.
    fn first_group(&self) -> u16 {
        let program = self.program();
        let first = program.services.values().next().unwrap();
        first.settings.persistence.unwrap().group
    }

    fn states(&mut self) -> Vec<BackendState> {
        let views = self.engine.backends(None).unwrap();
        views.into_iter().map(|it| it.state).collect()
    }
}

#[test]
fn direct_routing_is_the_programs_and_its_table_both_planes() {
    let mut bench = Bench::new();
    let applied = bench.apply(DIRECT).unwrap();
    assert!(applied.plan.contains("# tc: attach to eth0"), "{}", applied.plan);
    let program = bench.program();
    assert_eq!((program.listeners.len(), program.backends.len(), program.interfaces.len()), (1, 2, 1));
    let (number, service) = program.services.first_key_value().unwrap();
    assert_eq!(program.listeners.values().next(), Some(number));
    let slots = bench.engine.desired.tables.values().next().unwrap().slots["slots-web"].clone();
    assert_eq!(service.table.slots, slots);
    assert_eq!(bench.apply(DIRECT).unwrap().plan, "");
}

#[test]
fn who_is_behind_a_router_gets_nothing_and_is_named() {
    let mut bench = Bench::new();
    bench.apply(DIRECT).unwrap();
    assert_eq!(bench.states(), [BackendState::Up, BackendState::Up, BackendState::Unreachable]);
    let warnings = bench.engine.status().warnings.join("\n");
    assert!(
        warnings.contains("10.0.0.66") && warnings.contains("behind the router 10.0.0.254"),
        "{warnings}"
    );
}

#[test]
fn a_restart_puts_the_table_back_and_leaves_the_rest() {
    let mut bench = Bench::new();
    bench.apply(DIRECT).unwrap();
    let before = bench.program();
    bench.restart(DIRECT);
    assert_eq!(bench.program(), before);
}

#[test]
fn a_removed_backend_stays_while_its_connections_live() {
    let mut bench = Bench::new();
    bench.apply(DIRECT).unwrap();
    let gone = BackendId(bench.engine.backends(None).unwrap()[1].id);
    bench.tc.0.lock().unwrap().connections.insert(gone, 3);
    bench
        .apply(&DIRECT.replace("{ address = \"10.0.0.12\" }, ", ""))
        .unwrap();
    bench.engine.sweep_tc();
    let program = bench.program();
    assert!(program.backends.contains_key(&gone));
    assert!(
        program
            .services
            .values()
            .all(|it| !it.table.slots.contains(&Some(gone)))
    );
    bench.tc.0.lock().unwrap().connections.remove(&gone);
    bench.engine.sweep_tc();
    assert!(!bench.program().backends.contains_key(&gone));
}

#[test]
fn what_the_program_refuses_leaves_all_as_it_was() {
    let mut bench = Bench::new();
    bench.apply(DIRECT).unwrap();
    let (before, ruleset) = (bench.program(), bench.engine.desired.clone());
    let elsewhere = DIRECT
        .replace("eth0", "eth7")
        .replace("tcp://10.0.0.100:80", "tcp://10.0.0.100:81");
    let error = bench.apply(&elsewhere).unwrap_err();
    assert!(matches!(error, ApplyError::Tc(_)), "{error}");
    assert_eq!((bench.program(), &bench.engine.desired), (before, &ruleset));
}

#[test]
fn when_the_last_direct_service_goes_so_does_the_program() {
    let mut bench = Bench::new();
    bench.apply(DIRECT).unwrap();
    bench.apply(WEB).unwrap();
    bench.engine.sweep_tc();
    assert!(bench.program().is_empty(), "{:?}", bench.program());
}

#[test]
fn a_full_backend_gets_no_more_until_it_has_room() {
    let mut bench = Bench::new();
    let limited = WEB.replace("\"10.1.0.11:80\"", "\"10.1.0.11:80\", max_connections = 8");
    bench.apply(&limited).unwrap();
    let first = BackendId(bench.engine.backends(None).unwrap()[0].id);
    for (connections, state) in [
        (7, BackendState::Up),
        (8, BackendState::Full),
        (6, BackendState::Full),
        (5, BackendState::Up),
    ] {
        let load = Load {
            active: connections,
            inactive: 0,
        };
        bench.conntrack.0.lock().unwrap().insert(first, load);
        bench
            .engine
            .reschedule(std::time::Instant::now() + std::time::Duration::from_secs(60));
        let view = bench.engine.backends(None).unwrap().swap_remove(0);
        assert_eq!((view.state, view.slots > 0), (state, state == BackendState::Up), "{connections}");
    }
}
