//! What stays in the kernel between one director and the next.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::packet::{ACK, Ip, SYN, TCP, tcp};
use common::serve::{target, two, v4, v6, way, way_of};
use common::{Sandbox, address};
use wvs_tc_bpf::{
    Attached, Family, Forwarder, Hook, Kind, Listen, Maps, Method, PinLock, ServiceSettings, Target, Way,
};

/// What was pinned survives the loader, and what does not fit is refused in words.
#[test]
fn pins_are_reused_or_refused() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    two(forwarder.maps());
    assert_eq!(way_of(&forwarder, &v4(TCP), &tcp(1, 80, SYN, b"")), 9);
    drop(forwarder);
    let forwarder = sandbox.load();
    assert_eq!(way_of(&forwarder, &v4(TCP), &tcp(1, 80, ACK, b"")), 9);
    assert_eq!(Maps::open(&sandbox.pins()).unwrap().listeners().unwrap().len(), 4);
    drop(forwarder);

    let larger = wvs_tc_bpf::Sizes {
        flows4: 1 << 17,
        ..common::small()
    };
    let error = Forwarder::load(&sandbox.pins(), &larger).unwrap_err().to_string();
    assert!(error.contains("flows4 has room for 65536 entries, 131072 are configured"), "{error}");

    std::fs::create_dir(sandbox.pins().join("v0")).unwrap();
    let error = Forwarder::load(&sandbox.pins(), &common::small())
        .unwrap_err()
        .to_string();
    assert!(error.contains("wvs/v0 holds the state of a wvs with another layout"), "{error}");
    std::fs::remove_dir(sandbox.pins().join("v0")).unwrap();

    let plain = tempfile::tempdir().unwrap();
    let error = Forwarder::load(plain.path(), &common::small())
        .unwrap_err()
        .to_string();
    assert!(error.contains("is on no BPF file system: mount -t bpf bpf "), "{error}");

    let mut forwarder = sandbox.load();
    assert!(
        forwarder
            .attach("nowhere")
            .unwrap_err()
            .to_string()
            .contains("no interface nowhere")
    );
    forwarder.attach("lo").unwrap();
    let backend = target(Method::DirectRouting, "10.0.0.9", "");
    let error = forwarder
        .maps()
        .set_backend(300, &backend)
        .unwrap_err()
        .to_string();
    assert!(error.contains("backend 300 is beyond the 256"), "{error}");
    let error = forwarder
        .maps()
        .set_backend(3, &Target { way: None, ..backend })
        .unwrap_err()
        .to_string();
    assert!(error.contains("backend 3 has no way"), "{error}");
    Forwarder::teardown(&sandbox.pins()).unwrap();
    assert!(Forwarder::attachments(&sandbox.pins()).unwrap().is_empty());
    assert!(Maps::open(&sandbox.pins()).is_err());
}

/// Tables cannot grow; connections can move to larger ones.
#[test]
fn connections_move_to_tables_of_another_size() {
    let sandbox = Sandbox::enter();
    let send =
        |forwarder: &Forwarder, ip: &Ip, port, flags| way_of(forwarder, ip, &tcp(port, 80, flags, b""));
    let forwarder = sandbox.load();
    two(forwarder.maps());
    let mut ways = Vec::new();
    for ip in [v4(TCP), v6(TCP)] {
        for port in 1..100 {
            send(&forwarder, &ip, port, SYN);
            ways.push(send(&forwarder, &ip, port, ACK));
        }
        send(&forwarder, &ip, 100, SYN);
    }
    let flows = forwarder.maps().flows().unwrap();
    drop(forwarder);
    Forwarder::teardown(&sandbox.pins()).unwrap();
    let larger = wvs_tc_bpf::Sizes {
        flows4: 1 << 17,
        flows6: 1 << 17,
        ..common::small()
    };
    let forwarder = Forwarder::load(&sandbox.pins(), &larger).unwrap();
    two(forwarder.maps());
    forwarder.maps().restore_flows(&flows).unwrap();
    let ips = [v4(TCP), v6(TCP)];
    let after = ips
        .iter()
        .flat_map(|ip| (1..100).map(|port| send(&forwarder, ip, port, ACK)));
    assert!(after.collect::<Vec<_>>() == ways);
    assert_eq!((flows.len(), forwarder.maps().flows().unwrap().len()), (200, 198));
}

