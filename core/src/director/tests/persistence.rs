//! What the engine does about clients that the kernel remembers.

use std::time::Duration;

use wvs_tc_bpf::PersistentEntry;

use super::*;
use crate::plan::plan;
use crate::ruleset::{IdMap, Ids, Key};

/// Two services of a group, and one that remembers clients for itself.
fn config(web: &str) -> String {
    let service = |name: &str, port: u16, persistence: &str, backends: &[&str]| {
        let backends: String = backends
            .iter()
            .map(|it| format!("{{ address = {it} }},"))
            .collect();
        format!(
            "[[service]]\nname = \"{name}\"\nlisten = [\"tcp://10.0.0.100:{port}\"]\n\
             persistence = {{ timeout = \"6m\", {persistence} }}\nbackend = [{backends}]\n"
        )
    };
    let group = "group = \"shop\", mask = 24";
    [
        service("http", 80, group, &["\"10.1.0.11:80\"", "\"10.1.0.12:80\""]),
        service("https", 443, group, &["\"10.1.0.11:443\"", "\"10.1.0.12:443\""]),
        service("web", 8080, web, &["\"10.1.0.11:80\"", "\"10.1.0.12:80\""]),
    ]
    .concat()
}

const KEEP: &str = "when_quiesced = \"keep\"";
const EXPIRE: &str = "when_quiesced = \"expire\"";

fn own() -> IdMap {
    IdMap::Persist("web".into())
}

fn group() -> IdMap {
    IdMap::Group("shop".into())
}

impl Bench {
    fn id(&self, service: &str, backend: &str) -> BackendId {
        self.engine.ids.get(service, backend.parse().unwrap()).unwrap()
    }

    /// Has clients 192.0.2.0, 192.0.2.1, … come to backends.
    fn come(&self, map: IdMap, to: &[(&str, &str)]) {
        let client = |(n, (service, backend)): (usize, &(&str, &str))| {
            (Key::Address([192, 0, 2, n as u8].into()), self.id(service, backend))
        };
        let clients: Ids = to.iter().enumerate().map(client).collect();
        self.kernel
            .lock()
            .unwrap()
            .remembered
            .insert((Family::V4, map), clients);
    }

    /// The last numbers of the clients in a map.
    fn clients(&self, map: IdMap) -> Vec<u8> {
        let kernel = self.kernel.lock().unwrap();
        let last = |key: &Key| match key {
            Key::Address(IpAddr::V4(it)) => it.octets()[3],
            other => panic!("{other}"),
        };
        let clients = kernel.remembered.get(&(Family::V4, map));
        clients.into_iter().flat_map(|it| it.keys()).map(last).collect()
    }

    fn persistence(&mut self, only: Option<&str>) -> Vec<String> {
        let found = self.engine.persistence(only, 100).unwrap();
        assert!(!found.more);
        found
            .clients
            .into_iter()
            .map(|it| format!("{} {} {}", it.service, it.client, it.backend))
            .collect()
    }
}

fn web_weight(weight: u32) -> Edit {
    Edit::SetWeight {
        service: "web".into(),
        backend: "10.1.0.11:80".parse().unwrap(),
        weight,
    }
}

fn remove(service: &str, backend: &str) -> Edit {
    Edit::RemoveBackend {
        service: service.into(),
        backend: backend.parse().unwrap(),
        cut: false,
    }
}

#[test]
fn clients_of_a_backend_that_goes_are_forgotten() {
    let mut bench = Bench::new();
    bench.apply(&config(KEEP)).unwrap();
    let (first, second) = (("web", "10.1.0.11:80"), ("web", "10.1.0.12:80"));
    bench.come(own(), &[first, second, first]);
    let commits = bench.commits();
    let applied = bench.engine.edit(&remove("web", "10.1.0.11:80")).unwrap();
    assert_eq!((applied.forgotten, bench.clients(own())), (2, vec![1]));
    assert!(applied.plan.contains("delete element ip wvs held-web"), "{}", applied.plan);
    assert_eq!(bench.commits(), commits + 2);
    assert_eq!(bench.engine.observed.generation, bench.kernel.lock().unwrap().observed.generation);
    // Nothing else is looked at for it.
    let added = Edit::AddBackend {
        service: "web".into(),
        backend: crate::config::Backend::at("10.1.0.13:80".parse().unwrap()),
    };
    assert_eq!(bench.engine.edit(&added).unwrap().forgotten, 0);
    assert_eq!(bench.clients(own()), [1]);
}

