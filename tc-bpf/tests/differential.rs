//! The loaded program and its model get the same packets in the same order, and must agree on each: verdict, bytes,
//! and what was counted. WVS_FUZZ_CASES says how many packets (20,000 unless told).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::packet::{Ip, TCP, UDP, framed, tcp, udp};
use common::{Sandbox, address, chain};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wvs_tc_bpf::model::{Model, Outcome};
use wvs_tc_bpf::{
    Forwarder, Kind, Listen, Meta, Method, Persistence, Pin, ServiceSettings, Target, Way, WhenQuiesced,
};

const SEED: u32 = 0x7776_7300;
/// The last one is no service's.
const VIPS4: [&str; 3] = ["10.0.0.100", "10.0.0.101", "10.0.0.102"];
const VIPS6: [&str; 3] = ["2001:db8::100", "2001:db8::101", "2001:db8::102"];
const CLIENTS4: [&str; 3] = ["192.0.2.1", "192.0.2.2", "203.0.113.77"];
const CLIENTS6: [&str; 3] = ["2001:db8:1::1", "2001:db8:1::2", "2001:db8:2:3:4:5:6:7"];

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Packet(Vec<u8>, u32),
    Backend(u16, Target),
    Gone(u16),
    Table(u32, Kind, Vec<Option<u16>>),
    Service(u32, ServiceSettings),
    Pins(u16, Vec<Pin>),
    Forget(u16),
}

fn target() -> impl Strategy<Value = Target> {
    let method = prop_oneof![
        4 => Just(Method::DirectRouting), 6 => Just(Method::Tunnel), 1 => Just(Method::Nat), 1 => Just(Method::Local)
    ];
    let mtu = prop_oneof![3 => Just(1500_u16), 1 => 100_u16..400];
    let quiesced = prop_oneof![4 => Just(false), 1 => Just(true)];
    (method, any::<bool>(), 1_u16..3, mtu, any::<bool>(), any::<u8>(), quiesced).prop_map(
        |(method, v6, generation, mtu, macs, last, quiesced)| Target {
            method,
            address: address(&if v6 {
                format!("fd00::{last:x}")
            } else {
                format!("10.1.0.{last}")
            }),
            generation,
            way: Some(Way {
                ifindex: 1,
                mtu,
                macs: macs.then_some(([2, 0, 0, 0, 1, last], [2, 0, 0, 0, 2, last])),
                source: Some(address(if v6 { "fd00::1" } else { "10.1.0.1" })),
            }),
            quiesced,
        },
    )
}

fn table() -> impl Strategy<Value = (Kind, Vec<Option<u16>>)> {
    let kind = prop::sample::select(vec![
        Kind::Cycle,
        Kind::Source,
        Kind::SourceAndPort,
        Kind::Destination,
        Kind::Both,
    ]);
    let slot = prop_oneof![9 => (1_u16..5).prop_map(Some), 1 => Just(None)];
    (kind, prop::collection::vec(slot, 1..20))
}

fn settings() -> impl Strategy<Value = ServiceSettings> {
    let masks = (
        prop::sample::select(vec![0_u8, 24, 31, 32]),
        prop::sample::select(vec![0_u8, 48, 127, 128]),
    );
    let kept = (0_u16..2, masks, any::<bool>()).prop_map(|(group, (mask, mask6), keep)| Persistence {
        group,
        // The model knows no time.
        timeout: Duration::from_secs(10_000),
        mask,
        mask6,
        when_quiesced: if keep {
            WhenQuiesced::Keep
        } else {
            WhenQuiesced::Expire
        },
    });
    (prop::option::of(kept), any::<bool>(), any::<bool>()).prop_map(|(persistence, one_packet, pins)| {
        ServiceSettings {
            one_packet,
            persistence,
            pins,
        }
    })
}

fn pins() -> impl Strategy<Value = Vec<Pin>> {
    let client = prop::sample::select([CLIENTS4, CLIENTS6].concat());
    let pin =
        (client, 0_u8..=128, 1_u16..5, 1_u16..3).prop_map(|(client, prefix, backend, generation)| Pin {
            client: address(client),
            prefix: if client.contains(':') { prefix } else { prefix / 4 },
            backend,
            generation,
        });
    prop::collection::vec(pin, 0..4).prop_map(|mut pins| {
        // Of two pins of one prefix, one holds; which one, the model would have to be told.
        let network = |pin: &Pin| (pin.client.is_ipv4(), pin.prefix);
        pins.sort_by_key(network);
        pins.dedup_by_key(|pin| network(pin));
        pins
    })
}

