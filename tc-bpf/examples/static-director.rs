//! Loads the program and serves one virtual service from a fixed list of backends, then leaves: for benches, and to
//! see the kernel's part without the rest.
//!
//! static-director PINS INTERFACE METHOD VIP PORT SERVER=INTERFACE,MAC,SOURCE-MAC,SOURCE...
//!
//! The method is dr, tun (IP in IP), gre, gre-checksum, gue or gue-checksum (at port 6080).
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::net::IpAddr;

use wvs_tc_bpf::{Encapsulation, Forwarder, Kind, Listen, Method, ServiceSettings, Sizes, Target, Way};

const GUE_PORT: u16 = 6080;

fn mac(text: &str) -> Result<[u8; 6], Box<dyn Error>> {
    let bytes = text.split(':').map(|part| u8::from_str_radix(part, 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>()?;
    Ok(bytes.as_slice().try_into()?)
}

/// By the name of a method and, of tunnels, of what packets lie in there.
fn method(name: &str) -> Option<(Method, Encapsulation)> {
    let (name, checksum) = match name.strip_suffix("-checksum") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let tunnel = |encapsulation| Some((Method::Tunnel, encapsulation));
    match name {
        "dr" if !checksum => Some((Method::DirectRouting, Encapsulation::Ipip)),
        "tun" if !checksum => tunnel(Encapsulation::Ipip),
        "gre" => tunnel(Encapsulation::Gre { checksum }),
        "gue" => tunnel(Encapsulation::Gue {
            port: GUE_PORT,
            checksum,
        }),
        _ => None,
    }
}

fn target((method, encapsulation): (Method, Encapsulation), text: &str) -> Result<Target, Box<dyn Error>> {
    let (server, way) = text
        .split_once('=')
        .ok_or("SERVER=INTERFACE,MAC,SOURCE-MAC,SOURCE")?;
    let [interface, to, from, source] = way.split(',').collect::<Vec<_>>()[..] else {
        return Err("a way is INTERFACE,MAC,SOURCE-MAC,SOURCE".into());
    };
    let index = std::ffi::CString::new(interface)?;
    // SAFETY: the name ends in NUL.
    let ifindex = unsafe { libc::if_nametoindex(index.as_ptr()) };
    Ok(Target {
        method,
        address: server.parse()?,
        generation: 1,
        way: Some(Way {
            ifindex,
            mtu: 1500,
            macs: Some((mac(to)?, mac(from)?)),
            source: Some(source.parse()?),
            source_prefix: None,
        }),
        encapsulation,
        quiesced: false,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, pins, interface, method, vip, port, servers @ ..] = words.as_slice() else {
        return Err(
            "static-director PINS INTERFACE METHOD VIP PORT SERVER=INTERFACE,MAC,SOURCE-MAC,SOURCE...".into(),
        );
    };
    let method =
        self::method(method).ok_or("the method is dr, tun, gre, gre-checksum, gue or gue-checksum")?;
    let sizes = Sizes {
        flows4: 1 << 17,
        flows6: 1 << 10,
        half_open: 1 << 17,
        ..Sizes::default()
    };
    let mut forwarder = Forwarder::load(pins.as_ref(), &sizes)?;
    let maps = forwarder.maps();
    let mut slots = Vec::new();
    for (id, server) in (1..).zip(servers) {
        maps.set_backend(id, &target(method, server)?)?;
        slots.push(Some(id));
    }
    maps.set_table(0, Kind::Cycle, 1, &slots)?;
    maps.set_service(0, &ServiceSettings::default())?;
    maps.set_limits(0, 100)?;
    let (vip, port): (IpAddr, u16) = (vip.parse()?, port.parse()?);
    for proto in [6, 17] {
        maps.set_listener(Listen::Address(vip, proto, port), 0)?;
    }
    let attached = forwarder.attach(interface)?;
    let walked = forwarder.verified_instructions().unwrap_or_default();
    println!("the verifier walked through {walked} instructions; attached: {attached:?}");
    Ok(())
}
