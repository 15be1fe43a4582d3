//! Clients that stay with their backends, with real connections.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use support::nft::apply;
use support::peer::{address, wait};
use support::rulesets::host;
use support::{in_namespace, run, run_with};
use wvs_core::config::{
    Backend, ClientPin, Config, Endpoint, Listen, Persistence, PortRange, Prefix, Service, WhenQuiesced,
};
use wvs_core::dispatch::DispatchTable;
use wvs_core::ids::BackendIds;
use wvs_core::kernel::nft::NftSocket;
use wvs_core::kernel::{Nft, NftError};
use wvs_core::plan::{Op, Plan};
use wvs_core::pool::pools;
use wvs_core::ruleset::build::{Facts, build};
use wvs_core::ruleset::{Family, IdMap, Key, MOST_CLIENTS, Protocol};
use wvs_core::scheduler::{BackendId, Dispatch};

const VIRTUAL: u16 = 100;
/// The real servers, each of which answers at two ports.
const SERVERS: [u16; 3] = [1, 2, 3];
const HTTP: u16 = 80;
const HTTPS: u16 = 443;
/// Clients: two in one network, one in another.
const ONE: u16 = 50;
const NEIGHBOUR: u16 = 51;
const FAR: u16 = 300;

/// The port of a server behind a virtual port.
fn behind(port: u16) -> u16 {
    port + 8000
}

/// A namespace's loopback with servers, clients, and two services that take turns.
struct Bench {
    family: Family,
    nft: NftSocket,
    config: Config,
    ids: BackendIds,
    servers: Vec<(u16, TcpListener)>,
}

impl Bench {
    fn new(family: Family, persistence: &Persistence) -> Self {
        run("ip link set lo up");
        for n in SERVERS.into_iter().chain([VIRTUAL, ONE, NEIGHBOUR, FAR]) {
            address(family, n, "lo", false);
        }
        let backend = |n, port| {
            Backend::at(Endpoint {
                address: host(family, n),
                port: Some(behind(port)),
            })
        };
        let service = |name, port| Service {
            slots: 16,
            persistence: Some(persistence.clone()),
            backends: SERVERS.map(|n| backend(n, port)).into(),
            ..Service::named(
                name,
                vec![Listen::Socket {
                    protocol: Protocol::Tcp,
                    address: host(family, VIRTUAL),
                    ports: vec![PortRange {
                        first: port,
                        last: port,
                    }],
                }],
            )
        };
        let ports = || SERVERS.into_iter().flat_map(|n| [(n, HTTP), (n, HTTPS)]);
        let server = |(n, port)| (n, TcpListener::bind((host(family, n), behind(port))).unwrap());
        let mut bench = Bench {
            family,
            nft: NftSocket::open().unwrap(),
            config: Config {
                services: vec![service("http", HTTP), service("https", HTTPS)],
                ..Config::default()
            },
            ids: BackendIds::default(),
            servers: ports().map(server).collect(),
        };
        bench.apply();
        bench
    }

    /// Has the kernel hold the configuration, and proves that a second time sends nothing.
    fn apply(&mut self) -> Plan {
        self.ids.assign(&self.config, 0xffff).unwrap();
        let table = |(key, mut all): (_, Vec<wvs_core::scheduler::Candidate>)| {
            all.retain(|it| it.weight > 0 && !it.draining);
            let slots = (0..16).map(|slot| all.get(slot % all.len().max(1)).map(|it| it.id));
            let table = DispatchTable {
                dispatch: Dispatch::Cycle,
                slots: slots.collect(),
            };
            (key, table)
        };
        let tables: BTreeMap<_, _> = pools(&self.config, &self.ids).into_iter().map(table).collect();
        apply(&mut self.nft, &build(&self.config, &self.ids, &tables, &Facts::default()))
    }

    /// Which server a new connection of a client comes to.
    fn connect(&mut self, client: u16, port: u16) -> u16 {
        let socket = Socket::new(Domain::for_address(self.at(client, 0)), Type::STREAM, None).unwrap();
        socket.bind(&self.at(client, 0).into()).unwrap();
        let to = self.at(VIRTUAL, port);
        socket
            .connect_timeout(&to.into(), Duration::from_secs(10))
            .unwrap_or_else(|error| panic!("client {client} to {to}: {error}"));
        let client = TcpStream::from(socket);
        let from = client.local_addr().unwrap();
        let mut found = None;
        wait("the connection has come to a server", || {
            found = self.servers.iter().find_map(|(n, server)| {
                server.set_nonblocking(true).unwrap();
                let ours = server.accept().is_ok_and(|(_, peer)| peer == from);
                ours.then(|| (*n, server.local_addr().unwrap().port()))
            });
            found.is_some()
        });
        let (server, at) = found.unwrap();
        assert_eq!(at, behind(port), "the service's own port");
        server
    }

