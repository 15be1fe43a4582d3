//! Real servers at the real kernel: settings, addresses, who answers for them, and packets out of tunnels.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use support::real_server::{Lab, SERVER, VIPS, ask, read_sysctl, send, settle, sysctl};
use support::{in_namespace, run};
use wvs_core::real_server::{
    Change, Door, DoorError, Origin, Seen, SetupError, State, Unmade, Wish, judge, plan, setup,
};
use wvs_core::ruleset::Family;
use wvs_tc_bpf::layout::Event;
use wvs_tc_bpf::{Encapsulation, Forwarder, Kind, Listen, Method, ServiceSettings, Sizes, Target, Way};

#[test]
fn direct_routing_is_set_up_once_and_taken_back() {
    in_namespace(|| {
        let lab = Lab::new();
        let (before, wish) = (lab.state(), lab.wish(&VIPS, "dr", None));
        let made = lab.set_up(&wish).unwrap();
        assert_eq!(made.changes.len(), 4, "{made:?}");
        assert!(made.items.iter().all(|it| it.ok), "{:#?}", made.items);
        lab.within("r", || {
            assert_eq!(read_sysctl("ipv4/conf/all/arp_ignore"), "1");
            assert_eq!(read_sysctl("ipv4/conf/all/arp_announce"), "2");
            let lo = run("ip -o address show dev lo");
            assert!(lo.contains("inet 10.0.0.100/32 ") && lo.contains("inet6 fd00::100/128 "), "{lo}");
        });
        let after = lab.state();
        assert_eq!(lab.set_up(&wish).unwrap().changes, []);
        assert_eq!(lab.state(), after);
        assert!(lab.status(None).items.iter().all(|it| it.ok));
        // Anybody may ask, with or without a memory.
        assert!(lab.status(Some(wish)).remembered);
        let other = lab.wish(&["10.0.0.101"], "dr", None);
        assert!(
            lab.status(Some(other))
                .items
                .iter()
                .any(|it| it.state == State::Missing)
        );
        assert_eq!(lab.set_back().changes.len(), 4);
        assert_eq!(lab.state(), before);
    });
}

#[test]
fn what_was_there_before_stays() {
    in_namespace(|| {
        let lab = Lab::new();
        lab.within("r", || {
            run("ip address add 10.0.0.100/32 dev lo label lo:0");
            sysctl("ipv4/conf/all/arp_ignore", "2");
        });
        let before = lab.state();
        let made = lab.set_up(&lab.wish(&["10.0.0.100"], "dr", None)).unwrap();
        assert_eq!(made.changes.len(), 1, "{made:?}");
        lab.set_back();
        assert_eq!(lab.state(), before);
    });
}

/// The director does not have the virtual addresses here: who asks for them hears of nobody but a real server that
/// speaks out of turn.
#[test]
fn neighbours_are_not_told_of_virtual_addresses() {
    in_namespace(|| {
        let lab = Lab::new();
        lab.within("r", || {
            run("ip address add 10.0.0.100/32 dev lo");
            run("ip address add fd00::100/128 dev lo nodad");
            settle();
        });
        lab.serve(&VIPS);
        assert_eq!(send("10.0.0.100", 1).unwrap(), 1, "without setup the real server answers");
        // IPv6 answers for no address of another interface, and needs no setting.
        assert_eq!(send("fd00::100", 1).unwrap_err().kind(), ErrorKind::HostUnreachable);

        lab.set_up(&lab.wish(&VIPS, "dr", None)).unwrap();
        run("ip neighbour flush all");
        assert_eq!(send("10.0.0.100", 1).unwrap_err().kind(), ErrorKind::HostUnreachable);
        // The host itself is there for its neighbours as before.
        lab.serve(&SERVER);
        for address in SERVER {
            assert_eq!(send(address, 1).unwrap(), 1, "{address}");
        }
        lab.set_back();
        assert_eq!(send("10.0.0.100", 1).unwrap(), 1, "after undo it answers again");
    });
}

#[test]
fn no_question_comes_from_a_virtual_address() {
    in_namespace(|| {
        let lab = Lab::new();
        lab.within("r", || run("ip address add 10.0.0.100/32 dev lo"));
        // The neighbour learns from the question; that it has no server does not matter.
        let asks_from_vip = || {
            run("ip neighbour flush all");
            lab.within("r", || {
                run("ip neighbour flush all");
                let socket = std::net::UdpSocket::bind("10.0.0.100:0").unwrap();
                socket.connect("10.0.0.1:9").unwrap();
                socket.send(b"x").unwrap();
                support::wait_for("the neighbour to answer", || {
                    run("ip neighbour show 10.0.0.1").contains("lladdr")
                });
            });
            run("ip neighbour show 10.0.0.100").contains("lladdr")
        };
        assert!(asks_from_vip(), "without setup the virtual address asks");
        lab.set_up(&lab.wish(&["10.0.0.100"], "dr", None)).unwrap();
        assert!(!asks_from_vip());
    });
}