#[test]
fn clients_of_a_quiesced_backend_are_kept_unless_they_are_to_expire() {
    for (way, left) in [(KEEP, vec![0, 1]), (EXPIRE, vec![1])] {
        for change in [
            web_weight(0),
            Edit::Drain {
                service: "web".into(),
                backend: "10.1.0.11:80".parse().unwrap(),
                drain: true,
            },
        ] {
            let mut bench = Bench::new();
            bench.apply(&config(way)).unwrap();
            bench.come(own(), &[("web", "10.1.0.11:80"), ("web", "10.1.0.12:80")]);
            let applied = bench.engine.edit(&change).unwrap();
            assert_eq!(
                (applied.forgotten, bench.clients(own())),
                (2 - left.len(), left.clone()),
                "{change:?}"
            );
            // The slots and what is held change together.
            let planned = plan(&bench.engine.desired, &bench.kernel.lock().unwrap().observed.clone());
            assert!(planned.is_empty(), "{planned}");
            assert_eq!(bench.apply(&config(way)).unwrap().forgotten, 0);
        }
    }
}

#[test]
fn a_weight_of_a_service_that_keeps_clients_touches_its_slots_only() {
    let mut bench = Bench::new();
    bench.apply(&config(KEEP)).unwrap();
    let plan = bench.engine.edit(&web_weight(0)).unwrap().plan;
    assert!(
        plan.lines()
            .all(|line| line.contains(" element ip wvs slots-web ")),
        "{plan}"
    );
}

#[test]
fn a_group_keeps_a_client_while_one_of_its_services_has_the_backend_it_came_to() {
    let mut bench = Bench::new();
    bench.apply(&config(KEEP)).unwrap();
    bench.come(
        group(),
        &[
            ("http", "10.1.0.11:80"),
            ("https", "10.1.0.11:443"),
            ("https", "10.1.0.12:443"),
        ],
    );
    assert_eq!(
        bench
            .engine
            .edit(&remove("http", "10.1.0.11:80"))
            .unwrap()
            .forgotten,
        1
    );
    assert_eq!(bench.clients(group()), [1, 2]);
    let all = bench.persistence(None);
    assert_eq!(
        all,
        [
            "https 192.0.2.1/24 10.1.0.11:443",
            "https 192.0.2.2/24 10.1.0.12:443"
        ]
    );
    assert_eq!(bench.persistence(Some("http")), ["http 192.0.2.2/24 10.1.0.12:80"]);
    assert_eq!(bench.persistence(Some("web")), [""; 0]);
    let gone = Edit::RemoveService {
        service: "https".into(),
        cut: false,
    };
    assert_eq!(bench.engine.edit(&gone).unwrap().forgotten, 2);
    assert!(bench.clients(group()).is_empty());
}

#[test]
fn the_list_shows_where_clients_go_and_no_more_than_asked_for() {
    let mut bench = Bench::new();
    bench.apply(&config(KEEP)).unwrap();
    bench.come(
        own(),
        &[
            ("web", "10.1.0.12:80"),
            ("http", "10.1.0.11:80"),
            ("web", "10.1.0.11:80"),
        ],
    );
    // The second would be sent elsewhere: nothing of `web` has that id.
    let all = bench.persistence(Some("web"));
    assert_eq!(all, ["web 192.0.2.0/32 10.1.0.12:80", "web 192.0.2.2/32 10.1.0.11:80"]);
    let of = |client: &str| client.parse().unwrap();
    for (client, count) in [("192.0.2.2", 1), ("192.0.2.1", 0), ("2001:db8::1", 0)] {
        let found = bench.engine.persistence_of(None, of(client)).unwrap();
        assert_eq!((found.clients.len(), found.more), (count, false), "{client}");
    }
    let one = bench.engine.persistence(None, 1).unwrap();
    assert_eq!((one.more, one.clients.len(), one.clients[0].expires), (true, 1, 60));
    let missing = bench.engine.persistence(Some("none"), 1).unwrap_err();
    assert_eq!(missing.to_string(), "there is no service `none`");
}

#[test]
fn a_table_made_anew_remembers_its_clients() {
    let mut bench = Bench::new();
    bench.apply(&config(KEEP)).unwrap();
    bench.come(own(), &[("web", "10.1.0.12:80"), ("web", "10.1.0.11:80")]);
    bench.come(group(), &[("http", "10.1.0.12:80")]);
    let before = bench.kernel.lock().unwrap().remembered.clone();
    {
        let mut kernel = bench.kernel.lock().unwrap();
        kernel.observed.generation += 1;
        kernel.observed.tables.get_mut(&Family::V4).unwrap().damage = Some("a foreign set".into());
    }
    bench.engine.repair().unwrap();
    assert_eq!(bench.engine.repairs, 1);
    assert_eq!(bench.kernel.lock().unwrap().remembered, before);
}

#[test]
fn clients_that_cannot_be_forgotten_stop_no_change() {
    let mut bench = Bench::new();
    bench.apply(&config(KEEP)).unwrap();
    bench.come(own(), &[("web", "10.1.0.11:80")]);
    bench.kernel.lock().unwrap().refuse_forgetting = true;
    let applied = bench.engine.edit(&remove("web", "10.1.0.11:80")).unwrap();
    assert_eq!((applied.forgotten, bench.clients(own())), (0, vec![0]));
    assert!(bench.persistence(Some("web")).is_empty(), "it would be sent elsewhere");
    bench.kernel.lock().unwrap().refuse_forgetting = false;
    let planned = bench.apply(&config(KEEP)).unwrap();
    assert!(
        planned.plan.contains("held-web") && !planned.plan.contains("persist-web"),
        "{}",
        planned.plan
    );
}

