//! Services that the tc program takes part in, with real packets. A foreign chain stands in for the program: it
//! writes into packets' priority what the program would.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use support::nft::apply;
use support::peer::{Peer, address, wait};
use support::rulesets::{MASK, host};
use support::{in_namespace, run, run_with};
use wvs_core::config::{Backend, Config, Endpoint, Forward, Listen, PortRange, Service};
use wvs_core::dispatch::DispatchTable;
use wvs_core::ids::BackendIds;
use wvs_core::kernel::conntrack::ConntrackSocket;
use wvs_core::kernel::nft::NftSocket;
use wvs_core::kernel::{Conntrack, MarkMask, Nft};
use wvs_core::pool::PoolKey;
use wvs_core::ruleset::build::{Facts, build};
use wvs_core::ruleset::{Family, Protocol};
use wvs_core::scheduler::{BackendId, Dispatch};

const MARK: MarkMask = MarkMask { mask: MASK };
/// Where the director, its backends, its client and its virtual addresses are.
const DIRECTOR: u16 = 1;
const FIRST: u16 = 2;
const SECOND: u16 = 3;
const PEER: u16 = 9;
const VIRTUAL: u16 = 100;
const SHARED: u16 = 200;

fn backend(family: Family, n: u16, port: Option<u16>, forward: Forward) -> Backend {
    let address = host(family, n);
    Backend {
        forward: Some(forward),
        ..Backend::at(Endpoint { address, port })
    }
}

fn service(name: &str, address: IpAddr, backends: Vec<Backend>) -> Service {
    let ports = vec![PortRange { first: 80, last: 89 }];
    let listen = Listen::Socket {
        protocol: Protocol::Tcp,
        address,
        ports,
    };
    Service {
        slots: 16,
        backends,
        ..Service::named(name, vec![listen])
    }
}

/// A director with a client outside.
struct Bench {
    family: Family,
    nft: NftSocket,
    conntrack: ConntrackSocket,
    ids: BTreeMap<u16, BackendId>,
    peer: Peer,
    servers: Vec<TcpListener>,
}

impl Bench {
    /// `chosen`: which backend nft's own slots lead to in service `mixed`.
    fn new(family: Family, chosen: u16) -> Self {
        let peer = Peer::join();
        peer.run(move || {
            address(family, PEER, "wire", true);
            address(family, SHARED, "lo", false);
        });
        address(family, DIRECTOR, "wire", true);
        for n in [FIRST, SECOND, VIRTUAL, SHARED] {
            address(family, n, "lo", false);
        }
        let to_virtual = format!("ip route add {} via {}", host(family, VIRTUAL), host(family, DIRECTOR));
        peer.run(move || run(&to_virtual));
        let backends = vec![
            backend(family, FIRST, Some(8080), Forward::Nat),
            backend(family, SECOND, Some(8080), Forward::Nat),
            backend(family, DIRECTOR, None, Forward::Dr),
            backend(family, PEER, None, Forward::Dr),
        ];
        let direct = vec![backend(family, PEER, None, Forward::Tun)];
        let config = Config {
            services: vec![
                service("mixed", host(family, VIRTUAL), backends),
                service("direct", host(family, SHARED), direct),
            ],
            ..Config::default()
        };
        let mut ids = BackendIds::default();
        ids.assign(&config, 0xffff).unwrap();
        let id = |service: &str, n, port| {
            let address = host(family, n);
            ids.get(service, Endpoint { address, port }).unwrap()
        };
        let of_mixed: BTreeMap<_, _> = [
            (FIRST, Some(8080)),
            (SECOND, Some(8080)),
            (DIRECTOR, None),
            (PEER, None),
        ]
        .into_iter()
        .map(|(n, port)| (n, id("mixed", n, port)))
        .collect();
        let table = |service: &str, id| {
            let key = PoolKey {
                service: service.into(),
                family,
            };
            let dispatch = Dispatch::Cycle;
            (
                key,
                DispatchTable {
                    dispatch,
                    slots: vec![Some(id); 16],
                },
            )
        };
        let tables = [
            table("mixed", of_mixed[&chosen]),
            table("direct", id("direct", PEER, None)),
        ];
        let facts = Facts {
            local: [host(family, DIRECTOR)].into(),
            queue: None,
        };
        let mut nft = NftSocket::open().unwrap();
        apply(&mut nft, &build(&config, &ids, &tables.into(), &facts));
        let server = |n, port| TcpListener::bind((host(family, n), port)).unwrap();
        Bench {
            family,
            nft,
            conntrack: ConntrackSocket::open().unwrap(),
            ids: of_mixed,
            peer,
            servers: vec![server(FIRST, 8080), server(SECOND, 8080), server(VIRTUAL, 84)],
        }
    }

