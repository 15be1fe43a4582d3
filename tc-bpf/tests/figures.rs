//! What the tables cost the director. The figures are printed; the bounds are generous, for busy machines.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use common::packet::{Ip, UDP, ethernet, udp};
use common::{Sandbox, address, small};
use wvs_tc_bpf::{Forwarder, Kind, Listen, Method, NewTable, ServiceSettings, Sizes, Target, Timeouts};

#[test]
fn sweeps_and_table_switches_are_cheap() {
    let sandbox = Sandbox::enter();
    let sizes = Sizes {
        flows4: 1 << 17,
        half_open: 1 << 12,
        ..small()
    };
    let forwarder = Forwarder::load(&sandbox.pins(), &sizes).unwrap();
    let maps = forwarder.maps();
    let local = Target {
        method: Method::Local,
        address: address("10.0.0.1"),
        generation: 1,
        way: None,
    };
    maps.set_backend(7, &local).unwrap();
    maps.set_table(1, Kind::Cycle, 1, &[Some(7)]).unwrap();
    maps.set_service(1, &ServiceSettings::default()).unwrap();
    maps.set_listener(Listen::Address(address("10.0.0.100"), UDP, 80), 1)
        .unwrap();
    let flows = 100_000_u32;
    for index in 0..flows {
        let from = Ipv4Addr::from(0xc612_0000 + index).into();
        let frame = ethernet(&Ip::new(from, address("10.0.0.100"), UDP).with(&udp(1, 80, b"")));
        for _ in 0..2 {
            forwarder.run(&frame, 0).unwrap();
        }
    }
    let begin = Instant::now();
    let sweep = maps.sweep(|_| Timeouts::default(), maps.now().unwrap()).unwrap();
    let took = begin.elapsed();
    println!("sweep of {} connections: {took:?}", sweep.seen);
    assert_eq!(sweep.seen, flows as usize);
    assert_eq!(sweep.counts[&(7, 1)].inactive, flows);
    assert!(took < Duration::from_secs(2));

    let slots = vec![Some(7); 256];
    let table = |service| NewTable {
        service,
        kind: Kind::Cycle,
        seed: 1,
        slots: &slots,
    };
    let begin = Instant::now();
    maps.set_tables(&[table(1)]).unwrap();
    let one = begin.elapsed();
    let tables: Vec<_> = (0..16).map(table).collect();
    let begin = Instant::now();
    maps.set_tables(&tables).unwrap();
    let many = begin.elapsed();
    println!("switch of one table of 256 slots: {one:?}, of 16: {many:?}");
    assert!(many < Duration::from_millis(500));
    let frame = ethernet(&Ip::new(address("192.0.2.1"), address("10.0.0.100"), UDP).with(&udp(1, 80, b"")));
    assert_eq!(forwarder.explain(&frame, 0).unwrap().mark, 7);
}
