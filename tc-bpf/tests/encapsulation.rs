//! GRE, GUE and outer addresses that tell flows apart, byte by byte (BPF_PROG_TEST_RUN).
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::net::IpAddr;

use common::packet::{ACK, Ip, TCP, UDP, checked, ethernet, framed, pseudo, sum, tcp, udp};
use common::serve::{MAC, OURS, REDIRECT, run, serve, target, v4, v6};
use common::{Sandbox, address};
use wvs_tc_bpf::layout::Event;
use wvs_tc_bpf::{Decapsulator, Encapsulation, Forwarder, Method, Target, Way};

const PORT: u16 = 6080;
const ALL: [Encapsulation; 5] = [
    Encapsulation::Ipip,
    Encapsulation::Gre { checksum: false },
    Encapsulation::Gre { checksum: true },
    Encapsulation::Gue {
        port: PORT,
        checksum: false,
    },
    Encapsulation::Gue {
        port: PORT,
        checksum: true,
    },
];
/// Where tunnels end, whence, and the prefix of that which stays.
const ENDS: [(&str, &str, u8); 2] = [("10.1.0.9", "10.99.0.0", 16), ("fd00::9", "fd99::", 64)];

fn tunnel(encapsulation: Encapsulation, to: &str, source: &str, prefix: Option<u8>) -> Target {
    let plain = target(Method::Tunnel, to, source);
    Target {
        encapsulation,
        way: plain.way.map(|way| Way {
            source_prefix: prefix,
            ..way
        }),
        ..plain
    }
}

/// What lies between the outer IP header and the packet; of GUE with the port that the program chose.
fn between(encapsulation: Encapsulation, outer: &Ip, inner: &[u8], port: u16) -> Vec<u8> {
    let v4 = inner[0] >> 4 == 4;
    match encapsulation {
        Encapsulation::Ipip => Vec::new(),
        Encapsulation::Gre { checksum } => {
            let kind = if v4 { [8, 0] } else { [0x86, 0xdd] };
            let mut gre = vec![if checksum { 0x80 } else { 0 }, 0, kind[0], kind[1]];
            if checksum {
                let check = !sum(&[&gre[..], inner].concat());
                gre.extend(check.to_be_bytes());
                gre.extend([0, 0]);
            }
            gre
        }
        Encapsulation::Gue { port: to, checksum } => {
            let length = 12 + inner.len();
            let mut gue = [port, to, length as u16, 0].map(u16::to_be_bytes).concat();
            gue.extend([0, if v4 { 4 } else { 41 }, 0, 0]);
            if checksum {
                let check = !sum(&[&pseudo(outer, length)[..], &gue, inner].concat());
                let check = if check == 0 { 0xffff } else { check };
                gue[6..8].copy_from_slice(&check.to_be_bytes());
            }
            gue
        }
    }
}

fn octets(packet: &[u8], at: usize, v6: bool) -> IpAddr {
    if v6 {
        let octets: [u8; 16] = packet[at..at + 16].try_into().unwrap();
        octets.into()
    } else {
        let octets: [u8; 4] = packet[at..at + 4].try_into().unwrap();
        octets.into()
    }
}

/// Packets of all kinds, with checksums that hold: those from which the outer one is derived, and others.
fn packets() -> Vec<(Ip, Vec<u8>)> {
    let mut unchecked = udp(1000, 80, b"no sum");
    unchecked[6..8].fill(0);
    let mut packets = Vec::new();
    for ip in [v4(TCP), v6(TCP)] {
        packets.push((ip.clone(), tcp(1000, 80, ACK, &[7; 333])));
        packets.push((ip.clone(), tcp(1001, 80, ACK, b"")));
        let udp_ip = Ip {
            proto: UDP,
            ..ip.clone()
        };
        packets.push((udp_ip.clone(), udp(1000, 80, b"odd")));
        packets.push((udp_ip.clone(), unchecked.clone()));
        packets.push((udp_ip, {
            let mut long = udp(1002, 80, &[0x5a; 1_001]);
            long[6..8].fill(0);
            long
        }));
    }
    let options = Ip {
        options: vec![1; 8],
        ..v4(TCP)
    };
    packets.push((options, tcp(1003, 80, ACK, b"options")));
    let extensions = Ip {
        extensions: vec![(0, vec![0; 8]), (60, vec![0; 8])],
        ..v6(TCP)
    };
    packets.push((extensions, tcp(1003, 80, ACK, b"extensions")));
    let first = Ip {
        fragment: (true, 0),
        df: false,
        ..v4(UDP)
    };
    packets.push((first.clone(), udp(1004, 80, &[9; 16])));
    packets.push((
        Ip {
            fragment: (false, 3),
            ..first
        },
        vec![1, 2, 3],
    ));
    // A router's message about what was sent to the first of these clients.
    for (ip, kind, proto) in [(v4(UDP), 3, 1), (v6(UDP), 2, 58)] {
        let quoted = Ip::new(ip.to, ip.from, UDP).with(&udp(80, 1000, b"odd"));
        let message = [&[kind, 0, 0, 0, 0, 0, 5, 0][..], &quoted].concat();
        packets.push((Ip { proto, ..ip }, message));
    }
    packets
}

