//! What a real server needs, in full.

use std::fmt::Write as _;

use super::host::{Host, host, wish};
use crate::real_server::{Device, Wish, judge, plan, unit};
use crate::ruleset::Family;

fn told(host: &Host, wish: &Wish) -> String {
    let items = judge(wish, &host.tried());
    let mut text = format!("{wish}\n\n");
    for item in &items {
        let state = format!("{:?}", item.state);
        let _ = writeln!(text, "{state:7}  {}: {}; wanted: {}", item.name, item.is, item.wanted);
        if let Some(fix) = &item.fix {
            let _ = writeln!(text, "         fix: {fix}");
        }
    }
    text += "\nplan:\n";
    for change in plan(&items) {
        let _ = writeln!(text, "  {change}");
    }
    text
}

const BOTH: [&str; 2] = ["10.0.0.100", "2001:db8::100"];

#[test]
fn direct_routing_on_a_fresh_host() {
    insta::assert_snapshot!(told(&host(), &wish(&BOTH, "dr", None)));
}

/// What LVS's scripts leave: VIP on lo:0 with its mask of ones, and both settings.
#[test]
fn direct_routing_after_a_script_of_lvs() {
    let mut host = host();
    host.seen.all.ignore = 1;
    host.seen.all.announce = 2;
    for address in BOTH {
        host.stands(address, "lo");
    }
    insta::assert_snapshot!(told(&host, &wish(&BOTH, "dr", None)));
}

#[test]
fn settings_of_each_interface_count() {
    let mut host = host();
    for interface in ["eth0", "eth1"] {
        host.interface(interface).arp.ignore = 2;
        host.interface(interface).arp.announce = 3;
    }
    host.seen.all.announce = 2;
    insta::assert_snapshot!(told(&host, &wish(&["10.0.0.100"], "dr", None)));
}

#[test]
fn answers_that_leave_elsewhere_need_a_loose_filter() {
    let mut host = host();
    host.seen.all.rp_filter = 1;
    insta::assert_snapshot!(told(&host, &wish(&["10.0.0.100"], "dr", Some("eth1"))));
}

#[test]
fn obstacles_are_named_all_at_once() {
    let mut host = host();
    host.interface("lo").up = false;
    host.seen.ipv6_off = true;
    host.stands("2001:db8::100", "eth1");
    host.interface("lo")
        .addresses
        .insert(("10.0.0.100".parse().unwrap(), 24));
    insta::assert_snapshot!(told(&host, &wish(&BOTH, "dr", Some("eth9"))));
}

#[test]
fn tunnels_by_the_kernels_devices() {
    insta::assert_snapshot!(told(&host(), &wish(&BOTH, "ipip", None)));
}

#[test]
fn tunnels_of_gue() {
    insta::assert_snapshot!(told(&host(), &wish(&BOTH, "gue:5555", None)));
}

#[test]
fn tunnels_of_gre_with_checksums_and_a_device_that_is_down() {
    let mut host = host();
    host.stands("10.0.0.100", "lo");
    let (mut down, mut foreign) = (host.seen.interfaces["lo"].clone(), host.seen.interfaces["lo"].clone());
    down.kind = Some("gre".into());
    down.up = false;
    down.addresses.clear();
    down.arp.rp_filter = 1;
    foreign.kind = Some("vti6".into());
    host.seen.interfaces.insert("wvs-gre".into(), down);
    host.seen.interfaces.insert("wvs-ip6gre".into(), foreign);
    insta::assert_snapshot!(told(&host, &wish(&BOTH, "gre+checksum", None)));
}

#[test]
fn tunnels_may_be_of_the_other_family() {
    let wish = |tunnel, outer| Wish {
        outer: Some(outer),
        ..wish(&BOTH, tunnel, None)
    };
    let mut text = String::new();
    for tunnel in ["ipip", "gre", "gue"] {
        text += &told(&host(), &wish(tunnel, Family::V6));
        text += &told(&host(), &wish(tunnel, Family::V4));
    }
    insta::assert_snapshot!(text);
}

fn without_devices() -> Host {
    let mut host = host();
    for device in Device::ALL {
        host.cannot(device);
    }
    host
}

#[test]
fn tunnels_by_the_program() {
    let mut host = without_devices();
    host.seen.all.rp_filter = 1;
    insta::assert_snapshot!(told(&host, &wish(&BOTH, "ipip", Some("eth0"))));
}

#[test]
fn the_program_needs_an_interface_and_a_file_system() {
    let mut host = without_devices();
    let mut text = told(&host, &wish(&["10.0.0.100"], "ipip", None));
    host.seen.bpffs = false;
    host.interface("eth1").addresses.clear();
    text += &told(&host, &wish(&["10.0.0.100"], "ipip", Some("eth1")));
    insta::assert_snapshot!(text);
}

#[test]
fn other_tunnels_need_the_kernels_devices() {
    let host = without_devices();
    let text = told(&host, &wish(&BOTH, "gre", None)) + &told(&host, &wish(&BOTH, "gue", None));
    insta::assert_snapshot!(text);
}

#[test]
fn segments_fit_or_there_is_advice() {
    let mut host = host();
    host.seen.ways.remove(&Family::V6);
    let mut text = told(&host, &wish(&BOTH, "gre+checksum", None));
    for (mtu, advmss) in [(1500, Some(1440)), (9000, None), (1520, None)] {
        let way = host.seen.ways.get_mut(&Family::V4).unwrap();
        (way.mtu, way.advmss) = (mtu, advmss);
        let all = told(&host, &wish(&["10.0.0.100"], "ipip", None));
        let line = all.lines().find(|line| line.contains("segments")).unwrap();
        let _ = writeln!(text, "{line}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_unit_in_full() {
    let program = std::path::Path::new("/opt/my programs/wvs");
    let state_dir = std::path::Path::new("/var/lib/wvs");
    let dr = unit::text(&wish(&BOTH, "dr", None), state_dir, std::path::Path::new("/usr/bin/wvs"));
    let tun = unit::text(&wish(&BOTH, "gue:5555", Some("eth0")), state_dir, program);
    insta::assert_snapshot!(format!("{dr}\n{tun}"));
}
