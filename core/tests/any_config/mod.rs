//! Any configuration that may be written, and any value in it with a text form.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use wvs_core::config::{
    Backend, ClientPin, Config, DirectorSettings, Endpoint, Forward, HIGHEST_WEIGHT, Listen, ManageVip,
    Persistence, PortRange, Prefix, SchedulerSpec, Service, SourcePool, Timeouts, Tunnel, TunnelKind,
    WhenQuiesced,
};
use wvs_core::ruleset::Protocol;

pub fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::V4),
        any::<Ipv6Addr>().prop_map(IpAddr::V6)
    ]
}

/// Sorted ranges with a gap between them, as reading makes them.
fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    vec((1u16..400, 0u16..400), 1..5).prop_map(|steps| {
        let mut next = 0;
        let range = |(gap, length): (u16, u16)| {
            let first = next + gap + 1;
            next = first + length;
            PortRange { first, last: next }
        };
        steps.into_iter().map(range).collect()
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(Protocol::ALL.to_vec())
}

pub fn any_listen() -> impl Strategy<Value = Listen> {
    let socket = (protocol(), any_address(), ports());
    prop_oneof![
        socket.prop_map(|(protocol, address, ports)| Listen::Socket {
            protocol,
            address,
            ports
        }),
        (1..=u32::MAX).prop_map(Listen::Mark),
    ]
}

pub fn endpoint() -> impl Strategy<Value = Endpoint> {
    (any_address(), option::of(1..=u16::MAX)).prop_map(|(address, port)| Endpoint { address, port })
}

/// Somewhere to listen, or nowhere.
fn socket() -> impl Strategy<Value = Option<SocketAddr>> {
    option::of((any_address(), 1..=u16::MAX).prop_map(SocketAddr::from))
}

pub fn pool() -> impl Strategy<Value = SourcePool> {
    let v4 = any::<(u32, u32)>().prop_map(|(one, two)| SourcePool {
        first: Ipv4Addr::from(one.min(two)).into(),
        last: Ipv4Addr::from(one.max(two)).into(),
    });
    let v6 = any::<(u128, u128)>().prop_map(|(one, two)| SourcePool {
        first: Ipv6Addr::from(one.min(two)).into(),
        last: Ipv6Addr::from(one.max(two)).into(),
    });
    prop_oneof![v4, v6]
}

/// A path or text that may need escapes.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof!["/[a-z]{1,8}(/[a-z]{1,8})?", "[ -~é\u{1f980}]{1,12}"]
}

fn duration() -> impl Strategy<Value = Duration> {
    (1u64..=31 * 86_400).prop_map(Duration::from_secs)
}

pub fn tunnel() -> impl Strategy<Value = Tunnel> {
    let gue = (1..=u16::MAX).prop_map(|port| TunnelKind::Gue { port });
    let kind = prop_oneof![Just(TunnelKind::Ipip), Just(TunnelKind::Gre), gue];
    (kind, any::<bool>()).prop_map(|(kind, checksum)| Tunnel {
        kind,
        checksum: checksum && kind != TunnelKind::Ipip,
    })
}

pub fn prefix() -> impl Strategy<Value = Prefix> {
    let v4 = (any::<u32>(), 0u8..=32).prop_map(|(bits, length)| Prefix {
        address: Ipv4Addr::from(bits & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)).into(),
        length,
    });
    let v6 = (any::<u128>(), 0u8..=128).prop_map(|(bits, length)| Prefix {
        address: Ipv6Addr::from(bits & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)).into(),
        length,
    });
    prop_oneof![v4, v6]
}

fn persistence() -> impl Strategy<Value = Persistence> {
    let quiesced = prop::sample::select(vec![WhenQuiesced::Keep, WhenQuiesced::Expire]);
    (duration(), 1u8..=32, 1u8..=128, any::<bool>(), quiesced).prop_map(
        |(timeout, mask, mask6, grouped, when_quiesced)| Persistence {
            timeout,
            mask,
            mask6,
            // Services of a group must agree on the masks.
            group: grouped.then(|| format!("g{mask}-{mask6}")),
            when_quiesced,
        },
    )
}

/// What a service has for clients and tunnels; what does not fit its backends is taken out later.
fn extras() -> impl Strategy<Value = Service> {
    let timeouts = (duration(), duration(), duration());
    let timeouts = timeouts.prop_map(|(established, fin, udp)| Timeouts {
        established,
        fin,
        udp,
    });
    let timeouts = prop_oneof![Just(Timeouts::default()), timeouts];
    let source = option::of((0u8..=255).prop_map(|net| Prefix {
        address: Ipv4Addr::new(10, net, 0, 0).into(),
        length: 16,
    }));
    (option::of(persistence()), timeouts, option::of(tunnel()), source, any::<bool>()).prop_map(
        |(persistence, timeouts, tunnel, source, one_packet)| Service {
            persistence,
            timeouts,
            tunnel,
            tunnel_source: source.into_iter().collect(),
            one_packet,
            ..Service::named("", Vec::new())
        },
    )
}