/// What leaves of a packet that is as it should be, hop and all. Gives the outer source and GUE's port.
fn proves_frame(frame: &[u8], to: &Target, ip: &Ip, l4: &[u8]) -> (IpAddr, u16) {
    let inner = ip.with(l4);
    let v6 = to.address.is_ipv6();
    let (from_at, header) = if v6 { (14 + 8, 40) } else { (14 + 12, 20) };
    let from = octets(frame, from_at, v6);
    let port = u16::from_be_bytes([frame[14 + header], frame[15 + header]]);
    let proto = match to.encapsulation {
        Encapsulation::Ipip if ip.to.is_ipv4() => 4,
        Encapsulation::Ipip => 41,
        Encapsulation::Gre { .. } => 47,
        Encapsulation::Gue { .. } => UDP,
    };
    let outer = Ip {
        id: 0,
        tos: ip.tos,
        df: ip.df,
        ..Ip::new(from, to.address, proto)
    };
    let payload = [between(to.encapsulation, &outer, &inner, port), inner].concat();
    let expected = framed(MAC, OURS, &[], &outer.with(&payload));
    assert!(frame == expected, "{to:?} {ip:?}\n{frame:x?}\n{expected:x?}");
    (from, port)
}

/// One packet through one tunnel: every byte is what the standards say. Gives the outer source and GUE's port.
fn proves(forwarder: &Forwarder, to: &Target, ip: &Ip, l4: &[u8]) -> (IpAddr, u16) {
    let l4 = if ip.fragment == (false, 0) {
        checked(ip, l4)
    } else {
        l4.to_vec()
    };
    let outcome = run(forwarder, &ethernet(&ip.with(&l4)));
    assert_eq!(outcome.verdict, REDIRECT, "{to:?} {ip:?} {:?}", forwarder.maps().events());
    let ip = Ip {
        ttl: 63,
        ..ip.clone()
    };
    proves_frame(&outcome.packet, to, &ip, &l4)
}

#[test]
fn every_packet_through_every_tunnel() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    for (to, source, prefix) in ENDS {
        for encapsulation in ALL {
            for prefix in [None, Some(prefix)] {
                let tunnel = tunnel(encapsulation, to, source, prefix);
                serve(forwarder.maps(), &tunnel);
                for (ip, l4) in packets() {
                    let (from, port) = proves(&forwarder, &tunnel, &ip, &l4);
                    assert_eq!(from == address(source), prefix.is_none(), "{from}");
                    assert!(
                        from.to_string()
                            .starts_with(["10.99.", "fd99::"][usize::from(from.is_ipv6())]),
                        "{from}"
                    );
                    assert!(port >= 0xc000 || !matches!(encapsulation, Encapsulation::Gue { .. }));
                }
            }
        }
    }
    assert_eq!(forwarder.maps().events().unwrap()[&Event::Encapsulation], 0);
}