#[test]
fn obstacles_change_nothing() {
    in_namespace(|| {
        let lab = Lab::new();
        lab.within("r", || run("ip address add 10.0.0.100/24 dev eth0"));
        let before = lab.state();
        let error = lab.set_up(&lab.wish(&VIPS, "dr", None)).unwrap_err();
        let SetupError::Obstacles(items) = &error else {
            panic!("{error}")
        };
        assert_eq!(items[0].fix.as_deref(), Some("ip address delete 10.0.0.100/24 dev eth0"));
        assert_eq!((lab.state(), lab.state_dir().join("real-server.json").exists()), (before, false));
    });
}

/// The director's program in the test's own namespace: everything for the virtual addresses goes to the real server
/// in a tunnel.
fn tunnel_from_director(lab: &Lab, crossed: bool) -> Forwarder {
    lab.give_vips_to_the_director();
    let sizes = Sizes {
        listeners: 64,
        services: 16,
        backends: 256,
        flows4: 65_536,
        flows6: 65_536,
        half_open: 65_536,
        fragments: 4_096,
        ..Sizes::default()
    };
    let mut forwarder = Forwarder::load(&lab.pins("d"), &sizes).unwrap();
    let maps = forwarder.maps();
    for (id, vip) in (1..).zip(VIPS) {
        let outer = (usize::from(id) - 1) ^ usize::from(crossed);
        let way = Way {
            ifindex: nix::net::if_::if_nametoindex("eth0").unwrap(),
            mtu: 1500,
            macs: None,
            source: Some(["10.0.0.1", "fd00::1"][outer].parse().unwrap()),
            source_prefix: None,
        };
        let target = Target {
            method: Method::Tunnel,
            address: SERVER[outer].parse().unwrap(),
            generation: 1,
            way: Some(way),
            encapsulation: Encapsulation::Ipip,
            quiesced: false,
        };
        maps.set_backend(id, &target).unwrap();
        maps.set_table(id.into(), Kind::Cycle, 1, &[Some(id)]).unwrap();
        maps.set_service(id.into(), &ServiceSettings::default()).unwrap();
        for protocol in [6, 17] {
            maps.set_listener(Listen::Address(vip.parse().unwrap(), protocol, 80), id.into())
                .unwrap();
        }
    }
    maps.set_limits(100_000, 1_000).unwrap();
    forwarder.attach("eth0").unwrap();
    forwarder
}

#[test]
fn tunnels_end_at_the_program_where_the_kernel_has_no_devices() {
    in_namespace(|| {
        let lab = Lab::new();
        lab.within("r", || {
            sysctl("ipv4/conf/all/rp_filter", "1");
            sysctl("ipv4/conf/eth0/rp_filter", "1");
        });
        let forwarder = tunnel_from_director(&lab, false);
        let (before, wish) = (lab.state(), lab.wish(&VIPS, "ipip", Some("eth0")));
        let seen = lab.within("r", || lab.door().see(&wish, true).unwrap());
        if seen.abilities.iter().flatten().next().is_some() {
            note("SKIPPED: this kernel has devices for tunnels");
            return;
        }
        let made = lab.set_up(&wish).unwrap();
        let changes: Vec<_> = made.changes.iter().map(ToString::to_string).collect();
        assert!(changes.contains(&"+ decapsulator on eth0".to_owned()), "{changes:?}");
        lab.serve(&VIPS);
        // Segments that the kernel cuts late are never too big.
        lab.within("c", || drop(run("ip link set dev eth0 gso_max_segs 1")));
        // The program is the kernel's now: nobody here holds it.
        lab.within("c", || {
            for vip in VIPS {
                assert_eq!(send(vip, 500_000).unwrap(), 500_000, "{vip}");
                assert_eq!(ask(vip).unwrap(), b"a datagram", "{vip}");
            }
        });
        let status = lab.status(None);
        assert!(status.items.iter().all(|it| it.ok), "{status:#?}");

        // What is advised for the segments is true: with it nothing is too big.
        let too_big = || forwarder.maps().events().unwrap()[&Event::TooBig];
        assert!(too_big() > 0);
        let advised = |status: &wvs_core::real_server::Status| -> Vec<String> {
            let advice = status.items.iter().filter(|it| it.state == State::Advice);
            advice.filter_map(|it| it.fix.clone()).collect()
        };
        let commands = advised(&status);
        assert_eq!(commands.len(), 2, "{status:#?}");
        lab.within("r", || commands.iter().for_each(|command| drop(run(command))));
        assert_eq!(advised(&lab.status(None)), [""; 0]);
        // What a client has learnt before must not help.
        lab.within("c", || {
            run("ip route flush cache");
            run("ip -6 route flush cache");
        });
        lab.within("c", || {
            for vip in VIPS {
                let route = run(&format!("ip route get {vip}"));
                assert!(!route.contains("mtu"), "{route}");
            }
        });
        let before_advice = too_big();
        lab.within("c", || {
            for vip in VIPS {
                assert_eq!(send(vip, 500_000).unwrap(), 500_000, "{vip}");
            }
        });
        assert_eq!(too_big(), before_advice);

        let undone = lab.set_back();
        assert_eq!(undone.changes.len(), made.changes.len(), "{undone:?}");
        assert_eq!(lab.state(), before);
        assert!(!lab.pins("r").join("decap").exists());
    });
}