/// Takes out what does not fit the backends.
fn fitted(mut service: Service, picks: Vec<(Prefix, prop::sample::Index)>) -> Service {
    let backends = &service.backends;
    let methods: Vec<_> = backends
        .iter()
        .map(|backend| service.forward_of(backend))
        .collect();
    if !methods.contains(&Forward::Tun) {
        service.tunnel = None;
    }
    let outer_v4 = |(backend, method): (&Backend, &Forward)| {
        *method == Forward::Tun && backend.address.address.is_ipv4()
    };
    if !backends.iter().zip(&methods).any(outer_v4) {
        service.tunnel_source.clear();
    }
    service.one_packet &= !methods.is_empty() && methods.iter().all(|method| method.uses_tc());
    let mut seen = BTreeSet::new();
    for (client, pick) in picks {
        let same = |backend: &&Backend| backend.address.address.is_ipv4() == client.address.is_ipv4();
        let candidates: Vec<_> = backends.iter().filter(same).collect();
        if !candidates.is_empty() && seen.insert(client) {
            service.pins.push(ClientPin {
                client,
                backend: pick.get(&candidates).address,
            });
        }
    }
    service
}

/// A backend of some family, whose address is still to come.
fn a_backend() -> impl Strategy<Value = Backend> {
    let address = prop_oneof![
        Just(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Just(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
    ];
    let forward = option::of(prop::sample::select(Forward::ALL.to_vec()));
    let limits = (1..=u32::MAX).prop_flat_map(|max| (Just(Some(max)), option::of(0..max)));
    let limits = prop_oneof![Just((None, None)), limits];
    let plain = (address, option::of(1..=u16::MAX), 0..=HIGHEST_WEIGHT, any::<bool>());
    (plain, forward, limits, option::of(tunnel())).prop_map(
        |((address, port, weight, drain), forward, (max_connections, min_connections), tunnel)| Backend {
            // The services listen on marks, so direct routing and tunnels have no port to name.
            address: Endpoint {
                address,
                port: port.filter(|_| !forward.is_some_and(Forward::uses_tc)),
            },
            weight,
            drain,
            forward,
            max_connections,
            min_connections,
            tunnel: tunnel.filter(|_| forward == Some(Forward::Tun)),
        },
    )
}

fn backends(service: u8) -> impl Strategy<Value = Vec<Backend>> {
    vec(a_backend(), 0..5).prop_map(move |mut backends| {
        for (backend, number) in backends.iter_mut().zip(1u8..) {
            backend.address.address = if backend.address.address.is_ipv6() {
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, service.into(), u16::from(number)))
            } else {
                IpAddr::V4(Ipv4Addr::new(198, 51, service, number))
            };
        }
        backends
    })
}

/// A right service; its number keeps it apart from others.
fn service(number: u8) -> impl Strategy<Value = Service> {
    let sockets = vec((protocol(), any::<bool>(), ports()), 0..4);
    let scheduler = ("[a-z/][a-z/.]{0,8}[a-z]", btree_map(odd_text(), any::<String>(), 0..3));
    let manage = option::of(("[a-z0-9]{1,15}", any::<bool>()));
    let settings = (any::<bool>(), option::of(1u8..=255), 4u32..=12, manage, scheduler);
    let pins = vec((prefix(), any::<prop::sample::Index>()), 0..3);
    let parts = (sockets, settings, backends(number), "[A-Za-z0-9._-]{0,10}", extras(), pins);
    parts.prop_map(
        move |(sockets, (full_nat, pool, slots, manage, (plugin, params)), backends, name, extras, pins)| {
            // A mark serves both families, so the families of listens and backends need not agree by luck.
            let mut listen = vec![Listen::Mark(u32::from(number) + 1)];
            for (index, (protocol, v6, ports)) in (1..).zip(sockets) {
                let served =
                    backends.is_empty() || backends.iter().any(|b| b.address.address.is_ipv6() == v6);
                let address = match v6 {
                    true => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, number.into(), index)),
                    false => IpAddr::V4(Ipv4Addr::new(192, 0, number, index as u8)),
                };
                if served {
                    listen.push(Listen::Socket {
                        protocol,
                        address,
                        ports,
                    });
                }
            }
            let first = Ipv4Addr::new(203, 0, 113, 0);
            let pool = pool.filter(|_| full_nat).map(|last| SourcePool {
                first: first.into(),
                last: Ipv4Addr::new(203, 0, 113, last).into(),
            });
            let service = Service {
                forward: if full_nat { Forward::FullNat } else { Forward::Nat },
                source: pool.into_iter().collect(),
                scheduler: SchedulerSpec { plugin, params },
                slots: 1 << slots,
                manage_vip: manage
                    .filter(|_| listen.len() > 1)
                    .map(|(interface, reject_other_ports)| ManageVip {
                        interface,
                        reject_other_ports,
                    }),
                backends,
                name: format!("s{number}{name}"),
                listen,
                ..extras
            };
            fitted(service, pins)
        },
    )
}

pub fn config() -> impl Strategy<Value = Config> {
    let mask =
        (8u32..=16).prop_flat_map(|bits| (0..=32 - bits).prop_map(move |low| ((1 << bits) - 1) << low));
    let director = (
        odd_text(),
        odd_text(),
        mask,
        0u8..4,
        "/[ -~é]{0,12}",
        1u32 << 10..=1 << 24,
        any::<u16>(),
        socket(),
    )
        .prop_map(
            |(plugin_dir, state_dir, ct_mark_mask, interfaces, pin_dir, max_flows, queue, metrics)| {
                DirectorSettings {
                    plugin_dir: plugin_dir.into(),
                    state_dir: state_dir.into(),
                    ct_mark_mask,
                    interfaces: (0..interfaces).map(|number| format!("eth{number}")).collect(),
                    pin_dir: pin_dir.into(),
                    max_flows,
                    queue,
                    metrics,
                }
            },
        );
    let director = prop_oneof![Just(DirectorSettings::default()), director];
    let services = (0u8..4).prop_flat_map(|count| (0..count).map(service).collect::<Vec<_>>());
    (director, services).prop_map(|(director, services)| Config { director, services })
}
