//! Where packets go and why, and what is in the program.

use std::time::Duration;

use wvs_tc_bpf::PersistentEntry;
use wvs_tc_bpf::layout::{STATE_ESTABLISHED, STATE_FIN};

use super::{Bench, DIRECT, WEB};
use crate::api::{BackendState, Because, Draw, Explain, Explanation, Link, Plane, Refusal, Share, Then, Way};
use crate::config::{Prefix, Tunnel};
use crate::director::explain::ExplainError;
use crate::director::views::ViewError;
use crate::kernel::Flow;
use crate::kernel::tc::{Answer, TcFlow};
use crate::ruleset::{Family, IdMap, Key, Protocol};
use crate::scheduler::BackendId;

fn packet(from: &str, to: &str) -> Explain {
    Explain {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        protocol: Protocol::Tcp,
        mark: 0,
    }
}

const CLIENT: &str = "192.0.2.7:40001";

impl Bench {
    fn explain(&mut self, from: &str, to: &str) -> Explanation {
        self.engine.explain(&packet(from, to)).unwrap()
    }

    fn web(&mut self) -> Explanation {
        self.explain(CLIENT, "10.0.0.100:80")
    }

    /// What the program says of packets from now on.
    fn says(&self, answer: Answer) {
        self.tc.0.lock().unwrap().answer = Some(answer);
    }
}

fn name(explanation: &Explanation) -> (&str, Option<&str>, Plane) {
    let service = explanation.service.as_ref().unwrap();
    (&service.name, service.listener.as_deref(), service.by)
}

fn backend(explanation: &Explanation) -> String {
    explanation.backend.as_ref().unwrap().address.to_string()
}

fn to(address: &str, source: Option<&str>) -> Then {
    Then::Translate {
        to: address.parse().unwrap(),
        source: source.map(str::to_owned),
    }
}

