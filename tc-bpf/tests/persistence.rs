//! Clients that keep their backends, and clients that are pinned (BPF_PROG_TEST_RUN).
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use common::packet::{ACK, Ip, SYN, TCP, UDP, tcp, udp};
use common::serve::{SEED, target, two, way_of};
use common::{Sandbox, address};
use wvs_tc_bpf::{
    Forwarder, Kin, Kind, Listen, Maps, Method, Persistence, Pin, ServiceSettings, Target, Timeouts, Way,
    WhenQuiesced,
};

const KEPT: Persistence = Persistence {
    group: 3,
    shared: false,
    timeout: Duration::from_secs(300),
    mask: 24,
    mask6: 64,
    when_quiesced: WhenQuiesced::Keep,
};

fn persistent(kept: Persistence) -> ServiceSettings {
    ServiceSettings {
        persistence: Some(kept),
        ..ServiceSettings::default()
    }
}

/// A SYN of a client: the way it goes.
fn syn(forwarder: &Forwarder, from: &str, port: u16) -> u8 {
    segment(forwarder, from, port, SYN)
}

fn segment(forwarder: &Forwarder, from: &str, port: u16, flags: u8) -> u8 {
    let from = address(from);
    let vip = address(if from.is_ipv4() {
        "10.0.0.100"
    } else {
        "2001:db8::100"
    });
    way_of(forwarder, &Ip::new(from, vip, TCP), &tcp(port, 80, flags, b""))
}

/// The clients that are known, and whether they have proved themselves.
fn clients(maps: &Maps) -> Vec<(u16, String, u16, bool)> {
    let entries = maps.persistent_entries().unwrap();
    entries
        .iter()
        .map(|entry| (entry.group, entry.client.to_string(), entry.backend, entry.proved))
        .collect()
}

fn quiesce(maps: &Maps, id: u16, quiesced: bool) {
    let backend = Target {
        quiesced,
        ..maps.backends().unwrap()[&id]
    };
    maps.set_backend(id, &backend).unwrap();
}

#[test]
fn a_client_keeps_its_backend() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    maps.set_service(1, &persistent(KEPT)).unwrap();
    let syn = |from, port| syn(&forwarder, from, port);
    for port in 1..10 {
        assert_eq!([syn("192.0.2.1", port), syn("192.0.3.1", port)], [9, 8]);
        assert_eq!([syn("2001:db8:1::1", port), syn("2001:db8:1:1::1", port)], [9, 8]);
        // Neighbours, by the masks.
        assert_eq!([syn("192.0.2.77", port), syn("2001:db8:1::7:7", port)], [9, 9]);
    }
    let known = |proved| {
        let client = |name: &str, backend| (3, name.to_owned(), backend, proved);
        [
            client("192.0.2.0", 7),
            client("192.0.3.0", 8),
            client("2001:db8:1::", 7),
            client("2001:db8:1:1::", 8),
        ]
    };
    assert_eq!(clients(maps), known(false));
    // Each table chose once for each client.
    assert_eq!(maps.cycle(1).unwrap(), 4);
    for from in ["192.0.2.1", "192.0.3.1", "2001:db8:1::1", "2001:db8:1:1::1"] {
        segment(&forwarder, from, 1, ACK);
    }
    assert_eq!(clients(maps), known(true));
    // Another service of the group knows the clients, one of another group does not.
    for (service, group) in [(2, 3), (3, 4)] {
        maps.set_table(service, Kind::Cycle, SEED, &[Some(8)]).unwrap();
        maps.set_service(service, &persistent(Persistence { group, ..KEPT }))
            .unwrap();
        maps.set_listener(Listen::Address(address("10.0.0.100"), TCP, 80), service)
            .unwrap();
        assert_eq!(syn("192.0.2.5", 100 + service as u16), if group == 3 { 9 } else { 8 });
    }
    // Even a director that has lost its connections sends their packets where their client belongs.
    maps.set_listener(Listen::Address(address("10.0.0.100"), TCP, 80), 1)
        .unwrap();
    maps.cut(7).unwrap();
    for port in 1..10 {
        assert_eq!(segment(&forwarder, "192.0.2.1", port, ACK), 9);
    }
    maps.set_service(1, &ServiceSettings::default()).unwrap();
    let ways: BTreeSet<_> = (200..210).map(|port| syn("192.0.2.1", port)).collect();
    assert_eq!(ways, [8, 9].into());
}

