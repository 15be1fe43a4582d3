//! What a director says of packets and of its program.

use wvs_core::api::{
    Attachment, BackendState, Because, Chosen, Draw, Event, Explain, Explanation, ForService, Happening,
    Link, ListenerView, Listening, LoadedProgram, MapView, Neighbour, Obstacle, Plane, PoolView, Program,
    Refusal, Sample, SchedulerHealth, Share, TargetView, Then, Way,
};
use wvs_core::ruleset::{Family, Protocol};
use wvs_core::scheduler::{Dispatch, HashKey};

fn explained(because: Because, then: Then) -> Explanation {
    Explanation {
        packet: Explain {
            from: "192.0.2.7:40001".parse().unwrap(),
            to: "10.0.0.100:80".parse().unwrap(),
            protocol: Protocol::Tcp,
            mark: 0,
        },
        local: false,
        service: None,
        backend: None,
        because,
        then,
        notes: Vec::new(),
    }
}

fn chosen(because: Because, then: Then, by: Plane) -> Explanation {
    Explanation {
        service: Some(ForService {
            name: "web\x07".to_owned(),
            listener: Some("tcp://10.0.0.100:80".to_owned()),
            by,
        }),
        backend: Some(Chosen {
            address: "10.1.0.11:8080".parse().unwrap(),
            id: 1,
        }),
        ..explained(because, then)
    }
}

fn cycle() -> Because {
    Because::Schedule(Draw::Cycle {
        position: 1066,
        slot: 42,
        slots: 256,
    })
}

fn translate(source: Option<&str>) -> Then {
    Then::Translate {
        to: "10.1.0.11:8080".parse().unwrap(),
        source: source.map(str::to_owned),
    }
}

fn link(mac: bool) -> Link {
    Link {
        interface: "eth0".to_owned(),
        mtu: 1500,
        mac: mac.then(|| "02:00:00:00:00:0b".to_owned()),
    }
}

fn tunnel() -> Way {
    Way::Tun {
        tunnel: "gue:6080".parse().unwrap(),
        source: [10, 0, 0, 1].into(),
        to: [10, 2, 0, 11].into(),
        link: link(false),
    }
}

fn listening() -> Vec<Listening> {
    vec![Listening {
        listener: "tcp://10.0.0.100:8000-8010".to_owned(),
        service: "web".to_owned(),
    }]
}

fn obstacles() -> Vec<Obstacle> {
    let obstacle = |address: &str, state, detail: Option<&str>| Obstacle {
        address: address.parse().unwrap(),
        state,
        detail: detail.map(str::to_owned),
    };
    vec![
        obstacle("10.1.0.11:8080", BackendState::Draining, None),
        obstacle("10.1.0.12:8080", BackendState::Full, Some("8 of 8 connections")),
        obstacle("10.1.0.13:8080", BackendState::Unreachable, Some("there is no route to it")),
    ]
}

/// One of each kind.
pub fn explanations() -> Vec<Explanation> {
    let refuse = |with| Then::Refuse { with };
    let mut marked = chosen(
        Because::Schedule(Draw::Hash {
            key: HashKey::Both,
            hash: 0xb5a,
            slot: 181,
            slots: 256,
        }),
        Then::Forward(tunnel()),
        Plane::Tc,
    );
    marked.packet.mark = 7;
    marked.notes = vec!["this holds for what comes in by eth0".to_owned()];
    let mut local = chosen(
        Because::Pin {
            client: "192.0.2.0/24".parse().unwrap(),
        },
        translate(Some("masquerade")),
        Plane::Nftables,
    );
    local.local = true;
    let kept = Because::Persistence {
        client: "192.0.2.7/32".parse().unwrap(),
        expires: 300,
    };
    let known = Because::Connection {
        state: "ESTABLISHED".to_owned(),
        expires: 431_999,
    };
    let nobody = |backends| Explanation {
        backend: None,
        ..chosen(Because::Nobody { backends }, refuse(Refusal::TcpReset), Plane::Nftables)
    };
    vec![
        chosen(cycle(), translate(None), Plane::Nftables),
        marked,
        local,
        chosen(kept, Then::Forward(Way::Dr(link(true))), Plane::Tc),
        chosen(known, translate(Some("10.0.0.1-10.0.0.4")), Plane::Nftables),
        chosen(Because::Asked, translate(None), Plane::Nftables),
        chosen(Because::Program, Then::Forward(Way::Local), Plane::Tc),
        Explanation {
            backend: None,
            ..chosen(Because::Asked, Then::Ask, Plane::Tc)
        },
        chosen(Because::Unseen, refuse(Refusal::PortUnreachable), Plane::Nftables),
        nobody(obstacles()),
        nobody(obstacles().split_off(2)),
        nobody(Vec::new()),
        explained(
            Because::Closed {
                listeners: listening(),
            },
            refuse(Refusal::TcpReset),
        ),
        explained(
            Because::NotOurs {
                listeners: listening(),
            },
            Then::Pass,
        ),
    ]
}