/// A director that comes new to it can read everything that another has set.
#[test]
fn what_is_installed_can_be_read_back() {
    let sandbox = Sandbox::enter();
    let maps = sandbox.load();
    let maps = maps.maps();
    let way = way("10.1.0.1").unwrap();
    let backends = BTreeMap::from([
        (
            3,
            Target {
                way: None,
                ..target(Method::Nat, "10.0.0.3", "")
            },
        ),
        (
            4,
            Target {
                way: None,
                ..target(Method::Local, "fd00::4", "")
            },
        ),
        (5, target(Method::DirectRouting, "10.0.0.5", "")),
        (
            255,
            Target {
                way: Some(Way { macs: None, ..way }),
                ..target(Method::Tunnel, "10.1.0.9", "")
            },
        ),
    ]);
    for (id, target) in &backends {
        maps.set_backend(*id, target).unwrap();
    }
    let services = BTreeMap::from([0, 7, 15].map(|service| {
        (
            service,
            ServiceSettings {
                one_packet: service == 7,
                ..ServiceSettings::default()
            },
        )
    }));
    let slots: Vec<_> = (0..10_000)
        .map(|slot| (slot % 3 > 0).then_some(slot % 251 + 1))
        .collect();
    for (service, settings) in &services {
        maps.set_service(*service, settings).unwrap();
        maps.set_table(*service, Kind::SourceAndPort, *service, &slots[*service as usize..])
            .unwrap();
        maps.set_listener(Listen::Address(address("10.0.0.100"), TCP, 80 + *service as u16), *service)
            .unwrap();
    }
    maps.set_listener(Listen::Mark(Family::V6, 9), 7).unwrap();
    drop(sandbox.load());

    let again = Maps::open(&sandbox.pins()).unwrap();
    assert_eq!(again.backends().unwrap(), backends);
    assert_eq!(again.services().unwrap(), services);
    assert_eq!(again.listeners().unwrap().len(), 4);
    assert_eq!(again.settings().unwrap().marks, 1);
    for service in services.keys() {
        let table = again.table(*service).unwrap().unwrap();
        assert_eq!((table.kind, table.seed), (Kind::SourceAndPort, *service));
        assert!(table.slots == slots[*service as usize..]);
    }
    assert_eq!(again.table(1).unwrap(), None);
    again.remove_backend(4).unwrap();
    again.remove_service(7).unwrap();
    assert_eq!(again.backends().unwrap().len(), 3);
    assert_eq!(again.services().unwrap().len(), 2);
    assert_eq!((again.table(7).unwrap(), again.cycle(7).unwrap()), (None, 0));
}

#[test]
fn one_director_for_one_pin_directory() {
    let sandbox = Sandbox::enter();
    let lock = PinLock::take(&sandbox.pins()).unwrap();
    let forwarder = sandbox.load();
    let error = PinLock::take(&sandbox.pins()).unwrap_err().to_string();
    let holder = format!(
        "process {} uses the pin directory {}: stop it",
        std::process::id(),
        sandbox.pins().display()
    );
    assert!(error.contains(&holder), "{error}");
    let other = PinLock::take(&sandbox.pins().with_file_name("other")).unwrap();
    drop((lock, other, forwarder));
    Forwarder::teardown(&sandbox.pins()).unwrap();
    PinLock::take(&sandbox.pins()).unwrap();
}

