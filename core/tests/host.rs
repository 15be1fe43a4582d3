//! Virtual addresses, routes, announcements, and what is found out about a host.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::Read as _;
use std::net::IpAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Protocol, Socket, Type};
use support::{in_namespace, run};
use wvs_core::kernel::nft::NftSocket;
use wvs_core::kernel::vip::RouteSocket;
use wvs_core::kernel::{Addresses, Nft, probe};
use wvs_core::ruleset::Family;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_is_brought_up_once_and_taken_down_once() {
    in_namespace(|| {
        run("ip link add eth0 type veth peer name peer0");
        run("ip link set eth0 up");
        run("ip link set peer0 up");
        let mut door = RouteSocket::open().unwrap();
        for vip in ["10.9.0.100", "2001:db8::100"].map(address) {
            assert!(door.ensure(vip, "eth0").unwrap());
            assert!(!door.ensure(vip, "eth0").unwrap());
            assert!(door.remove(vip, "eth0").unwrap());
            assert!(!door.remove(vip, "eth0").unwrap());
            assert!(!door.remove(vip, "no-such-interface").unwrap());
            assert!(door.ensure(vip, "lo").unwrap());
        }
        door.ensure(address("10.9.0.100"), "eth0").unwrap();
        door.ensure(address("2001:db8::100"), "eth0").unwrap();
        let v4 = run("ip -o -4 address show dev eth0");
        assert!(v4.contains("inet 10.9.0.100/32 scope global eth0") && !v4.contains("brd"), "{v4}");
        let v6 = run("ip -o -6 address show dev eth0");
        assert!(v6.contains("inet6 2001:db8::100/128 scope global nodad deprecated"), "{v6}");
    });
}

#[test]
fn an_address_with_a_network_is_somebody_elses() {
    in_namespace(|| {
        run("ip address add 10.9.0.100/24 dev lo");
        let mut door = RouteSocket::open().unwrap();
        assert!(!door.ensure(address("10.9.0.100"), "lo").unwrap());
        assert!(!door.remove(address("10.9.0.100"), "lo").unwrap());
        assert!(run("ip address show dev lo").contains("10.9.0.100/24"));
    });
}

#[test]
fn a_missing_interface_is_named_with_those_that_exist() {
    in_namespace(|| {
        run("ip link add eth0 type veth peer name peer0");
        let mut door = RouteSocket::open().unwrap();
        let vip = address("10.9.0.100");
        assert!(door.interface(vip, "eth0").is_ok());
        let error = door.ensure(vip, "eht0").unwrap_err();
        let words = error.to_string();
        assert!(
            words.starts_with("cannot bring up 10.9.0.100 on interface eht0; did you mean eth0? There are "),
            "{words}"
        );
        assert!(words.contains("peer0") && words.contains("lo"), "{words}");
        assert_eq!(error.source.to_string(), "there is no such interface");
        assert!(
            door.interface(vip, "wlan0")
                .unwrap_err()
                .to_string()
                .contains("; there are ")
        );
    });
}

#[test]
fn what_cannot_be_reached_says_why() {
    in_namespace(|| {
        run("ip link set lo up");
        let mut door = RouteSocket::open().unwrap();
        for near in ["127.0.0.1", "::1"] {
            assert_eq!(door.unreachable(address(near)), None);
        }
        for far in ["10.9.0.1", "2001:db8::1"] {
            assert_eq!(door.unreachable(address(far)).as_deref(), Some("there is no route to it"));
        }
        for (at, kind) in ["unreachable", "blackhole", "prohibit"].into_iter().enumerate() {
            run(&format!("ip route add {kind} 10.{at}.0.0/16"));
            run(&format!("ip -6 route add {kind} 2001:db8:{at}::/48"));
            for far in [format!("10.{at}.0.1"), format!("2001:db8:{at}::1")] {
                let why = door.unreachable(address(&far)).unwrap();
                assert_eq!(why, format!("its route is of type {kind}"), "{far}");
            }
        }
    });
}

#[test]
fn forwarding_is_read_in_the_namespace() {
    in_namespace(|| {
        let mut door = RouteSocket::open().unwrap();
        for (family, file) in [
            (Family::V4, "/proc/sys/net/ipv4/ip_forward"),
            (Family::V6, "/proc/sys/net/ipv6/conf/all/forwarding"),
        ] {
            for (text, expected) in [("1", true), ("0", false)] {
                std::fs::write(file, text).unwrap();
                assert_eq!(door.forwards(family), expected);
            }
        }
    });
}

/// What a neighbour at the other end of a cable received and remembers.
struct Heard {
    arp: Vec<Vec<u8>>,
    ipv6: Vec<Vec<u8>>,
    neighbours: String,
}