#[test]
fn the_program_takes_tunnels_of_the_other_family() {
    in_namespace(|| {
        let lab = Lab::new();
        let _forwarder = tunnel_from_director(&lab, true);
        // IPv6 in IPv4 has no device of wvs's, whatever the kernel can do.
        let wish = Wish {
            outer: Some(Family::V4),
            ..lab.wish(&VIPS[1..], "ipip", Some("eth0"))
        };
        let made = lab.set_up(&wish).unwrap();
        assert!(made.items.iter().all(|it| it.ok), "{:#?}", made.items);
        lab.serve(&VIPS[1..]);
        lab.within("c", || {
            assert_eq!(send(VIPS[1], 200_000).unwrap(), 200_000);
            assert_eq!(ask(VIPS[1]).unwrap(), b"a datagram");
        });
    });
}

#[expect(clippy::print_stderr, reason = "shown to people, by the test runner")]
fn note(text: &str) {
    eprintln!("{text}");
}

/// On kernels that have no such devices, the refusal and its fix; on others, packets.
fn by_devices(tunnel: &str, vip: &str, sender: &str) {
    let outer = sender.contains("remote fd00::11");
    let outer = if outer { Family::V6 } else { Family::V4 };
    let lab = Lab::new();
    lab.within("r", || {
        for conf in ["all", "default", "eth0"] {
            sysctl(&format!("ipv4/conf/{conf}/rp_filter"), "1");
        }
    });
    let wish = Wish {
        outer: (outer != Family::of(vip.parse().unwrap())).then_some(outer),
        ..lab.wish(&[vip], tunnel, None)
    };
    let before = lab.state();
    let made = match lab.set_up(&wish) {
        Ok(made) => made,
        Err(SetupError::Obstacles(items)) => {
            let words = format!("{items:?}");
            assert!(words.contains("modprobe") || words.contains("--interface"), "{words}");
            assert_eq!(lab.state(), before);
            note("SKIPPED: this kernel has no such tunnels");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    lab.tunnel_from_client(vip, sender);
    assert!(made.items.iter().all(|it| it.ok), "{:#?}", made.items);
    assert_eq!(lab.set_up(&wish).unwrap().changes, []);
    lab.serve(&[vip]);
    lab.within("c", || {
        assert_eq!(send(vip, 200_000).unwrap(), 200_000);
        assert_eq!(ask(vip).unwrap(), b"a datagram");
    });
    // The kernel's own devices, which come with the modules, are not ours.
    let ours = |state: &str| state.lines().filter(|line| line.contains("wvs-")).count();
    assert!(ours(&lab.state()) > 0);
    lab.set_back();
    assert_eq!(ours(&lab.state()), 0);
    assert!(lab.state().lines().filter(|line| line.contains(vip)).count() == 0);
    lab.end_tunnel_from_client();
}

macro_rules! tunnels {
    ($($name:ident: $tunnel:expr, $vip:expr, $sender:expr;)*) => {
        $(#[test]
        fn $name() {
            in_namespace(|| by_devices($tunnel, $vip, $sender));
        })*
    };
}

tunnels! {
    ipip_by_a_device: "ipip", "10.0.0.100", "type ipip local 192.0.2.2 remote 10.0.0.11";
    ip6tnl_by_a_device: "ipip", "fd00::100", "type ip6tnl mode ip6ip6 local 2001:db8::2 remote fd00::11";
    gre_by_a_device: "gre", "10.0.0.100", "type gre local 192.0.2.2 remote 10.0.0.11";
    gre_with_checksums_by_a_device:
        "gre+checksum", "10.0.0.100", "type gre local 192.0.2.2 remote 10.0.0.11 csum";
    ip6gre_by_a_device: "gre", "fd00::100", "type ip6gre local 2001:db8::2 remote fd00::11";
    ip6gre_with_checksums_by_a_device:
        "gre+checksum", "fd00::100", "type ip6gre local 2001:db8::2 remote fd00::11 csum";
    ipip6_by_a_device: "ipip", "10.0.0.100", "type ip6tnl mode ipip6 local 2001:db8::2 remote fd00::11";
    gre_of_ipv6_over_ipv4_by_a_device: "gre", "fd00::100", "type gre local 192.0.2.2 remote 10.0.0.11";
    gre_of_ipv4_over_ipv6_by_a_device:
        "gre", "10.0.0.100", "type ip6gre local 2001:db8::2 remote fd00::11";
    gue_of_ipv4_over_ipv6_by_a_device: "gue:7070", "10.0.0.100",
        "type ip6tnl mode ipip6 local 2001:db8::2 remote fd00::11 encap gue encap-sport auto encap-dport 7070 \
         encap-csum";
    gue_by_a_device: "gue:6080", "10.0.0.100",
        "type ipip local 192.0.2.2 remote 10.0.0.11 encap gue encap-sport auto encap-dport 6080 noencap-csum";
    gue6_by_a_device: "gue:7070", "fd00::100",
        "type ip6tnl mode ip6ip6 local 2001:db8::2 remote fd00::11 encap gue encap-sport auto encap-dport 7070 \
         encap-csum";
}

/// A door that dies after so many changes, as the process may.
struct Dying<D> {
    door: D,
    left: usize,
}

impl<D: Door> Door for Dying<D> {
    fn origin(&mut self) -> Result<Origin, DoorError> {
        self.door.origin()
    }

    fn see(&mut self, wish: &Wish, trying: bool) -> Result<Seen, DoorError> {
        self.door.see(wish, trying)
    }

    fn make(&mut self, change: &Change) -> Result<(), DoorError> {
        self.door.make(change)?;
        assert!(self.left > 0, "killed");
        self.left -= 1;
        Ok(())
    }

    fn unmake(&mut self, change: &Change) -> Result<Unmade, DoorError> {
        self.door.unmake(change)
    }
}

fn killed_at_each_step(tunnel: &'static str) {
    in_namespace(move || {
        let lab = Lab::new();
        let wish = lab.wish(&VIPS, tunnel, Some("eth0"));
        let seen = lab.within("r", || lab.door().see(&wish, true).unwrap());
        // Modules that were loaded for that have brought devices.
        let before = lab.state();
        let steps = plan(&judge(&wish, &seen)).len();
        assert!(steps >= 4, "{steps}");
        for at in 0..steps {
            for goes_on in [false, true] {
                let killed = lab.within("r", || {
                    let mut dying = Dying {
                        door: lab.door(),
                        left: at,
                    };
                    catch_unwind(AssertUnwindSafe(|| setup(&mut dying, &lab.state_dir(), &wish, None, false)))
                });
                assert!(killed.is_err());
                assert_ne!(lab.state(), before);
                if goes_on {
                    let made = lab.set_up(&wish).unwrap();
                    assert!(made.items.iter().all(|it| it.ok), "{:#?}", made.items);
                }
                lab.set_back();
                assert_eq!(lab.state(), before, "killed after {at}, goes on: {goes_on}");
            }
        }
    });
}

#[test]
fn a_setup_of_direct_routing_that_is_killed_leaves_what_undo_needs() {
    killed_at_each_step("dr");
}

#[test]
fn a_setup_of_tunnels_that_is_killed_leaves_what_undo_needs() {
    killed_at_each_step("ipip");
}

#[test]
fn a_setup_that_fails_takes_back_what_it_has_made() {
    in_namespace(|| {
        let lab = Lab::new();
        let before = lab.state();
        // The kernel refuses the address, since IPv6 is off there; that it is on at lo was seen before.
        let wish = lab.wish(&VIPS, "dr", None);
        struct Spoilt<D>(D);
        impl<D: Door> Door for Spoilt<D> {
            fn origin(&mut self) -> Result<Origin, DoorError> {
                self.0.origin()
            }
            fn see(&mut self, wish: &Wish, trying: bool) -> Result<Seen, DoorError> {
                let seen = self.0.see(wish, trying);
                sysctl("ipv6/conf/lo/disable_ipv6", "1");
                seen
            }
            fn make(&mut self, change: &Change) -> Result<(), DoorError> {
                self.0.make(change)
            }
            fn unmake(&mut self, change: &Change) -> Result<Unmade, DoorError> {
                self.0.unmake(change)
            }
        }
        let failed = lab.within("r", || {
            let failed = setup(&mut Spoilt(lab.door()), &lab.state_dir(), &wish, None, false);
            sysctl("ipv6/conf/lo/disable_ipv6", "0");
            settle();
            failed.unwrap_err()
        });
        assert!(failed.to_string().contains("as it was before"), "{failed}");
        assert_eq!(lab.state(), before);
    });
}
