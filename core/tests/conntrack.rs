//! Connections through a service: what conntrack and the element counters say of them, and how they are cut.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use support::rulesets::{MASK, SLOTS, add_backend, elements, goto, host, ruleset, small};
use support::{in_namespace, run};
use wvs_core::kernel::conntrack::ConntrackSocket;
use wvs_core::kernel::nft::NftSocket;
use wvs_core::kernel::{Conntrack, MarkMask, Nft};
use wvs_core::plan::plan;
use wvs_core::ruleset::{Family, Key, MapName, Protocol};
use wvs_core::scheduler::{BackendId, Load};

const MARK: MarkMask = MarkMask { mask: MASK };

/// A namespace's loopback with a virtual address and two backends on it, and the service in the kernel.
struct Bench {
    nft: NftSocket,
    conntrack: ConntrackSocket,
    family: Family,
    servers: Vec<TcpListener>,
}

impl Bench {
    fn new(family: Family) -> Self {
        run("ip link set lo up");
        for n in [1, 2, 100] {
            let (version, prefix, nodad) = if family == Family::V4 {
                (4, 32, "")
            } else {
                (6, 128, "nodad")
            };
            let address = host(family, n);
            run(&format!("ip address add {address}/{prefix} dev lo {nodad}"));
            // The kernel makes an IPv6 address's route later, in a work queue; until then packets are lost.
            wait("the address has a route", || {
                run(&format!("ip -{version} route show table local {address}")).starts_with("local")
            });
        }
        let mut table = small(family, 2);
        let key = Key::Service(host(family, 100), Protocol::Udp, 53);
        elements(&mut table, MapName::Services).insert(key, goto("svc-web"));
        add_backend(&mut table, "web", 2, host(family, 2), Some(8080), &[Protocol::Tcp, Protocol::Udp]);
        table
            .slots
            .insert("slots-web".into(), (0..SLOTS).map(|n| Some(BackendId(1 + n as u16 % 2))).collect());
        let mut nft = NftSocket::open().unwrap();
        let before = nft.observe().unwrap();
        nft.commit(&plan(&ruleset([(family, table)]), &before), before.generation)
            .unwrap();
        let server = |n| TcpListener::bind((host(family, n), 8080)).unwrap();
        Bench {
            nft,
            conntrack: ConntrackSocket::open().unwrap(),
            family,
            servers: vec![server(1), server(2)],
        }
    }

    fn service(&self) -> SocketAddr {
        (host(self.family, 100), 80).into()
    }

    fn loads(&mut self) -> Vec<(u16, u32, u32)> {
        let loads = self.conntrack.loads(MARK).unwrap();
        loads
            .into_iter()
            .map(|(id, Load { active, inactive })| (id.0, active, inactive))
            .collect()
    }
}

/// Waits until something holds, for at most ten seconds.
fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn for_both_families(work: fn(Bench)) {
    for family in Family::ALL {
        in_namespace(move || work(Bench::new(family)));
    }
}

#[test]
fn connections_are_counted_by_backend_and_state() {
    for_both_families(|mut bench| {
        assert_eq!(bench.loads(), []);
        let clients: Vec<_> = (0..6)
            .map(|_| TcpStream::connect(bench.service()).unwrap())
            .collect();
        assert_eq!(bench.loads(), [(1, 3, 0), (2, 3, 0)]);
        drop(clients);
        for server in &bench.servers {
            (0..3).for_each(|_| drop(server.accept().unwrap()));
        }
        wait("closed connections are inactive", || bench.loads() == [(1, 0, 3), (2, 0, 3)]);
    });
}

#[test]
fn flows_are_listed_with_where_they_went() {
    for_both_families(|mut bench| {
        let client = TcpStream::connect(bench.service()).unwrap();
        let (flows, count) = bench.conntrack.flows(MARK, 10).unwrap();
        assert_eq!(count, 1);
        let flow = &flows[0];
        assert_eq!(flow.client, client.local_addr().unwrap());
        assert_eq!(flow.target, bench.service());
        assert_eq!(
            flow.server,
            bench.servers[usize::from(flow.backend.0) - 1]
                .local_addr()
                .unwrap()
        );
        assert_eq!((flow.protocol, flow.state.as_str()), (Protocol::Tcp, "ESTABLISHED"));
        assert!(flow.expires > 1000);
        let found = bench
            .conntrack
            .flow(MARK, Protocol::Tcp, flow.client, flow.target)
            .unwrap();
        assert_eq!(found.map(|found| (found.server, found.state)), Some((flow.server, flow.state.clone())));
        for (protocol, client, target) in [
            (Protocol::Udp, flow.client, flow.target),
            (Protocol::Tcp, flow.target, flow.client),
            // Its way back is no connection.
            (Protocol::Tcp, flow.server, flow.client),
        ] {
            let found = bench.conntrack.flow(MARK, protocol, client, target).unwrap();
            assert_eq!(found, None, "{protocol} {client} {target}");
        }

        let more: Vec<_> = (0..4)
            .map(|_| TcpStream::connect(bench.service()).unwrap())
            .collect();
        let (flows, count) = bench.conntrack.flows(MARK, 3).unwrap();
        assert_eq!((flows.len(), count), (3, 1 + more.len()));
    });
}