    /// Has the packets for some ports come in with a priority, as if the tc program had written it.
    fn tag(&self, ports: &[(u16, String)]) {
        let rule = |(port, tag): &(u16, String)| format!("tcp dport {port} meta priority set {tag}\n");
        let rules: String = ports.iter().map(rule).collect();
        let script = format!(
            "table {} stand-in {{
                chain ingress {{ type filter hook prerouting priority -350; {rules} }}
                chain input {{ type filter hook input priority 0; tcp flags & (syn | ack) == syn meta priority none counter; }}
            }}",
            self.family.nft()
        );
        run_with("nft -f -", &script);
    }

    fn tag_of(&self, n: u16) -> String {
        format!("7776:{:x}", self.ids[&n].0)
    }

    /// Connects from outside.
    fn connect(&self, port: u16) -> Result<TcpStream, ErrorKind> {
        let to = SocketAddr::from((host(self.family, VIRTUAL), port));
        self.peer
            .run(move || TcpStream::connect_timeout(&to, Duration::from_secs(10)))
            .map_err(|error| error.kind())
    }

    /// Which listener a connection has come to.
    fn server_of(&self, client: &TcpStream) -> usize {
        let from = client.local_addr().unwrap();
        let mut found = None;
        wait("the connection has come to a server", || {
            found = self.servers.iter().position(|server| {
                server.set_nonblocking(true).unwrap();
                server.accept().is_ok_and(|(_, peer)| peer == from)
            });
            found.is_some()
        });
        found.unwrap()
    }
}

fn for_both_families(chosen: u16, work: fn(Bench)) {
    for family in Family::ALL {
        in_namespace(move || work(Bench::new(family, chosen)));
    }
}

#[test]
fn what_the_tc_program_has_chosen_is_delivered() {
    for_both_families(SECOND, |mut bench| {
        let ports = [
            (81, bench.tag_of(FIRST)),
            (82, "7776:0".into()),
            (83, "7776:99".into()),
            (84, bench.tag_of(DIRECTOR)),
            (85, "0:6".into()),
        ];
        bench.tag(&ports);
        let to = |port| {
            bench
                .connect(port)
                .map(|client| (bench.server_of(&client), client))
        };
        let untagged = to(80).unwrap();
        let first = to(81).unwrap();
        assert_eq!((untagged.0, first.0), (1, 0));
        assert_eq!(to(82).unwrap_err(), ErrorKind::ConnectionRefused);
        // An id that nft does not know (any more), and somebody else's priority: nft chooses by itself.
        let (unknown, foreign) = (to(83).unwrap(), to(85).unwrap());
        assert_eq!((unknown.0, foreign.0), (1, 1));
        let local = to(84).unwrap();
        assert_eq!((local.0, local.1.peer_addr().unwrap().port()), (2, 84));

        let loads = bench.conntrack.loads(MARK).unwrap();
        let loads: Vec<_> = loads
            .iter()
            .map(|(id, load)| (*id, load.active + load.inactive))
            .collect();
        assert_eq!(loads, [(bench.ids[&FIRST], 1), (bench.ids[&SECOND], 3)], "a local backend has no mark");
        let counted = run(&format!("nft list chain {} stand-in input", bench.family.nft()));
        assert!(counted.contains("packets 5 "), "all five go on without a tag: {counted}");
        let traffic = bench.nft.traffic(bench.family, MARK.shift()).unwrap();
        let counts = |n| (traffic[&bench.ids[&n]].connections, traffic[&bench.ids[&n]].chosen);
        assert_eq!((counts(FIRST), counts(SECOND), counts(DIRECTOR)), ((0, 1), (3, 0), (0, 1)));
        assert!(!traffic.contains_key(&BackendId(0)));
    });
}

#[test]
fn what_passed_by_the_tc_program_is_refused_and_not_lost() {
    for_both_families(PEER, |bench| {
        assert_eq!(bench.connect(80).unwrap_err(), ErrorKind::ConnectionRefused);
    });
}

/// The real server holds the virtual address, as direct routing and tunnels ask for.
#[test]
fn a_client_on_the_director_reaches_a_real_server_that_holds_the_virtual_address() {
    for_both_families(PEER, |bench| {
        let family = bench.family;
        let real = bench
            .peer
            .run(move || TcpListener::bind((host(family, PEER), 80)).unwrap());
        let client = TcpStream::connect_timeout(&(host(family, SHARED), 80).into(), Duration::from_secs(10));
        let client = client.unwrap();
        let (_, from) = real.accept().unwrap();
        assert_eq!(from.ip(), host(family, DIRECTOR));
        assert_eq!(client.peer_addr().unwrap().ip(), host(family, SHARED));
    });
}

#[test]
fn a_client_on_the_director_reaches_the_director_as_a_backend() {
    for_both_families(DIRECTOR, |bench| {
        let client = TcpStream::connect((host(bench.family, VIRTUAL), 84)).unwrap();
        assert_eq!(bench.server_of(&client), 2);
    });
}