/// Brings up both addresses on `eth0` and gives back what a neighbour in another namespace made of it.
fn neighbour_of(bring_up: impl FnOnce()) -> Heard {
    let (tell, told) = mpsc::channel();
    let (start, started) = mpsc::channel();
    let neighbour = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let listen = |protocol: i32| {
            let protocol = Protocol::from(i32::from((protocol as u16).to_be()));
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket
        };
        let (mut arp, mut ipv6) = (listen(nix::libc::ETH_P_ARP), listen(nix::libc::ETH_P_IPV6));
        tell.send(nix::unistd::gettid()).unwrap();
        started.recv().unwrap();
        run("ip link set peer0 up");
        run("ip address add 10.9.0.2/24 dev peer0");
        run("ip neighbour add 10.9.0.100 lladdr 02:00:00:00:00:99 dev peer0 nud stale");
        run("ip neighbour add 2001:db8::100 lladdr 02:00:00:00:00:99 dev peer0 nud stale");
        tell.send(nix::unistd::gettid()).unwrap();
        let mut heard = Heard {
            arp: Vec::new(),
            ipv6: Vec::new(),
            neighbours: String::new(),
        };
        let end = Instant::now() + Duration::from_secs(10);
        let is_advertisement = |packet: &[u8]| packet.get(6) == Some(&58) && packet.get(40) == Some(&136);
        while (heard.arp.len() < 2 || heard.ipv6.is_empty()) && Instant::now() < end {
            let mut buffer = [0; 1500];
            if let Ok(length) = arp.read(&mut buffer) {
                heard.arp.push(buffer[..length].to_vec());
            }
            if let Ok(length) = ipv6.read(&mut buffer) {
                heard
                    .ipv6
                    .extend(is_advertisement(&buffer[..length]).then(|| buffer[..length].to_vec()));
            }
        }
        heard.neighbours = run("ip neighbour show dev peer0");
        heard
    });
    let id = told.recv().unwrap();
    run("ip link add eth0 address 02:00:00:00:00:01 type veth peer name peer0");
    run(&format!("ip link set peer0 netns {id}"));
    run("ip link set eth0 up");
    start.send(()).unwrap();
    told.recv().unwrap();
    bring_up();
    neighbour.join().unwrap()
}

#[test]
fn neighbours_learn_where_an_address_is_now() {
    in_namespace(|| {
        let heard = neighbour_of(|| {
            let mut door = RouteSocket::open().unwrap();
            door.ensure(address("10.9.0.100"), "eth0").unwrap();
            door.ensure(address("2001:db8::100"), "eth0").unwrap();
        });
        let hardware = [2, 0, 0, 0, 0, 1];
        for (packet, operation) in heard.arp.iter().zip([1, 2]) {
            assert_eq!(packet[7], operation);
            assert_eq!(packet[8..14], hardware);
            assert_eq!(packet[14..18], [10, 9, 0, 100]);
            assert_eq!(packet[24..28], [10, 9, 0, 100]);
        }
        let advertisement = &heard.ipv6[0];
        let (header, message) = advertisement.split_at(40);
        assert_eq!(header[7], 255, "hop limit");
        assert_eq!(address("2001:db8::100"), IpAddr::from(<[u8; 16]>::try_from(&header[8..24]).unwrap()));
        assert_eq!(address("ff02::1"), IpAddr::from(<[u8; 16]>::try_from(&header[24..40]).unwrap()));
        assert_eq!(message[4], 0x20, "override, not solicited, no router");
        assert_eq!(message[26..32], hardware);
        for vip in ["10.9.0.100", "2001:db8::100"] {
            let learnt = format!("{vip} lladdr 02:00:00:00:00:01");
            assert!(heard.neighbours.contains(&learnt), "{}", heard.neighbours);
        }
    });
}

#[test]
fn this_host_has_all_that_is_required() {
    in_namespace(|| {
        let before = NftSocket::open().unwrap().generation().unwrap();
        let findings = probe::host();
        for finding in &findings {
            assert_eq!(finding.ok, finding.fix.is_none(), "{finding:?}");
            assert!(finding.ok || finding.name.contains("forward"), "{finding:?}");
        }
        assert_eq!(run("nft list ruleset"), "");
        assert_eq!(NftSocket::open().unwrap().generation().unwrap(), before);
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let findings = probe::host();
        let off = findings
            .iter()
            .find(|it| it.name == "net.ipv4.ip_forward")
            .unwrap();
        assert_eq!(off.fix.as_deref(), Some("sysctl -w net.ipv4.ip_forward=1"));
    });
}

#[test]
fn looking_at_a_host_leaves_a_running_director_alone() {
    in_namespace(|| {
        run("nft add table ip wvs-rehearsal");
        run("nft add table ip wvs");
        let before = run("nft list ruleset");
        assert!(probe::required().iter().all(|finding| finding.ok));
        assert_eq!(run("nft list ruleset"), before);
    });
}

#[test]
fn missing_privileges_are_named_with_the_fix() {
    in_namespace(|| {
        // Capabilities belong to a thread, and this one ends with the test.
        caps::clear(None, caps::CapSet::Effective).unwrap();
        let findings = probe::host();
        let bad: Vec<_> = findings
            .iter()
            .filter(|it| !it.ok)
            .map(|it| it.name.as_str())
            .collect();
        assert!(
            bad.starts_with(&["CAP_NET_ADMIN", "CAP_NET_RAW", "nftables", "conntrack"]),
            "{findings:#?}"
        );
        for finding in findings.iter().filter(|it| it.name.starts_with("CAP_")) {
            let fix = format!("run as root, or give the unit AmbientCapabilities={}", finding.name);
            assert_eq!(finding.fix.as_deref(), Some(fix.as_str()));
        }
    });
}