#[test]
fn a_schedule_is_walked_or_hashed() {
    let mut bench = Bench::new();
    let walked = bench.web();
    assert_eq!(name(&walked), ("web", Some("tcp://10.0.0.100:80"), Plane::Nftables));
    let cycle = Draw::Cycle {
        position: 0,
        slot: 0,
        slots: 256,
    };
    assert_eq!(walked.because, Because::Schedule(cycle));
    assert_eq!((backend(&walked).as_str(), &walked.then), ("10.1.0.11:80", &to("10.1.0.11:80", None)));
    bench
        .apply(&WEB.replace("listen", "scheduler = \"sh\"\nlisten"))
        .unwrap();
    let table = bench.engine.desired.tables[&Family::V4].slots["slots-web"].clone();
    let mut seen = std::collections::BTreeSet::new();
    for last in 1..30 {
        let hashed = bench.explain(&format!("192.0.2.{last}:40001"), "10.0.0.100:80");
        let Because::Schedule(Draw::Hash { slot, slots: 256, .. }) = hashed.because else {
            panic!("{hashed:?}")
        };
        assert_eq!(table[slot as usize].map(|id| id.0), hashed.backend.as_ref().map(|it| it.id));
        seen.insert(backend(&hashed));
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn ranges_and_marks_and_full_nat_are_followed() {
    let mut bench = Bench::new();
    let ranges = WEB
        .replace(":80\"]", ":8000-8010\", \"fwmark:7\"]")
        .replace("backend", "forward = \"full-nat\"\nsource = [\"10.0.0.1-10.0.0.4\"]\nbackend");
    bench.apply(&ranges).unwrap();
    let ranged = bench.explain(CLIENT, "10.0.0.100:8007");
    assert_eq!(name(&ranged).1, Some("tcp://10.0.0.100:8000-8010"));
    assert_eq!(ranged.then, to("10.1.0.11:80", Some("10.0.0.1-10.0.0.4")));
    let marked = Explain {
        mark: 7,
        protocol: Protocol::Udp,
        ..packet(CLIENT, "203.0.113.1:9")
    };
    let marked = bench.engine.explain(&marked).unwrap();
    assert_eq!((name(&marked).1, backend(&marked).as_str()), (Some("fwmark:7"), "10.1.0.11:80"));
}

#[test]
fn a_known_connection_stays_where_it_is() {
    let mut bench = Bench::new();
    let flow = Flow {
        protocol: Protocol::Tcp,
        client: CLIENT.parse().unwrap(),
        target: "10.0.0.100:80".parse().unwrap(),
        server: "10.1.0.12:80".parse().unwrap(),
        backend: BackendId(2),
        state: "ESTABLISHED".to_owned(),
        expires: 77,
    };
    bench.conntrack.1.lock().unwrap().push(flow);
    let known = bench.web();
    assert_eq!((backend(&known).as_str(), &known.then), ("10.1.0.12:80", &to("10.1.0.12:80", None)));
    assert!(matches!(known.because, Because::Connection { expires: 77, .. }), "{known:?}");
    bench.conntrack.1.lock().unwrap()[0].state = "TIME_WAIT".to_owned();
    assert!(matches!(bench.web().because, Because::Schedule(_)));
    let another = bench.explain("192.0.2.7:40002", "10.0.0.100:80");
    assert!(matches!(another.because, Because::Schedule(_)), "{another:?}");
}

#[test]
fn who_takes_nothing_is_named_with_the_reason() {
    let mut bench = Bench::new();
    let idle = WEB
        .replace("\"10.1.0.11:80\"", "\"10.1.0.11:80\", drain = true")
        .replace("\"10.1.0.12:80\"", "\"10.1.0.12:80\", weight = 0");
    bench.apply(&idle).unwrap();
    let nobody = bench.web();
    let Because::Nobody { backends } = &nobody.because else {
        panic!("{nobody:?}")
    };
    let states: Vec<_> = backends.iter().map(|it| it.state).collect();
    assert_eq!(states, [BackendState::Draining, BackendState::Quiesced]);
    assert_eq!(
        nobody.then,
        Then::Refuse {
            with: Refusal::TcpReset
        }
    );
    assert_eq!((nobody.backend.as_ref(), name(&nobody).0), (None, "web"));
}

#[test]
fn what_is_not_ours_says_what_listens_there() {
    let mut bench = Bench::new();
    let other = bench.explain(CLIENT, "10.0.0.100:81");
    let Because::NotOurs { listeners } = &other.because else {
        panic!("{other:?}")
    };
    assert_eq!(
        (listeners[0].listener.as_str(), listeners[0].service.as_str()),
        ("tcp://10.0.0.100:80", "web")
    );
    assert_eq!(other.then, Then::Pass);
    let elsewhere = bench.explain("[2001:db8::7]:1", "[2001:db8::1]:80");
    assert_eq!(
        elsewhere.because,
        Because::NotOurs {
            listeners: Vec::new()
        }
    );
    let closed =
        WEB.replace("backend", "manage_vip = { interface = \"eth0\", reject_other_ports = true }\nbackend");
    bench.apply(&closed).unwrap();
    let closed = bench.explain(CLIENT, "10.0.0.100:81");
    assert!(
        matches!(&closed.because, Because::Closed { listeners } if listeners.len() == 1),
        "{closed:?}"
    );
    assert!(matches!(closed.then, Then::Refuse { .. }));
    let udp = Explain {
        protocol: Protocol::Udp,
        ..packet(CLIENT, "10.0.0.100:81")
    };
    assert_eq!(
        bench.engine.explain(&udp).unwrap().then,
        Then::Refuse {
            with: Refusal::PortUnreachable
        }
    );
}

#[test]
fn there_are_packets_that_cannot_be() {
    let mut bench = Bench::new();
    for (from, to, said) in [
        (CLIENT, "[2001:db8::1]:80", "is IPv4 and the service's IPv6"),
        ("192.0.2.7:0", "10.0.0.100:80", "the client's port is 0"),
        (CLIENT, "0.0.0.0:80", "the service's address stands for any"),
        (CLIENT, "224.0.0.1:80", "the service's address is a multicast address"),
    ] {
        let error = bench.engine.explain(&packet(from, to)).unwrap_err();
        assert!(
            matches!(&error, ExplainError::Senseless(words) if words.contains(said)),
            "{from} {to}: {error}"
        );
    }
}

#[test]
fn the_program_is_asked_and_its_choice_traced_back() {
    let mut bench = Bench::new();
    bench.apply(DIRECT).unwrap();
    let slots = bench
        .program()
        .services
        .values()
        .next()
        .unwrap()
        .table
        .slots
        .clone();
    bench.tc.0.lock().unwrap().position = 259;
    bench.says(Answer::Backend(slots[3].unwrap()));
    let direct = bench.web();
    assert_eq!(name(&direct), ("web", Some("tcp://10.0.0.100:80"), Plane::Tc));
    assert!(
        matches!(
            direct.because,
            Because::Schedule(Draw::Cycle {
                position: 259,
                slot: 3,
                ..
            })
        ),
        "{direct:?}"
    );
    let link = Link {
        interface: "eth0".to_owned(),
        mtu: 1500,
        mac: Some("04:04:04:04:04:04".to_owned()),
    };
    assert_eq!(direct.then, Then::Forward(Way::Dr(link)));
    assert_eq!(direct.notes, ["this holds for what comes in by eth0"]);
    // Whom the table does not name was chosen by something that has changed since.
    let other = slots.iter().flatten().find(|id| Some(**id) != slots[3]).unwrap();
    bench.says(Answer::Backend(*other));
    assert_eq!(bench.web().because, Because::Program);
    // From the director itself nothing passes the program.
    let local = bench.explain("127.0.0.1:40001", "10.0.0.100:80");
    assert_eq!((local.local, name(&local).2), (true, Plane::Nftables));
    assert!(
        matches!(&local.then, Then::Translate { source: Some(it), .. } if it == "masquerade"),
        "{local:?}"
    );
}

#[test]
fn a_tunnel_says_where_from() {
    let mut bench = Bench::new();
    bench
        .apply(&DIRECT.replace("\"dr\"", "\"tun\"\ntunnel = \"ipip\""))
        .unwrap();
    let id = *bench.program().backends.keys().next().unwrap();
    bench.says(Answer::Backend(id));
    let there = bench.web();
    let Then::Forward(Way::Tun {
        tunnel, source, to, ..
    }) = there.then
    else {
        panic!("{there:?}")
    };
    assert_eq!((tunnel, source.to_string().as_str()), (Tunnel::default(), "10.0.0.1"));
    assert!(to.to_string().starts_with("10.0.0."), "{to}");
}

#[test]
fn what_the_program_refuses_names_who_is_missing() {
    let mut bench = Bench::new();
    let one = DIRECT.replace("{ address = \"10.0.0.11\" }, { address = \"10.0.0.12\" }, ", "");
    bench.apply(&one).unwrap();
    bench.says(Answer::Refused);
    let nobody = bench.web();
    let Because::Nobody { backends } = &nobody.because else {
        panic!("{nobody:?}")
    };
    assert_eq!(backends[0].state, BackendState::Unreachable);
    assert!(backends[0].detail.as_ref().unwrap().contains("behind the router"), "{backends:?}");
}

fn flow(kind: u8, generation: u16, id: BackendId) -> TcFlow {
    TcFlow {
        protocol: Protocol::Tcp,
        client: CLIENT.parse().unwrap(),
        target: "10.0.0.100:80".parse().unwrap(),
        backend: id,
        generation,
        service: 0,
        state: "ESTABLISHED",
        kind,
        silent: Duration::from_secs(60),
    }
}

#[test]
fn the_programs_connections_come_first_unless_they_are_over() {
    let mut bench = Bench::new();
    bench.apply(DIRECT).unwrap();
    let ids: Vec<_> = bench.program().backends.keys().copied().collect();
    bench.says(Answer::Backend(ids[0]));
    let mut with = |flow: TcFlow| {
        bench.tc.0.lock().unwrap().flows = vec![flow];
        let found = bench.engine.explain(&packet(CLIENT, "10.0.0.100:80")).unwrap();
        (found.backend.unwrap().id, found.because)
    };
    let (id, because) = with(flow(STATE_ESTABLISHED, 0, ids[1]));
    assert_eq!(id, ids[1].0);
    assert!(matches!(because, Because::Connection { expires: 840, .. }), "{because:?}");
    for over in [flow(STATE_FIN, 0, ids[1]), flow(STATE_ESTABLISHED, 9, ids[1])] {
        let (id, because) = with(over);
        assert_eq!(id, ids[0].0);
        assert!(!matches!(because, Because::Connection { .. }), "{because:?}");
    }
}

#[test]
fn a_nat_backend_of_the_program_is_translated() {
    let mut bench = Bench::new();
    let mixed = DIRECT.replace("\"10.0.0.12\"", "\"10.0.0.12\", forward = \"nat\"");
    bench.apply(&mixed).unwrap();
    let nat = bench.engine.ids.get("web", "10.0.0.12".parse().unwrap()).unwrap();
    bench.says(Answer::Backend(nat));
    let there = bench.web();
    assert_eq!((backend(&there).as_str(), &there.then), ("10.0.0.12", &to("10.0.0.12:80", None)));
    assert_eq!(name(&there).2, Plane::Tc);
    // Past the program, nftables never sends a packet to the others.
    bench.says(Answer::NotOurs);
    let slots = bench.engine.desired.tables[&Family::V4].slots["slots-web"].clone();
    assert_ne!(slots[0], Some(nat));
    let unseen = bench.web();
    assert_eq!(unseen.because, Because::Unseen);
    assert!(matches!(unseen.then, Then::Refuse { .. }));
}

#[test]
fn clients_that_stay_are_told_by_what() {
    let mut bench = Bench::new();
    let kept = DIRECT.replace(
        "backend",
        "persistence = { timeout = \"6m\", mask = 24 }\n\
         pins = [{ client = \"198.51.100.0/24\", backend = \"10.0.0.12\" }]\nbackend",
    );
    bench.apply(&kept).unwrap();
    let program = bench.program();
    let ids: Vec<_> = program.backends.keys().copied().collect();
    let group = bench.first_group();
    let entry = PersistentEntry {
        group,
        client: [192, 0, 2, 0].into(),
        backend: ids[1].0,
        generation: 0,
        seen: 0,
        proved: true,
    };
    bench.tc.0.lock().unwrap().kept = vec![(entry, Duration::from_secs(60))];
    bench.says(Answer::Backend(ids[1]));
    let expected = Because::Persistence {
        client: "192.0.2.0/24".parse().unwrap(),
        expires: 300,
    };
    assert_eq!(bench.web().because, expected);
    let pinned = bench.explain("198.51.100.9:1", "10.0.0.100:80");
    let client: Prefix = "198.51.100.0/24".parse().unwrap();
    assert_eq!(pinned.because, Because::Pin { client });
}

#[test]
fn the_program_is_told_as_the_kernel_has_it() {
    let mut bench = Bench::new();
    assert!(matches!(bench.engine.program(), Err(ViewError::NoProgram)));
    bench.apply(DIRECT).unwrap();
    let program = bench.engine.program().unwrap();
    assert_eq!(program.listeners[0].listener, "tcp://10.0.0.100:80");
    let service = &program.services[0];
    assert_eq!((service.service.as_deref(), service.position, service.refused), (Some("web"), 42, 3));
    let ids: Vec<_> = program.backends.iter().map(|it| it.id).collect();
    let shares: Vec<_> = ids.iter().map(|id| Share { id: *id, slots: 128 }).collect();
    assert_eq!((service.slots, service.empty, &service.shares), (256, 0, &shares));
    assert!(matches!(program.backends[0].way, Way::Dr(_)));
    let views = bench.engine.backends(None).unwrap();
    assert!(matches!(views[0].way, Some(Way::Dr(_))) && views[2].way.is_none());
    // What the program refused, and what nftables refused of clients on the director.
    assert_eq!(bench.engine.services().unwrap()[0].refused, 3 + 4);
    let refused = bench.engine.status().refused;
    // Of the rules that count, those of the service's chain, of the backends' and of the base chains.
    let counts = ["no-backend", "not-forwarded", "unknown-backend", "closed-port"].map(|why| refused[why]);
    assert_eq!(counts, [4, 3 * 3, 2 * 3, 0], "{refused:?}");
}

/// What nftables remembers of clients is asked of the kernel by the map that the rules look at.
#[test]
fn clients_that_stay_with_nftables_are_found() {
    let mut bench = Bench::new();
    let kept = WEB.replace(
        "backend",
        "persistence = { timeout = \"6m\", mask = 24 }\n\
         pins = [{ client = \"198.51.100.0/24\", backend = \"10.1.0.12:80\" }]\nbackend",
    );
    bench.apply(&kept).unwrap();
    let new = bench.web();
    assert!(matches!(new.because, Because::Schedule(_)) && backend(&new) == "10.1.0.11:80", "{new:?}");
    let map = IdMap::Persist("web".into());
    let ids = [(Key::Address([192, 0, 2, 0].into()), BackendId(2))].into();
    let kernel = bench.kernel.clone();
    kernel.lock().unwrap().remembered.insert((Family::V4, map), ids);
    let known = bench.web();
    let expected = Because::Persistence {
        client: "192.0.2.0/24".parse().unwrap(),
        expires: 60,
    };
    assert_eq!((backend(&known).as_str(), known.because), ("10.1.0.12:80", expected));
    let pinned = bench.explain("198.51.100.9:1", "10.0.0.100:80");
    let client: Prefix = "198.51.100.0/24".parse().unwrap();
    assert_eq!((backend(&pinned).as_str(), pinned.because), ("10.1.0.12:80", Because::Pin { client }));
}