    fn at(&self, n: u16, port: u16) -> SocketAddr {
        (host(self.family, n), port).into()
    }

    fn http(&mut self) -> &mut Service {
        &mut self.config.services[0]
    }

    /// The clients that a map remembers, with their servers.
    fn remembered(&mut self, map: &IdMap) -> Vec<(Key, u16)> {
        let all = self.nft.remembered(self.family, map, usize::MAX).unwrap();
        let server = |id: BackendId| {
            let (_, endpoint) = self.ids.whose(id).unwrap();
            SERVERS
                .into_iter()
                .find(|n| host(self.family, *n) == endpoint.address)
                .unwrap()
        };
        all.into_iter()
            .map(|it| (Key::Address(it.client), server(it.backend)))
            .collect()
    }

    fn expires(&mut self, map: &IdMap) -> Vec<u32> {
        let all = self.nft.remembered(self.family, map, usize::MAX).unwrap();
        all.iter().map(|it| it.expires).collect()
    }

    fn client(&self, n: u16) -> Key {
        Key::Address(host(self.family, n))
    }
}

fn lasting(seconds: u64) -> Persistence {
    Persistence::lasting(Duration::from_secs(seconds))
}

fn own() -> IdMap {
    IdMap::Persist("http".into())
}

fn for_both_families(persistence: Persistence, work: fn(Bench)) {
    for family in Family::ALL {
        let persistence = persistence.clone();
        in_namespace(move || work(Bench::new(family, &persistence)));
    }
}