/// Waits until the kernel's clock has gone on by so many ticks.
fn wait(maps: &Maps, ticks: u32) {
    let begin = maps.now().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while maps.now().unwrap().wrapping_sub(begin) <= ticks {
        assert!(Instant::now() < end, "the kernel's clock stands");
        std::thread::yield_now();
    }
}

#[test]
fn time_ends_it_and_connections_renew_it() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    let seen = || maps.persistent_entries().unwrap()[0].seen;
    maps.set_service(1, &persistent(KEPT)).unwrap();
    assert_eq!(syn(&forwarder, "192.0.2.1", 1), 9);
    assert_eq!(segment(&forwarder, "192.0.2.1", 1, ACK), 9);
    let first = seen();
    wait(maps, 2);
    segment(&forwarder, "192.0.2.1", 1, ACK);
    assert_eq!(seen(), first, "packets of a connection renew nothing");
    syn(&forwarder, "192.0.2.1", 2);
    assert!(seen() > first);
    let brief = Persistence {
        timeout: wvs_tc_bpf::tick(),
        ..KEPT
    };
    maps.set_service(1, &persistent(brief)).unwrap();
    wait(maps, 2);
    // It is over: the table chooses, and the client has another backend from now on.
    let last = syn(&forwarder, "192.0.2.1", 3);
    assert_eq!(last, 8);
    let sweep = |now| maps.sweep(|_| Timeouts::default(), now).unwrap().forgotten;
    let now = seen();
    assert_eq!((sweep(now), sweep(now + 1)), (0, 0));
    assert_eq!((sweep(now + 2), clients(maps).len()), (1, 0));
    // Clients of a group that no service has any more are forgotten, too.
    maps.set_service(1, &persistent(KEPT)).unwrap();
    syn(&forwarder, "192.0.2.1", 4);
    assert_eq!((sweep(seen()), clients(maps).len()), (0, 1));
    maps.set_service(1, &ServiceSettings::default()).unwrap();
    assert_eq!((sweep(seen()), clients(maps).len()), (1, 0));
}

#[test]
fn a_backend_that_is_gone_or_quiesced() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    maps.set_service(1, &persistent(KEPT)).unwrap();
    let mut port = 0;
    let mut syn = |from| {
        port += 1;
        syn(&forwarder, from, port)
    };
    assert_eq!([syn("192.0.2.1"), syn("192.0.3.1")], [9, 8]);
    // A drained backend: the table does not name it, its clients keep it or not.
    quiesce(maps, 7, true);
    maps.set_table(1, Kind::Cycle, SEED, &[Some(8)]).unwrap();
    assert_eq!([syn("192.0.2.1"), syn("192.0.4.1")], [9, 8]);
    let expire = Persistence {
        when_quiesced: WhenQuiesced::Expire,
        ..KEPT
    };
    maps.set_service(1, &persistent(expire)).unwrap();
    assert_eq!(syn("192.0.2.1"), 8);
    // It has moved: the old backend's return changes nothing.
    quiesce(maps, 7, false);
    assert_eq!(syn("192.0.2.1"), 8);
    // The operator lets a backend's clients go.
    maps.set_table(1, Kind::Cycle, SEED, &[Some(7)]).unwrap();
    assert_eq!(maps.forget_persistent(8).unwrap(), 3);
    assert_eq!([syn("192.0.2.1"), syn("192.0.3.1")], [9, 9]);
    // The id means another backend; or none.
    let other = Target {
        generation: 2,
        ..target(Method::DirectRouting, "10.0.0.7", "")
    };
    maps.set_backend(7, &other).unwrap();
    maps.set_table(1, Kind::Cycle, SEED, &[Some(8)]).unwrap();
    assert_eq!(syn("192.0.2.1"), 8);
    maps.remove_backend(8).unwrap();
    maps.set_table(1, Kind::Cycle, SEED, &[Some(7)]).unwrap();
    assert_eq!(syn("192.0.2.1"), 9);
}