fn ends() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    (any::<bool>(), 0_usize..3, prop_oneof![9 => 0_usize..2, 1 => Just(2_usize)]).prop_map(
        |(v6, client, vip)| {
            if v6 {
                (address(CLIENTS6[client]), address(VIPS6[vip]))
            } else {
                (address(CLIENTS4[client]), address(VIPS4[vip]))
            }
        },
    )
}

/// The transport's part, for a protocol.
fn transport() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let sport = 1000_u16..1004;
    let dport = prop_oneof![6 => Just(80_u16), 1 => Just(81), 1 => Just(443)];
    let flags = prop_oneof![4 => Just(2_u8), 6 => Just(16), 2 => Just(17), 1 => Just(4), 1 => Just(20), 1 => any::<u8>()];
    let size = prop_oneof![6 => 0_usize..40, 1 => 0_usize..1300];
    (sport, dport, flags, size, 0..10).prop_map(|(sport, dport, flags, size, which)| match which {
        0..=5 => (TCP, tcp(sport, dport, flags, &vec![7; size])),
        6..=8 => (UDP, udp(sport, dport, &vec![7; size])),
        _ => (132, [&sport.to_be_bytes()[..], &dport.to_be_bytes(), &vec![3; size + 4]].concat()),
    })
}

fn header() -> impl Strategy<Value = Ip> {
    let fragment = prop_oneof![
        12 => Just((false, 0_u16)), 1 => Just((true, 0)), 1 => Just((true, 3)), 1 => Just((false, 5))
    ];
    let ttl = prop_oneof![12 => 2_u8.., 1 => 0_u8..2];
    let options = prop_oneof![8 => Just(0_usize), 1 => 1_usize..11];
    let extension = (prop::sample::select(vec![0_u8, 43, 44, 51, 60]), 0_usize..3, any::<u8>());
    let extensions = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(extension, 1..7)];
    (ends(), ttl, any::<u8>(), any::<bool>(), 0_u16..3, fragment, options, extensions).prop_map(
        |((from, to), ttl, tos, df, id, fragment, options, extensions)| Ip {
            ttl,
            tos,
            df,
            id,
            fragment,
            options: vec![1; options * 4],
            extensions: extensions
                .into_iter()
                .map(|(kind, size, byte)| (kind, extension_header(kind, size, byte)))
                .collect(),
            ..Ip::new(from, to, 0)
        },
    )
}

fn extension_header(kind: u8, size: usize, byte: u8) -> Vec<u8> {
    let id = byte % 3;
    match kind {
        // Whole, first, middle and last fragments.
        44 => vec![0, 0, 0, [0, 1, 0x19, 0x18][usize::from(byte % 4)], 0, 0, 0, id],
        51 => {
            let mut header = vec![9; 12 + size * 4];
            header[1] = (header.len() / 4 - 2) as u8;
            header
        }
        _ => {
            let mut header = vec![0; 8 + size * 8];
            header[1] = size as u8;
            header[3] = u8::from(byte.is_multiple_of(8));
            header
        }
    }
}