pub fn program() -> Program {
    let neighbour = |hook: &str, name: &str, program, ours| Neighbour {
        hook: hook.to_owned(),
        name: name.to_owned(),
        program,
        ours,
    };
    let attachment = |interface: &str, program, ingress| Attachment {
        interface: interface.to_owned(),
        ifindex: 2,
        hook: "tcx".to_owned(),
        program,
        ingress,
    };
    let target = |id, service: Option<&str>, way| TargetView {
        id,
        service: service.map(str::to_owned),
        backend: service.map(|_| "10.2.0.11".parse().unwrap()),
        generation: 0,
        way,
        connections: 1,
        packets: 23,
        bytes: 4567,
    };
    let ingress = vec![
        neighbour("tcx", "wvs_ingress", Some(57), true),
        neighbour("clsact", "u32\x1b", None, false),
    ];
    Program {
        pin_dir: "/sys/fs/bpf/wvs".to_owned(),
        programs: vec![LoadedProgram {
            name: "wvs_ingress".to_owned(),
            id: 57,
            tag: "00ab12cd34ef5678".to_owned(),
            verified_instructions: Some(14_724),
        }],
        attachments: vec![
            attachment("eth0", Some(57), ingress),
            attachment("eth1", None, Vec::new()),
        ],
        maps: vec![MapView {
            name: "backends".to_owned(),
            id: 12,
            key_size: 4,
            value_size: 64,
            max_entries: 65_536,
        }],
        listeners: vec![ListenerView {
            listener: "tcp://10.0.0.100:80".to_owned(),
            number: 3,
        }],
        services: vec![PoolView {
            number: 3,
            service: Some("web".to_owned()),
            family: Some(Family::V4),
            settings: vec!["1 pinned prefix".to_owned()],
            dispatch: Dispatch::Cycle,
            slots: 256,
            empty: 1,
            position: 1066,
            refused: 2,
            shares: vec![Share { id: 1, slots: 254 }, Share { id: 2, slots: 1 }],
        }],
        backends: vec![
            target(1, Some("web"), Way::Dr(link(true))),
            target(2, Some("web"), tunnel()),
            target(3, None, Way::Nat),
        ],
    }
}

/// One of each kind.
pub fn events() -> Vec<Event> {
    let service = || "web".to_owned();
    let backend = "10.1.0.11:8080".parse().unwrap();
    let sample = || Sample {
        protocol: "tcp".to_owned(),
        client: "192.0.2.7:40001".parse().unwrap(),
        target: "10.0.0.100:80".parse().unwrap(),
        service: Some(service()),
        backend: Some(backend),
        interface: "eth0".to_owned(),
        mark: 0,
        length: 60,
        one_in: 1000,
    };
    let unknown = Sample {
        service: None,
        backend: None,
        mark: 7,
        ..sample()
    };
    let all = [
        Happening::Applied {
            edit: false,
            changed: true,
            steps: 12,
        },
        Happening::Applied {
            edit: true,
            changed: false,
            steps: 0,
        },
        Happening::Repaired { steps: 1 },
        Happening::BackendLost {
            service: service(),
            backend,
            why: "there is no route to it".to_owned(),
        },
        Happening::BackendFound {
            service: service(),
            backend,
        },
        Happening::BackendFull {
            service: service(),
            backend,
        },
        Happening::BackendFree {
            service: service(),
            backend,
        },
        Happening::SchedulerFailed {
            service: service(),
            family: Family::V4,
            plugin: "wlc".to_owned(),
            error: "trapped: unreachable\n\x07".to_owned(),
            health: SchedulerHealth::Quarantined { fallback: true },
        },
        Happening::SchedulerWorks {
            service: service(),
            family: Family::V6,
            plugin: "wlc".to_owned(),
        },
        Happening::Scheduled(sample()),
        Happening::Refused(Sample {
            backend: None,
            ..sample()
        }),
        Happening::Dropped {
            reason: "too-big".to_owned(),
            packet: unknown,
        },
        Happening::Noticed {
            reason: "asked".to_owned(),
            packet: sample(),
        },
        Happening::NotApplied {
            why: "error: no scheduler rrr".to_owned(),
        },
        Happening::SchedulerExchanged {
            service: "web".to_owned(),
            family: Family::V4,
            plugin: "mine".to_owned(),
        },
        Happening::SchedulerRefused {
            service: "web".to_owned(),
            family: Family::V4,
            plugin: "mine".to_owned(),
            why: "it is no component".to_owned(),
        },
        Happening::Unreported { packets: 7 },
        Happening::Missed { events: 25 },
    ];
    let time = || "2026-11-21T14:03:05.123Z".to_owned();
    all.map(|what| Event { time: time(), what }).into()
}