#[test]
fn pins_come_first() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    let pin = |client: &str, prefix, backend| Pin {
        client: address(client),
        prefix,
        backend,
        generation: 1,
    };
    let kept = Some(Persistence { mask: 8, ..KEPT });
    let settings = ServiceSettings {
        persistence: kept,
        pins: true,
        ..ServiceSettings::default()
    };
    maps.set_service(1, &settings).unwrap();
    maps.set_table(1, Kind::Cycle, SEED, &[Some(7)]).unwrap();
    let pins = [
        pin("10.9.0.0", 16, 8),
        pin("10.9.8.0", 24, 7),
        pin("10.9.8.7", 32, 8),
        pin("2001:db8:9::", 48, 8),
    ];
    maps.set_pins(1, &pins).unwrap();
    maps.set_pins(2, &[pin("0.0.0.0", 0, 8)]).unwrap();
    let mut port = 0;
    let mut ways = || {
        port += 1;
        [
            "10.9.1.1",
            "10.9.8.1",
            "10.9.8.7",
            "10.8.0.1",
            "2001:db8:9:1::1",
            "2001:db8:a::1",
        ]
        .map(|from| syn(&forwarder, from, port))
    };
    assert_eq!(ways(), [8, 9, 8, 9, 8, 9]);
    // No pin makes a client persistent, and persistence does not outdo a pin.
    assert_eq!(clients(maps).len(), 2);
    assert_eq!(ways(), [8, 9, 8, 9, 8, 9]);
    let mut sorted = pins.to_vec();
    sorted.sort();
    assert_eq!(maps.pins(1).unwrap(), sorted);
    // A drained backend keeps its pins unless told otherwise; a void pin is none.
    quiesce(maps, 8, true);
    assert_eq!(ways(), [8, 9, 8, 9, 8, 9]);
    let expire = Persistence {
        when_quiesced: WhenQuiesced::Expire,
        ..KEPT
    };
    maps.set_service(
        1,
        &ServiceSettings {
            persistence: Some(expire),
            ..settings
        },
    )
    .unwrap();
    assert_eq!(ways(), [9; 6]);
    maps.set_service(1, &settings).unwrap();
    quiesce(maps, 8, false);
    maps.set_pins(
        1,
        &[
            Pin {
                generation: 2,
                ..pins[2]
            },
            pin("10.8.0.0", 13, 8),
        ],
    )
    .unwrap();
    maps.forget_persistent(7).unwrap();
    assert_eq!(ways(), [8, 8, 9, 8, 9, 9]);
    // Pins that the service does not know of are not looked at.
    maps.set_service(1, &ServiceSettings::default()).unwrap();
    assert_eq!(ways(), [9; 6]);
    maps.remove_service(1).unwrap();
    assert_eq!((maps.pins(1).unwrap().len(), maps.pins(2).unwrap().len()), (0, 1));
}