/// A flow keeps its outer source and port, and so do the errors about it; flows differ.
#[test]
fn flows_are_told_apart() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    for (to, source, prefix) in ENDS {
        let encapsulation = Encapsulation::Gue {
            port: PORT,
            checksum: false,
        };
        let tunnel = tunnel(encapsulation, to, source, Some(prefix));
        serve(forwarder.maps(), &tunnel);
        for ip in [v4(UDP), v6(UDP)] {
            let mut seen = BTreeSet::new();
            for port in 0..64 {
                let first = proves(&forwarder, &tunnel, &ip, &udp(port, 80, b"one"));
                let again = proves(&forwarder, &tunnel, &ip, &udp(port, 80, b"another"));
                let quoted = Ip::new(ip.to, ip.from, UDP).with(&udp(80, port, b"answer"));
                let (proto, kind) = if ip.to.is_ipv4() { (1, 3) } else { (58, 2) };
                let message = [&[kind, 0, 0, 0, 0, 0, 5, 0][..], &quoted].concat();
                let error = proves(&forwarder, &tunnel, &Ip { proto, ..ip.clone() }, &message);
                assert_eq!((first, first), (again, error));
                seen.insert(first);
            }
            let sources: BTreeSet<_> = seen.iter().map(|(from, _)| from).collect();
            let ports: BTreeSet<_> = seen.iter().map(|(_, port)| port).collect();
            // By chance none or one pair of 64 meets.
            assert!(sources.len() > 60 && ports.len() > 60, "{seen:?}");
        }
    }
}

/// What is too big by one byte of each tunnel's header, and what is not.
#[test]
fn each_tunnel_takes_its_bytes() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    for (to, source, _) in ENDS {
        for (encapsulation, between) in ALL.into_iter().zip([0, 4, 8, 12, 12]) {
            let tunnel = tunnel(encapsulation, to, source, None);
            let room = 1500 - between - if tunnel.address.is_ipv6() { 40 } else { 20 };
            assert_eq!(usize::from(tunnel.overhead()), 1500 - room);
            serve(forwarder.maps(), &tunnel);
            let data = vec![7; room - 40];
            proves(&forwarder, &tunnel, &v4(TCP), &tcp(1000, 80, ACK, &data));
            let data = vec![7; room - 39];
            let outcome = run(&forwarder, &ethernet(&v4(TCP).with(&tcp(1000, 80, ACK, &data))));
            assert_eq!((outcome.verdict, &outcome.packet[34..36]), (REDIRECT, &[3, 4][..]));
            assert_eq!(outcome.packet[40..42], (room as u16).to_be_bytes());
        }
    }
}

#[test]
fn the_decapsulator_takes_them_all_apart() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let decapsulator = Decapsulator::load(&sandbox.pins().with_file_name("real")).unwrap();
    for (to, source, _) in ENDS {
        for encapsulation in ALL {
            serve(forwarder.maps(), &tunnel(encapsulation, to, source, None));
            for (ip, l4) in packets() {
                let mut frame = run(&forwarder, &ethernet(&ip.with(&l4))).packet;
                frame[..12].fill(0);
                decapsulator.remove(address(to)).unwrap();
                assert_eq!(decapsulator.run(&frame).unwrap().packet, frame);
                decapsulator.add_with_gue(address(to), PORT).unwrap();
                let inner = Ip {
                    ttl: 63,
                    ..ip.clone()
                };
                assert_eq!(decapsulator.run(&frame).unwrap().packet, ethernet(&inner.with(&l4)));
            }
        }
    }
    // Another port, another version, a key: not ours.
    let (to, from) = (address("10.1.0.9"), address("10.1.0.1"));
    let inner = v4(TCP).with(&tcp(1, 80, ACK, b""));
    let gue = |port: u16, version: u8| {
        let mut gue = udp(50_000, port, &[version, 4, 0, 0]);
        gue.extend(&inner);
        Ip::new(from, to, UDP).with(&gue)
    };
    let gre = |flags: u8, proto: [u8; 2]| {
        Ip::new(from, to, 47).with(&[&[flags, 0, proto[0], proto[1]][..], &inner].concat())
    };
    for foreign in [
        gue(PORT + 1, 0),
        gue(PORT, 0x40),
        gue(PORT, 0x20),
        gre(0x20, [8, 0]),
        gre(0, [8, 6]),
    ] {
        let frame = ethernet(&foreign);
        assert_eq!(decapsulator.run(&frame).unwrap().packet, frame);
    }
}

/// What leaves by the loopback interface from now on.
struct Tap(std::os::fd::OwnedFd);

impl Tap {
    fn open() -> Self {
        let all = i32::from((libc::ETH_P_ALL as u16).to_be());
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: all as u16,
            sll_ifindex: 1,
            // SAFETY: integers may be zero.
            ..unsafe { std::mem::zeroed() }
        };
        let length = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: a descriptor of our own, and an address of the size that is given with it.
        unsafe {
            let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, all);
            assert!(socket >= 0);
            assert_eq!(libc::bind(socket, (&raw const address).cast(), length), 0);
            Self(std::os::fd::FromRawFd::from_raw_fd(socket))
        }
    }

    /// The frames since the last call. Those that leave by the loopback interface come back: each is here twice.
    fn frames(&self) -> Vec<Vec<u8>> {
        let mut file = std::fs::File::from(self.0.try_clone().unwrap());
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let mut frame = [0; 4_096];
        while let Ok(length) = std::io::Read::read(&mut file, &mut frame) {
            frames.push(frame[..length].to_vec());
        }
        frames.dedup();
        frames
    }
}

