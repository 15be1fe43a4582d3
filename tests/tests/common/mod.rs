//! A director by hand: an nft table that does what the simplest director would.

use std::fmt::Write;

use anyhow::Result;
use wvs_tests::{Lab, LabOptions, RealServer, ServerOptions, backend, backend6, vip, vip6};

/// A lab with running servers behind `10.0.0.100` and its twin: TCP 80 → 8080, UDP 53 → 5353 and
/// SCTP 36412 → 38412, in turn.
pub fn balanced(options: LabOptions) -> Result<(Lab, Vec<RealServer>)> {
    let backends = options.backends;
    let lab = Lab::new(options)?;
    lab.add_vip(vip(0))?;
    lab.add_vip(vip6(0))?;
    lab.director_ns().nft(&table(backends))?;
    let servers = lab.start_servers(&ServerOptions::default())?;
    Ok((lab, servers))
}

/// Real servers 1 to `n`, in turn.
pub fn table(n: usize) -> String {
    without(n, 0)
}

/// Real servers 1 to `n` but for one, in turn.
pub fn without(n: usize, absent: usize) -> String {
    let present: Vec<usize> = (1..=n).filter(|&k| k != absent).collect();
    let mut rules = String::new();
    for (protocol, port, target) in [("tcp", 80, 8080), ("udp", 53, 5353), ("sctp", 36412, 38412)] {
        for (family, vip) in [("ip", vip(0)), ("ip6", vip6(0))] {
            let elements: Vec<String> = (0..)
                .zip(&present)
                .map(|(slot, &k)| {
                    let to = if family == "ip" { backend(k) } else { backend6(k) };
                    format!("{slot} : {to} . {target}")
                })
                .collect();
            let _ = writeln!(
                rules,
                "{family} daddr {vip} {protocol} dport {port} dnat {family} addr . port to numgen inc mod {} map {{ {} }}",
                present.len(),
                elements.join(", ")
            );
        }
    }
    format!("table inet lab {{\n chain pre {{\n type nat hook prerouting priority dstnat\n{rules} }}\n}}\n")
}