/// An ICMP error about a packet that a server sent to a client.
fn icmp() -> impl Strategy<Value = (Ip, Vec<u8>)> {
    let kind = prop::sample::select(vec![1_u8, 2, 3, 4, 8, 11, 12]);
    (ends(), transport(), kind, 0_usize..60, any::<bool>()).prop_map(
        |((client, vip), (proto, mut l4), kind, cut, v6_options)| {
            // The quoted packet went the other way.
            let (a, b) = l4.split_at_mut(2);
            a.swap_with_slice(&mut b[..2]);
            let mut inner = Ip::new(vip, client, proto);
            if v6_options && vip.is_ipv4() {
                inner.options = vec![1; 8];
            }
            let mut quoted = inner.with(&l4);
            let least = quoted.len().min(20);
            quoted.truncate(quoted.len().saturating_sub(cut).max(least));
            let message = [&[kind, 4, 0, 0, 0, 0, 5, 0][..], &quoted].concat();
            let router = if vip.is_ipv4() {
                address("198.51.100.1")
            } else {
                address("2001:db8:9::1")
            };
            (Ip::new(router, vip, if vip.is_ipv4() { 1 } else { 58 }), message)
        },
    )
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let plain = (header(), transport()).prop_map(|(ip, (proto, l4))| Ip { proto, ..ip }.with(&l4));
    let errors = icmp().prop_map(|(ip, message)| ip.with(&message));
    let bytes = prop_oneof![8 => plain, 1 => errors];
    let tags = prop_oneof![
        8 => Just(vec![]), 1 => Just(vec![(0x8100_u16, 7_u16)]), 1 => Just(vec![(0x88a8, 7), (0x8100, 9)])
    ];
    let to = prop_oneof![30 => Just([0; 6]), 1 => Just([2, 0, 0, 0, 0, 7])];
    // What is cut off, what is behind, and which bytes are damaged.
    let cut = prop_oneof![12 => Just(None), 1 => (0.0_f64..1.0).prop_map(Some)];
    let damage = prop_oneof![12 => Just(None), 1 => (0.0_f64..1.0, any::<u8>()).prop_map(Some)];
    (bytes, tags, to, cut, damage, prop_oneof![6 => Just(0_usize), 1 => 1_usize..30]).prop_map(
        |(ip, tags, to, cut, damage, behind)| {
            let mut frame = framed(to, [2, 0, 0, 0, 0, 5], &tags, &ip);
            frame.extend(vec![0xee; behind]);
            if let Some(part) = cut {
                frame.truncate(14 + ((frame.len() - 14) as f64 * part) as usize);
            }
            if let Some((part, byte)) = damage {
                let at = 12 + ((frame.len() - 12) as f64 * part) as usize;
                frame[at] = byte;
            }
            frame
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let mark = prop_oneof![9 => Just(0_u32), 1 => Just(5_u32), 1 => Just(6)];
    prop_oneof![
        200 => (packet(), mark).prop_map(|(packet, mark)| Step::Packet(packet, mark)),
        2 => (1_u16..5, target()).prop_map(|(id, target)| Step::Backend(id, target)),
        1 => (1_u16..5).prop_map(Step::Gone),
        1 => (0_u32..4, table()).prop_map(|(service, (kind, slots))| Step::Table(service, kind, slots)),
        1 => (0_u32..4, settings()).prop_map(|(service, settings)| Step::Service(service, settings)),
        1 => (0_u16..4, pins()).prop_map(|(service, pins)| Step::Pins(service, pins)),
        1 => (1_u16..5).prop_map(Step::Forget),
    ]
}

struct Both {
    forwarder: Forwarder,
    model: Model,
    refused: usize,
    verdicts: [usize; 4],
}

impl Both {
    fn new(sandbox: &Sandbox) -> Self {
        let mut both = Self {
            forwarder: sandbox.load(),
            model: Model::default(),
            refused: 0,
            verdicts: [0; 4],
        };
        both.forwarder.maps().set_limits(0, u32::MAX).unwrap();
        let mut listeners = vec![(Listen::Mark(5), 3)];
        for vips in [VIPS4, VIPS6] {
            for proto in [TCP, UDP, 132] {
                listeners.push((Listen::Address(address(vips[0]), proto, 80), 0));
                listeners.push((Listen::Address(address(vips[0]), proto, 443), 1));
                listeners.push((Listen::Address(address(vips[1]), proto, 0), 2));
            }
        }
        for (listen, service) in listeners {
            both.forwarder.maps().set_listener(listen, service).unwrap();
            both.model.set_listener(listen, service);
        }
        for service in 0..4 {
            let settings = ServiceSettings {
                one_packet: service == 1,
                ..ServiceSettings::default()
            };
            both.forwarder.maps().set_service(service, &settings).unwrap();
            both.model.set_service(service, settings);
        }
        both
    }

    fn take(&mut self, step: &Step) {
        let maps = self.forwarder.maps();
        match step {
            Step::Backend(id, target) => {
                maps.set_backend(*id, target).unwrap();
                self.model.set_backend(*id, *target);
            }
            Step::Gone(id) => {
                maps.remove_backend(*id).unwrap();
                self.model.remove_backend(*id);
            }
            Step::Table(service, kind, slots) => {
                maps.set_table(*service, *kind, SEED, slots).unwrap();
                self.model.set_table(*service, *kind, SEED, slots);
            }
            Step::Service(service, settings) => {
                maps.set_service(*service, settings).unwrap();
                self.model.set_service(*service, *settings);
            }
            Step::Pins(service, pins) => {
                maps.set_pins(*service, pins).unwrap();
                self.model.set_pins((*service).into(), pins);
            }
            Step::Forget(backend) => {
                maps.forget_persistent(*backend).unwrap();
                self.model.forget_persistent(*backend);
            }
            Step::Packet(frame, mark) => self.packet(frame, *mark),
        }
    }

    fn packet(&mut self, frame: &[u8], mark: u32) {
        // Somebody else's priority, which stays where we do not set ours.
        let meta = Meta { mark, priority: 6 };
        let Ok(outcome) = self.forwarder.run_with(frame, meta) else {
            // The kernel makes no such packet, not even for a test.
            self.refused += 1;
            return;
        };
        let events = self.model.events().clone();
        let expected = self.model.receive(frame, mark);
        let same = match &expected {
            Outcome::Pass => (outcome.verdict, outcome.priority) == (-1, 6) && outcome.packet == frame,
            Outcome::HandUp(priority) => {
                (outcome.verdict, outcome.priority) == (-1, *priority) && outcome.packet == frame
            }
            Outcome::Drop => outcome.verdict == 2,
            Outcome::Redirect(bytes) => outcome.verdict == 7 && outcome.packet == *bytes,
        };
        self.verdicts[match expected {
            Outcome::Pass => 0,
            Outcome::Drop => 1,
            Outcome::Redirect(_) => 2,
            Outcome::HandUp(_) => 3,
        }] += 1;
        assert!(
            same,
            "packet {:?}\nmark {mark}\nmodel {expected:x?}\nprogram {} {:x} {:x?}\nevents before {events:?}\nafter {:?}",
            hex(frame),
            outcome.verdict,
            outcome.priority,
            outcome.packet,
            self.model.events()
        );
    }

    fn compare_counters(&self) {
        for (event, count) in self.forwarder.maps().events().unwrap() {
            assert_eq!(count, self.model.events().get(&event).copied().unwrap_or(0), "{}", event.name());
        }
        let flows = self
            .forwarder
            .maps()
            .flows()
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        let (established, half_open) = self.model.connections();
        assert_eq!(flows.len(), established + half_open);
        let clients = self.forwarder.maps().persistent_entries().unwrap();
        assert_eq!(clients.len(), self.model.persistent_clients());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn program_and_model_agree() {
    let cases: usize = std::env::var("WVS_FUZZ_CASES").map_or(20_000, |text| text.parse().unwrap());
    let seed = std::env::var("WVS_FUZZ_SEED").map_or(1, |text| text.parse::<u64>().unwrap());
    let sandbox = Sandbox::enter();
    let mut both = Both::new(&sandbox);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let mut draw = |strategy: &BoxedStrategy<Step>| strategy.new_tree(&mut runner).unwrap().current();
    // Begin with all backends and tables there.
    let backend = (1_u16..5, target())
        .prop_map(|(id, target)| Step::Backend(id, target))
        .boxed();
    let tables = (0_u32..4, table())
        .prop_map(|(service, (kind, slots))| Step::Table(service, kind, slots))
        .boxed();
    for _ in 0..20 {
        both.take(&draw(&backend));
        both.take(&draw(&tables));
    }
    let steps = step().boxed();
    let mut packets = 0;
    while packets < cases {
        let step = draw(&steps);
        packets += usize::from(matches!(step, Step::Packet(..)));
        both.take(&step);
    }
    both.compare_counters();
    let [passed, dropped, redirected, handed_up] = both.verdicts;
    println!(
        "{packets} packets: {redirected} redirected, {passed} passed, {handed_up} handed up, {dropped} dropped, {} not taken",
        both.refused
    );
    println!("{:?}", both.model.events());
    assert!(redirected > cases / 4 && passed > cases / 20 && handed_up > cases / 20 && dropped > cases / 500);
    assert!(both.refused < cases / 20, "{}", both.refused);
}