#[test]
fn clients_stay_with_their_backends() {
    for_both_families(lasting(360), |mut bench| {
        let first: Vec<_> = [ONE, NEIGHBOUR, FAR]
            .map(|client| bench.connect(client, HTTP))
            .into();
        assert_eq!(first, SERVERS, "whoever is new goes on with the cycle");
        for _ in 0..5 {
            let again = [FAR, NEIGHBOUR, ONE].map(|client| bench.connect(client, HTTP));
            assert_eq!(again, [3, 2, 1]);
        }
        let expected = [
            (bench.client(ONE), 1),
            (bench.client(NEIGHBOUR), 2),
            (bench.client(FAR), 3),
        ];
        assert_eq!(bench.remembered(&own()), expected);
        assert!(bench.expires(&own()).iter().all(|it| (300..=360).contains(it)));
        assert_eq!(bench.nft.position(bench.family, "svc-http").unwrap(), 3, "the cycle counts choices");
        // The other service remembers its own, and what the kernel has added is no reason for a plan.
        assert_eq!((bench.connect(FAR, HTTPS), bench.connect(FAR, HTTP)), (1, 3));
        assert_eq!(bench.apply(), Plan::default());
        assert!(
            bench
                .nft
                .remembered(bench.family, &IdMap::Persist("none".into()), 9)
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn every_connection_begins_the_time_anew_and_when_it_is_over_the_client_is_new() {
    for_both_families(lasting(20), |mut bench| {
        assert_eq!(bench.connect(ONE, HTTP), 1);
        wait("some of its time is over", || bench.expires(&own()).iter().all(|it| *it < 19));
        wait("it begins anew", || {
            assert_eq!(bench.connect(ONE, HTTP), 1);
            bench.expires(&own()).iter().all(|it| *it >= 19)
        });
        bench.http().persistence = Some(lasting(360));
        bench.apply();
        assert_eq!(bench.connect(ONE, HTTP), 1);
        let expires = bench.expires(&own());
        assert!(expires.len() == 1 && expires[0] > 300, "{expires:?}");
        bench.http().persistence = Some(lasting(1));
        bench.apply();
        assert_eq!((bench.connect(ONE, HTTP), bench.connect(NEIGHBOUR, HTTP)), (1, 1));
        wait("they are forgotten", || bench.expires(&own()).is_empty());
        assert_eq!(bench.connect(ONE, HTTP), 2);
    });
}

#[test]
fn clients_with_the_same_first_bits_are_one() {
    let persistence = Persistence {
        mask: 24,
        mask6: 120,
        ..lasting(360)
    };
    for_both_families(persistence, |mut bench| {
        assert_eq!([ONE, FAR].map(|client| bench.connect(client, HTTP)), [1, 2]);
        assert_eq!([NEIGHBOUR, ONE, FAR].map(|client| bench.connect(client, HTTP)), [1, 1, 2]);
        let expected = [(bench.client(0), 1), (bench.client(256), 2)];
        assert_eq!(bench.remembered(&own()), expected);
    });
}

#[test]
fn services_of_a_group_send_a_client_to_the_same_server() {
    let persistence = Persistence {
        group: Some("shop".into()),
        ..lasting(360)
    };
    for_both_families(persistence, |mut bench| {
        assert_eq!((bench.connect(FAR, HTTPS), bench.connect(FAR, HTTP)), (1, 1));
        assert_eq!((bench.connect(ONE, HTTPS), bench.connect(ONE, HTTP)), (2, 2));
        assert_eq!((bench.connect(NEIGHBOUR, HTTP), bench.connect(NEIGHBOUR, HTTPS)), (1, 1));
        for client in [ONE, FAR, NEIGHBOUR] {
            let both = [HTTP, HTTPS].map(|port| bench.connect(client, port));
            assert_eq!(both[0], both[1]);
        }
    });
}

#[test]
fn a_server_that_one_service_of_a_group_has_lost_is_left_by_both() {
    let persistence = Persistence {
        group: Some("shop".into()),
        ..lasting(360)
    };
    for_both_families(persistence, |mut bench| {
        assert_eq!((bench.connect(ONE, HTTPS), bench.connect(ONE, HTTP)), (1, 1));
        bench.http().backends.remove(0);
        bench.apply();
        assert_eq!(bench.connect(ONE, HTTPS), 1);
        let moved = bench.connect(ONE, HTTP);
        assert_ne!(moved, 1);
        assert_eq!((bench.connect(ONE, HTTPS), bench.connect(ONE, HTTP)), (moved, moved));
    });
}

#[test]
fn nobody_waits_for_a_backend_that_is_gone() {
    for_both_families(lasting(360), |mut bench| {
        assert_eq!([ONE, NEIGHBOUR, FAR].map(|client| bench.connect(client, HTTP)), [1, 2, 3]);
        bench.http().backends.remove(0);
        let way = bench.apply();
        assert!(
            way.ops
                .iter()
                .any(|op| matches!(op, Op::DeleteIds(_, IdMap::Held(_), _))),
            "{way}"
        );
        let moved = bench.connect(ONE, HTTP);
        assert_ne!(moved, 1);
        assert_eq!((bench.connect(ONE, HTTP), bench.connect(ONE, HTTP)), (moved, moved));
        let expected = [
            (bench.client(ONE), moved),
            (bench.client(NEIGHBOUR), 2),
            (bench.client(FAR), 3),
        ];
        assert_eq!(bench.remembered(&own()), expected);
        // All are gone: refused at once, and who comes back when there is one again is new.
        bench.http().backends.truncate(0);
        bench.apply();
        let refused = TcpStream::connect(bench.at(VIRTUAL, HTTP)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn clients_are_forgotten_on_request_and_only_those() {
    for_both_families(lasting(360), |mut bench| {
        assert_eq!([ONE, NEIGHBOUR, FAR].map(|client| bench.connect(client, HTTP)), [1, 2, 3]);
        let ids: BTreeMap<_, _> = bench
            .nft
            .remembered(bench.family, &own(), usize::MAX)
            .unwrap()
            .into_iter()
            .map(|it| (Key::Address(it.client), it.backend))
            .collect();
        let forget = |bench: &mut Bench, ids: BTreeMap<Key, BackendId>| {
            let generation = bench.nft.generation().unwrap();
            let ops = vec![Op::Forget(bench.family, own(), ids)];
            bench.nft.commit(&Plan { ops }, generation)
        };
        // One that has gone by itself meanwhile is none that stops the others.
        let (one, gone) = (bench.client(ONE), bench.client(77));
        forget(&mut bench, [(one, ids[&one]), (gone, ids[&one])].into()).unwrap();
        let expected = [(bench.client(NEIGHBOUR), 2), (bench.client(FAR), 3)];
        assert_eq!(bench.remembered(&own()), expected);
        // One that has got another backend meanwhile is to be kept.
        let (neighbour, far) = (bench.client(NEIGHBOUR), bench.client(FAR));
        let refused = forget(&mut bench, [(neighbour, ids[&neighbour]), (far, ids[&one])].into());
        assert!(matches!(refused, Err(NftError::Refused { .. })), "{refused:?}");
        assert_eq!(bench.remembered(&own()), expected);
        assert_eq!(bench.apply(), Plan::default());
    });
}

#[test]
fn clients_of_a_quiesced_backend_stay_or_go_as_they_are_told() {
    for_both_families(lasting(360), |mut bench| {
        assert_eq!([ONE, NEIGHBOUR].map(|client| bench.connect(client, HTTP)), [1, 2]);
        bench.http().backends[0].weight = 0;
        bench.http().backends[1].drain = true;
        bench.apply();
        assert_eq!([ONE, NEIGHBOUR, FAR].map(|client| bench.connect(client, HTTP)), [1, 2, 3]);
        bench.http().persistence.as_mut().unwrap().when_quiesced = WhenQuiesced::Expire;
        bench.apply();
        assert_eq!([ONE, NEIGHBOUR].map(|client| bench.connect(client, HTTP)), [3, 3]);
        bench.http().backends[0].weight = 1;
        bench.apply();
        assert_eq!([ONE, NEIGHBOUR, FAR].map(|client| bench.connect(client, HTTP)), [3, 3, 3]);
    });
}

#[test]
fn pinned_clients_go_where_they_are_pinned() {
    for_both_families(lasting(360), |mut bench| {
        let family = bench.family;
        let long = if family == Family::V4 { 24 } else { 120 };
        let pin = |client, length, to| ClientPin {
            client: Prefix {
                address: host(family, client),
                length,
            },
            backend: Endpoint {
                address: host(family, to),
                port: Some(behind(HTTP)),
            },
        };
        // The whole test network to 3, the first part of it to 2, one client to 1.
        let one = Prefix::of_one(host(family, ONE)).length;
        bench.http().pins = vec![pin(0, long - 8, 3), pin(0, long, 2), pin(ONE, one, 1)];
        bench.apply();
        for _ in 0..4 {
            assert_eq!([FAR, NEIGHBOUR, ONE].map(|client| bench.connect(client, HTTP)), [3, 2, 1]);
        }
        assert!(bench.expires(&own()).is_empty(), "there is nothing to remember");
        bench.http().backends[0].drain = true;
        let way = bench.apply();
        assert!(!way.ops.iter().any(|op| matches!(op, Op::AddRule(..))), "{way}");
        assert_eq!(bench.connect(ONE, HTTP), 2, "the next longer network's");
    });
}

#[test]
fn clients_can_be_taken_over_into_a_new_table() {
    for_both_families(lasting(360), |mut bench| {
        assert_eq!([ONE, NEIGHBOUR, FAR].map(|client| bench.connect(client, HTTP)), [1, 2, 3]);
        let (before, clients) =
            (bench.remembered(&own()), bench.nft.remembered(bench.family, &own(), usize::MAX).unwrap());
        run_with("nft -f -", &format!("delete table {} wvs", bench.family.nft()));
        bench.apply();
        assert!(bench.remembered(&own()).is_empty());
        let generation = bench.nft.generation().unwrap();
        let ops = vec![Op::Remember(bench.family, own(), clients)];
        bench.nft.commit(&Plan { ops }, generation).unwrap();
        assert_eq!(bench.remembered(&own()), before);
        let expires = bench.expires(&own());
        assert!(expires.iter().all(|it| (300..=360).contains(it)), "{expires:?}");
        assert_eq!([FAR, NEIGHBOUR, ONE].map(|client| bench.connect(client, HTTP)), [3, 2, 1]);
        // From then on their time is the service's again.
        bench.http().persistence = Some(lasting(3600));
        bench.apply();
        assert_eq!(bench.connect(ONE, HTTP), 1);
        assert!(bench.expires(&own())[0] > 3000);
    });
}

#[test]
fn who_does_not_fit_in_is_served_all_the_same() {
    in_namespace(|| {
        let mut bench = Bench::new(Family::V4, &lasting(360));
        let mut script = String::from("add element ip wvs persist-http {\n");
        for n in 0..MOST_CLIENTS {
            let _ = writeln!(script, "{} timeout 1h : 0:1,", std::net::Ipv4Addr::from(0x0b00_0000 + n));
        }
        script.push('}');
        run_with("nft -f -", &script);
        assert_eq!([(); 4].map(|()| bench.connect(ONE, HTTP)), [1, 2, 3, 1]);
        // Nobody waits until the kernel has told all of them.
        let some = bench.nft.remembered(Family::V4, &own(), 1000).unwrap();
        assert!((1001..5000).contains(&some.len()), "{}", some.len());
        assert!(some.iter().all(|it| Key::Address(it.client) != bench.client(ONE)));
        assert_eq!(bench.apply(), Plan::default());
    });
}