#[test]
fn datagrams_are_inactive_and_say_whether_they_were_answered() {
    for_both_families(|mut bench| {
        let server = UdpSocket::bind((host(bench.family, 2), 8080)).unwrap();
        // Backend 1 takes TCP only, so the even slots' datagrams go on to the local host.
        let client = UdpSocket::bind((host(bench.family, 100), 0)).unwrap();
        client.connect((host(bench.family, 100), 53)).unwrap();
        client.send(b"one").unwrap();
        let other = UdpSocket::bind((host(bench.family, 100), 0)).unwrap();
        other.connect((host(bench.family, 100), 53)).unwrap();
        other.send(b"two").unwrap();
        let state = |bench: &mut Bench| {
            let (flows, _) = bench.conntrack.flows(MARK, 10).unwrap();
            let flow = flows.into_iter().find(|it| it.backend == BackendId(2));
            flow.expect("it is listed").state
        };
        assert_eq!(state(&mut bench), "UNREPLIED");
        let mut buffer = [0; 10];
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(b"answer", from).unwrap();
        assert_eq!(state(&mut bench), "REPLIED");
        assert!(bench.loads().contains(&(2, 0, 1)));
    });
}

#[test]
fn cut_connections_end_with_a_reset_and_others_live() {
    for_both_families(|mut bench| {
        let clients: Vec<_> = (0..20)
            .map(|_| TcpStream::connect(bench.service()).unwrap())
            .collect();
        let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stranger = TcpStream::connect(foreign.local_addr().unwrap()).unwrap();
        assert_eq!(bench.conntrack.cut(MARK, &[]).unwrap(), 0);
        assert_eq!(bench.conntrack.cut(MARK, &[BackendId(7)]).unwrap(), 0);
        assert_eq!(bench.conntrack.cut(MARK, &[BackendId(2), BackendId(7)]).unwrap(), 10);
        assert_eq!(bench.loads(), [(1, 10, 0)]);
        assert_eq!(bench.conntrack.cut(MARK, &[BackendId(1)]).unwrap(), 10);
        assert_eq!(bench.loads(), []);
        assert_eq!(bench.conntrack.cut(MARK, &[BackendId(1)]).unwrap(), 0);

        stranger.write_all(b"x").unwrap();
        foreign.accept().unwrap().0.read_exact(&mut [0]).unwrap();
        // The next packet is a new connection to conntrack. The cycle has come to backend 1, to which this
        // one of backend 2 is unknown.
        let mut client = &clients[1];
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(b"x").unwrap();
        let end = client.read(&mut [0]).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn many_connections_are_cut_at_once() {
    in_namespace(|| {
        let mut bench = Bench::new(Family::V4);
        // More than fit into one datagram of deletions: 2,000 times 80 bytes.
        let clients: Vec<_> = (0..2000)
            .map(|n| {
                let client = UdpSocket::bind((host(Family::V4, 100), 0)).unwrap();
                client
                    .send_to(b"x", (host(Family::V4, 100), 53))
                    .unwrap_or_else(|error| panic!("{n}: {error}"));
                client
            })
            .collect();
        let (_, count) = bench.conntrack.flows(MARK, 0).unwrap();
        assert_eq!(count, clients.len());
        assert_eq!(bench.conntrack.cut(MARK, &[BackendId(1), BackendId(2)]).unwrap(), clients.len());
        assert_eq!(bench.loads(), []);
    });
}

#[test]
fn element_counters_say_who_got_what() {
    for_both_families(|mut bench| {
        for _ in 0..5 {
            let mut client = TcpStream::connect(bench.service()).unwrap();
            client.write_all(&[0; 500]).unwrap();
        }
        let traffic = bench.nft.traffic(bench.family, MARK.shift()).unwrap();
        let connections: Vec<_> = traffic.iter().map(|(id, it)| (id.0, it.connections)).collect();
        assert_eq!(connections, [(1, 3), (2, 2)]);
        for (id, it) in &traffic {
            assert!(it.sent.bytes > 500 * it.connections, "{id:?} {it:?}");
            assert!(it.received.packets > 0 && it.received.bytes < it.sent.bytes, "{id:?} {it:?}");
        }
        assert_eq!(bench.nft.position(bench.family, "svc-web").unwrap(), 5);
        assert_eq!(bench.nft.position(bench.family, "no-such-chain").unwrap(), 0);
        let other = Family::ALL.into_iter().find(|it| *it != bench.family).unwrap();
        assert!(bench.nft.traffic(other, MARK.shift()).unwrap().is_empty());
    });
}