/// Without DF, a packet that does not fit is sent in two.
#[test]
fn without_df_a_packet_is_cut_in_two() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let tap = Tap::open();
    let mut direct = target(Method::DirectRouting, "10.1.0.9", "");
    direct.way = direct.way.map(|way| Way { mtu: 1_400, ..way });
    let tunnels = ENDS.iter().flat_map(|(to, source, prefix)| {
        ALL.map(|encapsulation| tunnel(encapsulation, to, source, Some(*prefix)))
    });
    let whole = Ip { df: false, ..v4(UDP) };
    // As it comes whole, and as the first, a middle and the last fragment of something larger.
    let fragments = [(false, 0), (true, 0), (true, 185), (false, 370)];
    let mut cuts = 0;
    for to in tunnels.chain([direct]) {
        serve(forwarder.maps(), &to);
        for fragment in fragments {
            let ip = Ip {
                fragment,
                ..whole.clone()
            };
            // The last byte is odd.
            let l4 = udp(1000, 80, &vec![0x77; 1_471]);
            let l4 = if fragment == (false, 0) {
                checked(&ip, &l4)
            } else {
                l4
            };
            let outcome = run(&forwarder, &ethernet(&ip.with(&l4)));
            assert_eq!(outcome.verdict, REDIRECT, "{to:?}");
            cuts += 1;
            let room = usize::from(to.way.unwrap().mtu) - usize::from(to.overhead()) - 20;
            let (first, second) = l4.split_at(room / 8 * 8);
            let (more, offset) = fragment;
            let ip = Ip { ttl: 63, ..ip };
            let parts = [
                (ip.clone(), (true, offset), first),
                (ip, (more, offset + first.len() as u16 / 8), second),
            ];
            let mut frames = tap.frames();
            assert_eq!(frames.len(), 1, "{frames:x?}");
            frames.push(outcome.packet);
            for ((ip, fragment, l4), frame) in parts.into_iter().zip(frames) {
                let ip = Ip { fragment, ..ip };
                if to.method == Method::Tunnel {
                    proves_frame(&frame, &to, &ip, l4);
                } else {
                    assert_eq!(frame, framed(MAC, OURS, &[], &ip.with(l4)));
                }
            }
        }
    }
    assert_eq!(forwarder.maps().events().unwrap()[&Event::Cut], cuts);
}

/// Where two parts are not the answer, the client is told, DF or not: three would be needed, the checksum is still to be
/// filled in by a device, the header has options, or only the kernel knows the next hop.
#[test]
fn what_cannot_be_cut_is_answered() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let ipip = tunnel(Encapsulation::Ipip, "10.1.0.9", "10.1.0.1", None);
    let with = |mtu: u16, macs: bool| Target {
        way: ipip.way.map(|way| Way {
            mtu,
            macs: way.macs.filter(|_| macs),
            ..way
        }),
        ..ipip
    };
    let whole = Ip { df: false, ..v4(UDP) };
    let data = udp(1000, 80, &[0x77; 1_472]);
    let options = Ip {
        options: vec![1; 4],
        ..whole.clone()
    };
    for (to, ip, l4) in [
        (with(500, true), &whole, checked(&whole, &data)),
        (with(1_500, true), &whole, data.clone()),
        (with(1_500, true), &options, checked(&options, &data)),
        (with(1_500, false), &whole, checked(&whole, &data)),
    ] {
        serve(forwarder.maps(), &to);
        let outcome = run(&forwarder, &ethernet(&ip.with(&l4)));
        assert_eq!((outcome.verdict, &outcome.packet[34..36]), (REDIRECT, &[3, 4][..]), "{to:?}");
        assert_eq!(outcome.packet[40..42], (to.way.unwrap().mtu - 20).to_be_bytes());
    }
    let events = forwarder.maps().events().unwrap();
    assert_eq!((events[&Event::TooBig], events[&Event::Cut]), (4, 0));
}