/// What a director needs to know to mend it: which program is at work at which interface, and what else is there.
fn attachments_are_listed(attach: fn(&mut Forwarder, &str) -> Attached) {
    let sandbox = Sandbox::enter();
    let pins = sandbox.pins();
    let list = || Forwarder::attachments(&pins).unwrap();
    let seen = || {
        list()
            .into_iter()
            .map(|found| (found.interface, found.program))
            .collect::<Vec<_>>()
    };
    let mut forwarder = sandbox.load();
    let decapsulator = &mut wvs_tc_bpf::Decapsulator::load(&sandbox.pins()).unwrap();
    for name in ["one", "two.5"] {
        common::ip(&format!("link add {name} type veth peer name peer-{name}"));
    }
    // Kernels before 6.6 have no TCX.
    let Attached::New(hook) = attach(&mut forwarder, "one") else {
        panic!("nothing was there")
    };
    assert_eq!(attach(&mut forwarder, "two.5"), Attached::New(hook));
    let program = Some(forwarder.program().unwrap());
    assert_eq!(seen(), [("one".into(), program), ("two.5".into(), program)]);
    assert!(list().iter().all(|found| found.hook == hook && found.ifindex > 0));
    let at_one = |interface| -> Vec<_> {
        let all = Forwarder::at_ingress(&pins, interface).unwrap();
        all.into_iter()
            .map(|found| (found.name, found.hook, found.program, found.ours))
            .collect()
    };
    assert_eq!(at_one("one"), [("wvs_ingress".into(), hook, program, true)]);
    // Somebody else's is listed, and is not ours.
    if hook == Hook::Tcx {
        decapsulator.attach("one").unwrap();
        let [ours, other] = &at_one("one")[..] else {
            panic!("{:?}", at_one("one"))
        };
        assert_eq!((ours.3, other.0.as_str(), other.3), (true, "wvs_decap", false));
        wvs_tc_bpf::Decapsulator::detach(&pins, "one").unwrap();
    }
    assert!(at_one("peer-one").is_empty());
    // A renamed interface keeps its program, and gets no second one.
    common::ip("link set one name renamed");
    assert_eq!(seen()[0], ("renamed".into(), program));
    assert_eq!(attach(&mut forwarder, "renamed"), Attached::Replaced(hook));
    // A newer program is another number.
    let mut newer = sandbox.load();
    assert_ne!(Some(newer.program().unwrap()), program);
    assert_eq!(attach(&mut newer, "renamed"), Attached::Replaced(hook));
    assert_eq!(
        seen(),
        [
            ("renamed".into(), newer.program().ok()),
            ("two.5".into(), program)
        ]
    );
    // What has gone is known as such, and a new interface of its name starts anew.
    common::ip("link del two.5");
    assert_eq!(seen()[1], ("two.5".into(), None));
    common::ip("link add two.5 type veth peer name peer-two.5");
    assert_eq!(seen()[1], ("two.5".into(), None));
    assert_eq!(attach(&mut newer, "two.5"), Attached::New(hook));
    assert_eq!(list().len(), 2);
    // Detaching, by name and by number.
    let index = list()[0].ifindex;
    assert!(Forwarder::detach_index(&pins, index).unwrap());
    assert!(!Forwarder::detach_index(&pins, index).unwrap());
    assert!(at_one("renamed").is_empty());
    common::ip("link del two.5");
    assert!(Forwarder::detach(&pins, "two.5").unwrap());
    assert!(!Forwarder::detach(&pins, "two.5").unwrap());
    assert!(list().is_empty());
}

#[test]
fn attachments_by_tcx() {
    attachments_are_listed(|forwarder, name| forwarder.attach(name).unwrap());
}

#[test]
fn attachments_by_clsact() {
    attachments_are_listed(|forwarder, name| forwarder.attach_clsact(name).unwrap());
}

/// Somebody removes the filter behind our back.
#[test]
fn what_somebody_else_detached_is_attached_anew() {
    let sandbox = Sandbox::enter();
    let mut forwarder = sandbox.load();
    assert_eq!(forwarder.attach_clsact("lo").unwrap(), Attached::New(Hook::Clsact));
    common::run("tc", "qdisc del dev lo clsact");
    let found = Forwarder::attachments(&sandbox.pins()).unwrap();
    assert_eq!((found.len(), found[0].program), (1, None));
    assert_eq!(forwarder.attach_clsact("lo").unwrap(), Attached::New(Hook::Clsact));
    let found = Forwarder::attachments(&sandbox.pins()).unwrap();
    assert_eq!((found.len(), found[0].program), (1, forwarder.program().ok()));
}