/// Twenty times as many forged clients as there is room for drive out none that has had a second packet.
#[test]
fn a_flood_drives_no_client_away() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    maps.set_service(1, &persistent(Persistence { mask: 32, ..KEPT }))
        .unwrap();
    let syns = |port: u16| -> Vec<u8> {
        (0..1_000_u32)
            .map(|index| {
                let from = IpAddr::from((0x0a09_0000 + index).to_be_bytes()).to_string();
                segment(&forwarder, &from, port, SYN);
                segment(&forwarder, &from, port, ACK)
            })
            .collect()
    };
    let before = syns(1);
    let room = common::small().persistent;
    let vip = address("10.0.0.100");
    for index in 0..20 * room {
        let from = (0xc612_0000 + index).to_be_bytes().into();
        assert!(way_of(&forwarder, &Ip::new(from, vip, UDP), &udp(1, 80, b"x")) > 0);
    }
    assert!(before == syns(2));
    let proved = maps.persistent_entries().unwrap();
    assert_eq!(proved.iter().filter(|entry| entry.proved).count(), 1_000);
}

/// Datagrams that are scheduled one by one go where their client belongs.
#[test]
fn single_datagrams_of_a_client_stay_together() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    let settings = ServiceSettings {
        one_packet: true,
        ..persistent(KEPT)
    };
    maps.set_service(1, &settings).unwrap();
    let send =
        |from| way_of(&forwarder, &Ip::new(address(from), address("10.0.0.100"), UDP), &udp(1, 80, b"x"));
    for _ in 0..5 {
        assert_eq!([send("192.0.2.1"), send("192.0.3.1")], [9, 8]);
    }
    assert!(maps.flows().unwrap().is_empty());
}

/// Services of a group have backends of their own: a client that one of them has sent to a real server gets the other's
/// backend on the same.
#[test]
fn a_group_keeps_the_server_and_not_the_id() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    // Service 1 has the backends 7 and 8, service 2 has 17 and 18 on the same hosts.
    two(maps);
    for id in [17, 18] {
        let mut secure = target(Method::DirectRouting, "10.0.0.9", "");
        secure.way = secure.way.map(|way| Way {
            macs: Some(([2, 0, 0, 0, 0, id], [2; 6])),
            ..way
        });
        maps.set_backend(id.into(), &secure).unwrap();
    }
    maps.set_table(2, Kind::Cycle, SEED, &[Some(17), Some(18)])
        .unwrap();
    let vip = address("10.0.0.100");
    maps.set_listener(Listen::Address(vip, TCP, 443), 2).unwrap();
    let kin = |of, backend| Kin {
        of,
        backend,
        generation: maps.backends().unwrap()[&backend].generation,
    };
    let shared = persistent(Persistence { shared: true, ..KEPT });
    for service in [1, 2] {
        maps.set_service(service, &shared).unwrap();
    }
    let plain = [kin(7, 7), kin(8, 8), kin(17, 7), kin(18, 8)];
    let secure = [kin(7, 17), kin(8, 18), kin(17, 17), kin(18, 18)];
    maps.set_kin(1, &plain).unwrap();
    maps.set_kin(2, &secure).unwrap();
    assert_eq!(maps.kin(2).unwrap(), secure);

    let from = |client: u8| address(&format!("10.9.{client}.1"));
    let way = |client, port, to| {
        let ip = Ip::new(from(client), vip, TCP);
        way_of(&forwarder, &ip, &tcp(port, to, SYN, b""))
    };
    for client in 0..8 {
        // By the last byte of the address that it is sent to; 9 is backend 7.
        let secure = if way(client, 1000, 80) == 9 { 17 } else { 18 };
        assert_eq!(way(client, 1001, 443), secure);
        assert_eq!(way(client, 1002, 80), if secure == 17 { 9 } else { 8 });
        assert_eq!(way(client, 1003, 443), secure);
    }
    // A service that lacks the server chooses anew, for the whole group.
    maps.set_table(2, Kind::Cycle, SEED, &[Some(17)]).unwrap();
    maps.set_kin(2, &[kin(7, 17), kin(17, 17)]).unwrap();
    for client in 0..8 {
        assert_eq!((way(client, 1004, 443), way(client, 1005, 80)), (17, 9));
    }
}