/// Of the program's clients those are listed that it would send where it sent them.
#[test]
fn the_programs_clients_are_listed_too() {
    let mut bench = Bench::new();
    let kept = super::DIRECT.replace(
        "backend",
        "persistence = { timeout = \"6m\", mask = 24, when_quiesced = \"expire\" }\nbackend",
    );
    bench.apply(&kept).unwrap();
    let program = bench.program();
    let service = program.services.values().next().unwrap();
    let group = service.settings.persistence.unwrap().group;
    let (one, two) = (bench.id("web", "10.0.0.11"), bench.id("web", "10.0.0.12"));
    let come = |client: [u8; 4], backend: BackendId, generation: u16, proved: bool, silent: u64| {
        let entry = PersistentEntry {
            group,
            client: client.into(),
            backend: backend.0,
            generation,
            seen: 0,
            proved,
        };
        (entry, Duration::from_secs(silent))
    };
    bench.tc.0.lock().unwrap().kept = vec![
        come([192, 0, 2, 0], one, 0, false, 0),
        come([192, 0, 2, 0], two, 0, true, 60),
        come([192, 0, 3, 0], one, 0, false, 0),
        // Its backend's id is another's now, its time is over, and it is of no service.
        come([192, 0, 4, 0], one, 1, true, 0),
        come([192, 0, 5, 0], one, 0, true, 361),
        come([192, 0, 6, 0], BackendId(999), 0, true, 0),
    ];
    let both = ["web 192.0.2.0/24 10.0.0.12", "web 192.0.3.0/24 10.0.0.11"];
    assert_eq!(bench.persistence(None), both);
    assert_eq!(bench.persistence(Some("web")), both);
    let found = bench.engine.persistence(None, 1).unwrap();
    assert!(found.more && found.clients[0].expires == 300, "{found:?}");
    let drain = Edit::Drain {
        service: "web".into(),
        backend: "10.0.0.12".parse().unwrap(),
        drain: true,
    };
    bench.engine.edit(&drain).unwrap();
    assert_eq!(bench.persistence(None), both[1..]);
}

#[test]
fn a_client_of_the_programs_groups_is_each_services() {
    let mut bench = Bench::new();
    let service = |name: &str, port: u16, backends: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nlisten = [\"tcp://10.0.0.100:{port}\"]\nforward = \"dr\"\n\
             persistence = {{ timeout = \"6m\", group = \"shop\" }}\nbackend = [{backends}]\n"
        )
    };
    let both = "{ address = \"10.0.0.11\" }, { address = \"10.0.0.12\" }";
    let one = "{ address = \"10.0.0.12\" }";
    let services = [
        service("http", 80, both),
        service("https", 443, both),
        service("less", 81, one),
    ];
    bench.apply(&services.concat()).unwrap();
    let group = bench.first_group();
    let entry = PersistentEntry {
        group,
        client: [192, 0, 2, 7].into(),
        backend: bench.id("https", "10.0.0.11").0,
        generation: 0,
        seen: 0,
        proved: true,
    };
    bench.tc.0.lock().unwrap().kept = vec![(entry, Duration::ZERO)];
    // It came to this one last, and the other has the same server; the third has not.
    assert_eq!(bench.persistence(None), ["https 192.0.2.7/32 10.0.0.11"]);
    assert_eq!(bench.persistence(Some("http")), ["http 192.0.2.7/32 10.0.0.11"]);
    assert!(bench.persistence(Some("less")).is_empty());
}

/// The program looks at the longest prefix alone.
#[test]
fn pins_of_the_program_that_rest_are_not_there() {
    let pin =
        |client: &str, to: &str| format!("{{ client = \"192.0.2.{client}\", backend = \"10.0.0.{to}\" }}");
    let pins = [pin("0/24", "11"), pin("0/28", "66"), pin("1/32", "12")].join(", ");
    let config = DIRECT.replace("backend =", &format!("pins = [{pins}]\nbackend ="));
    let mut bench = Bench::new();
    bench.apply(&config).unwrap();
    let standing = |bench: &Bench| -> Vec<(u8, u16)> {
        let program = bench.program();
        let pins = program.services.values().flat_map(|it| &it.pins);
        pins.map(|pin| (pin.prefix, pin.backend)).collect()
    };
    let [first, second] = ["10.0.0.11", "10.0.0.12"].map(|it| bench.id("web", it).0);
    assert_eq!(standing(&bench), [(24, first), (32, second)], "nobody gets to the third");
    let drained = |drain| Edit::Drain {
        service: "web".into(),
        backend: "10.0.0.12".parse().unwrap(),
        drain,
    };
    bench.engine.edit(&drained(true)).unwrap();
    assert_eq!(standing(&bench), [(24, first)]);
    bench.engine.edit(&drained(false)).unwrap();
    assert_eq!(standing(&bench), [(24, first), (32, second)]);
}
