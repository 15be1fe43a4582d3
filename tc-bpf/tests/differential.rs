//! The loaded program and its model get the same packets in the same order, and must agree on each: verdict, bytes,
//! and what was counted. WVS_FUZZ_CASES says how many packets (60,000 unless told; `make fuzz` takes a
//! million), WVS_FUZZ_SEED which.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "differential/packets.rs"]
mod packets;

use std::time::Duration;

use common::packet::{TCP, UDP};
use common::{Sandbox, address, chain, small};
use packets::{CLIENTS4, CLIENTS6, VIPS4, VIPS6, packet};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wvs_tc_bpf::model::{Model, Outcome};
use wvs_tc_bpf::{
    Encapsulation, Family, Forwarder, Kin, Kind, Listen, Meta, Method, Persistence, Pin, Questions,
    ServiceSettings, Sizes, Target, Way, WhenQuiesced,
};

const SEED: u32 = 0x7776_7300;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Packet(Vec<u8>, u32),
    Backend(u16, Target),
    Gone(u16),
    Table(u32, Kind, Vec<Option<u16>>),
    Service(u32, ServiceSettings),
    Pins(u16, Vec<Pin>),
    Kin(u16, Vec<Kin>),
    Forget(u16),
    /// Somebody answers, or stops.
    Asking(bool),
}

fn target() -> impl Strategy<Value = Target> {
    let method = prop_oneof![
        4 => Just(Method::DirectRouting), 6 => Just(Method::Tunnel), 1 => Just(Method::Nat), 1 => Just(Method::Local)
    ];
    let mtu = prop_oneof![3 => Just(1500_u16), 1 => 100_u16..400];
    let encapsulation = (0..4, any::<bool>(), any::<u16>()).prop_map(|(which, checksum, port)| match which {
        0 | 1 => Encapsulation::Ipip,
        2 => Encapsulation::Gre { checksum },
        _ => Encapsulation::Gue { port, checksum },
    });
    let prefix = prop::option::of(0_u8..=128);
    let quiesced = prop_oneof![4 => Just(false), 1 => Just(true)];
    let tunnel = (encapsulation, prefix);
    (method, any::<bool>(), 1_u16..3, mtu, any::<bool>(), any::<u8>(), tunnel, quiesced).prop_map(
        |(method, v6, generation, mtu, macs, last, (encapsulation, source_prefix), quiesced)| Target {
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
                source_prefix,
            }),
            encapsulation,
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
        Kind::Flow,
    ]);
    let slot = prop_oneof![9 => (1_u16..5).prop_map(Some), 1 => Just(None)];
    (kind, prop::collection::vec(slot, 1..20))
}

fn settings() -> impl Strategy<Value = ServiceSettings> {
    let masks = (
        prop::sample::select(vec![0_u8, 24, 31, 32]),
        prop::sample::select(vec![0_u8, 48, 127, 128]),
    );
    let flags = (any::<bool>(), any::<bool>());
    let kept = (0_u16..2, masks, flags).prop_map(|(group, (mask, mask6), (keep, shared))| Persistence {
        group,
        shared,
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

fn kin() -> impl Strategy<Value = Vec<Kin>> {
    let kin = (1_u16..5, 1_u16..5, 1_u16..3).prop_map(|(of, backend, generation)| Kin {
        of,
        backend,
        generation,
    });
    prop::collection::vec(kin, 0..5).prop_map(|mut kin| {
        kin.sort();
        kin.dedup_by_key(|it| it.of);
        kin
    })
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
        1 => (0_u16..4, kin()).prop_map(|(service, kin)| Step::Kin(service, kin)),
        1 => (1_u16..5).prop_map(Step::Forget),
        1 => any::<bool>().prop_map(Step::Asking),
    ]
}

struct Both {
    forwarder: Forwarder,
    pins: std::path::PathBuf,
    questions: Option<Questions>,
    answered: u16,
    /// How often the answer was no backend.
    nobody: u32,
    model: Model,
    refused: usize,
    verdicts: [usize; 5],
}

impl Both {
    fn new(sandbox: &Sandbox) -> Self {
        // The model forgets nothing: among all that a million packets begin, no five should meet in one set.
        let sizes = Sizes {
            half_open: 1 << 20,
            ..small()
        };
        let forwarder = Forwarder::load(&sandbox.pins(), &sizes);
        let mut both = Self {
            forwarder: forwarder.unwrap_or_else(|error| panic!("{}", chain(&error))),
            pins: sandbox.pins(),
            questions: None,
            answered: 0,
            nobody: 0,
            model: Model::default(),
            refused: 0,
            verdicts: [0; 5],
        };
        both.forwarder.maps().set_limits(0, u32::MAX).unwrap();
        let mut listeners = vec![(Listen::Mark(Family::V4, 5), 3), (Listen::Mark(Family::V6, 5), 2)];
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
            Step::Kin(service, kin) => {
                maps.set_kin(*service, kin).unwrap();
                self.model.set_kin((*service).into(), kin);
            }
            Step::Forget(backend) => {
                maps.forget_persistent(*backend).unwrap();
                self.model.forget_persistent(*backend);
            }
            Step::Asking(asking) => {
                self.questions = None;
                // An answer holds for the tick in which it was given, also when nobody is there any more.
                let gone = maps.now().unwrap();
                while maps.now().unwrap() == gone {}
                if *asking {
                    // The model knows no time.
                    let patience = Duration::from_secs(10_000);
                    self.questions = Some(Questions::open(&self.pins, patience).unwrap());
                }
                self.model.set_asking(*asking);
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
            Outcome::Asked => outcome.verdict == 2,
            Outcome::Redirect(bytes) => outcome.verdict == 7 && outcome.packet == *bytes,
        };
        self.verdicts[match expected {
            Outcome::Pass => 0,
            Outcome::Drop => 1,
            Outcome::Redirect(_) => 2,
            Outcome::HandUp(_) => 3,
            Outcome::Asked => 4,
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
        if expected == Outcome::Asked {
            self.answer(frame, mark);
        }
    }

    /// Answers the question that a packet has led to, now and then with a backend that is not there or with nobody, and
    /// sends the packet again.
    fn answer(&mut self, frame: &[u8], mark: u32) {
        let questions = self.questions.as_mut().expect("nobody was to be asked");
        let question = questions.wait(Duration::ZERO).unwrap().expect("a question");
        assert_eq!((question.frame.len(), question.mark), (frame.len(), mark));
        assert_eq!(questions.wait(Duration::ZERO).unwrap(), None);
        self.answered = self.answered % 10 + 1;
        let backend = self.answered % 6;
        // Without a backend it is refused, or left to the hash.
        let generation = u16::from(backend > 0 || self.nobody.is_multiple_of(2));
        self.nobody += u32::from(backend == 0);
        questions.note(&question, backend, generation).unwrap();
        self.model.note(&question.key, backend, generation);
        if self.answered < 10 && (backend == 0 || self.model.knows(backend, 1)) {
            self.packet(frame, mark);
        }
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
    let cases: usize = std::env::var("WVS_FUZZ_CASES").map_or(60_000, |text| text.parse().unwrap());
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
    let [passed, dropped, redirected, handed_up, asked] = both.verdicts;
    println!(
        "{packets} packets: {redirected} redirected, {passed} passed, {handed_up} handed up, {asked} asked, {dropped} dropped, {} not taken",
        both.refused
    );
    println!("{:?}", both.model.events());
    assert!(redirected > cases / 4 && passed > cases / 20 && handed_up > cases / 20 && dropped > cases / 500);
    assert!(both.refused < cases / 20, "{}", both.refused);
}
