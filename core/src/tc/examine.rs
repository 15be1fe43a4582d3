//! Whether the way to backends of direct routing and tunnels is as it should be, for operators.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Facts, NoWay, Route, target, wanted_interfaces};
use crate::config::{Backend, Config, Forward, Service};
use crate::kernel::probe::Finding;
use crate::pool::family_of;
use crate::real_server::{headers, overhead};
use crate::ruleset::Family;

/// Says of the interfaces and of each direct or tunnelled backend how they are; `mtus` are those of the interfaces.
pub fn examine(config: &Config, facts: &Facts, mtus: &BTreeMap<String, u32>) -> Vec<Finding> {
    let mut findings = interfaces(config, facts);
    // What clients send comes in by these.
    let wanted = wanted_interfaces(config, facts);
    let widest = wanted.iter().filter_map(|name| mtus.get(name)).max();
    for service in &config.services {
        let direct = |it: &&Backend| service.forward_of(it).uses_tc();
        let backends = service.backends.iter().filter(direct);
        findings.extend(backends.map(|it| backend(service, it, facts, widest.copied())));
    }
    findings
}

fn interfaces(config: &Config, facts: &Facts) -> Vec<Finding> {
    const NAME: &str = "interfaces of direct routing and tunnels";
    let wanted = wanted_interfaces(config, facts);
    let missing: Vec<_> = wanted.difference(&facts.present).cloned().collect();
    let names = |all: Vec<String>| all.join(", ");
    vec![if wanted.is_empty() {
        Finding::bad(
            NAME,
            "no interface holds the virtual addresses",
            "director.interfaces = [\"eth0\"], or manage_vip = { interface = \"eth0\" } of the services",
        )
    } else if missing.is_empty() {
        Finding::good(NAME, names(wanted.into_iter().collect()))
    } else {
        let there: Vec<_> = facts.present.iter().cloned().collect();
        Finding::bad(
            NAME,
            format_args!("there is no {}", names(missing)),
            format!("name one of {}", names(there)),
        )
    }]
}

fn backend(service: &Service, backend: &Backend, facts: &Facts, widest: Option<u32>) -> Finding {
    let (address, forward) = (backend.address.address, service.forward_of(backend));
    let name = format!("{} {} ({forward})", service.name, backend.address);
    let route = facts.routes.get(&address);
    if let Err(no_way) = target(address, forward, route, 0) {
        let fix = mended(&no_way, address);
        return Finding::bad(name, no_way, fix);
    }
    let Some(Ok(route)) = route else {
        return Finding::bad(name, "its route is not known", "see `wvs status`");
    };
    if route.local {
        return Finding::good(name, "is this host itself");
    }
    let hop = route.next_hop(address);
    if route.neighbour.is_none() {
        let asked = if hop == address {
            "it".to_owned()
        } else {
            format!("the router {hop}")
        };
        return Finding::bad(
            name,
            format_args!("{asked} does not tell its hardware address on {}", route.interface),
            format!("see that {hop} is up and in the network of {}: ping {hop}", route.interface),
        );
    }
    let by = match route.gateway {
        Some(gateway) => format!("by {}, router {gateway}", route.interface),
        None => format!("by {}", route.interface),
    };
    let room = match (forward, widest) {
        (Forward::Tun, Some(widest)) => room(service, backend, route, widest),
        _ => String::new(),
    };
    Finding::good(name, by + &room)
}

/// Whether what comes in fits through the tunnel. If it does not, no client fails: it is told how large its packets
/// may be. But some firewalls swallow that.
fn room(service: &Service, backend: &Backend, route: &Route, widest: u32) -> String {
    let outer = Family::of(backend.address.address);
    let room = route
        .mtu
        .saturating_sub(overhead(service.tunnel_of(backend), outer));
    if room >= widest {
        return format!(", MTU {}: room for tunnels", route.mtu);
    }
    let inner = family_of(service, backend).unwrap_or(outer);
    format!(
        ", MTU {}: tunnels have room for packets of {room} bytes and {widest} may come in; set advmss {} on the \
         real server's route to clients (`wvs real-server status` there says how), or raise the MTU",
        route.mtu,
        room.saturating_sub(headers(inner))
    )
}

fn mended(no_way: &NoWay, address: IpAddr) -> String {
    match no_way {
        NoWay::Unrouted(_) => format!("see `ip route get {address}`, and add a route"),
        NoWay::BehindRouter { .. } => {
            "forward = \"tun\", or an address of the director in the backend's network".to_owned()
        }
        NoWay::NotEthernet(_) => "forward = \"nat\", or an Ethernet interface towards it".to_owned(),
        NoWay::Narrow { interface, .. } => format!("ip link set dev {interface} mtu 1500"),
        NoWay::NoSource(interface) => format!("give {interface} an address of the backend's family"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        crate::config::read(
            r#"
            [director]
            interfaces = ["eth0"]
            [[service]]
            name = "web"
            listen = ["tcp://10.0.0.100:80"]
            forward = "dr"
            backend = [{ address = "10.1.0.11" }, { address = "10.1.0.12" }, { address = "10.1.0.13" },
                       { address = "10.1.0.1" }, { address = "10.1.0.14:8080", forward = "nat" }]
            [[service]]
            name = "far"
            listen = ["tcp://10.0.0.101:80"]
            forward = "tun"
            tunnel = "gre"
            backend = [{ address = "10.2.0.11" }, { address = "10.2.0.12" }]
            "#,
        )
        .unwrap()
    }

    fn facts() -> (Facts, BTreeMap<String, u32>) {
        let near = Route {
            local: false,
            interface: "eth1".into(),
            ifindex: 3,
            mtu: 1500,
            hardware: Some([2, 0, 0, 0, 0, 1]),
            gateway: None,
            source: Some([10, 1, 0, 1].into()),
            neighbour: Some([2, 0, 0, 0, 0, 11]),
            fresh: true,
        };
        let far = Route {
            gateway: Some([10, 1, 0, 254].into()),
            ..near.clone()
        };
        let silent = Route {
            neighbour: None,
            ..near.clone()
        };
        let local = Route {
            local: true,
            ..near.clone()
        };
        let wide = Route {
            mtu: 9000,
            ..far.clone()
        };
        let routes = [
            ("10.1.0.11", Ok(near)),
            ("10.1.0.12", Ok(far.clone())),
            ("10.1.0.13", Ok(silent)),
            ("10.1.0.1", Ok(local)),
            ("10.2.0.11", Ok(far)),
            ("10.2.0.12", Ok(wide)),
        ];
        let facts = Facts {
            routes: routes
                .map(|(address, route)| (address.parse().unwrap(), route))
                .into(),
            present: ["eth0".to_owned(), "eth1".to_owned()].into(),
            ..Facts::default()
        };
        (facts, [("eth0".to_owned(), 1500), ("eth1".to_owned(), 9000)].into())
    }

    fn told(findings: &[Finding]) -> String {
        let line = |it: &Finding| {
            let fix = it
                .fix
                .as_ref()
                .map_or_else(String::new, |fix| format!("\n      fix: {fix}"));
            format!("{}  {}: {}{fix}\n", if it.ok { "ok  " } else { "FAIL" }, it.name, it.detail)
        };
        findings.iter().map(line).collect()
    }

    #[test]
    fn each_backend_is_told_of() {
        let (facts, mtus) = facts();
        insta::assert_snapshot!(told(&examine(&config(), &facts, &mtus)));
    }

    #[test]
    fn interfaces_that_are_missing_are_named() {
        let (mut facts, mtus) = facts();
        facts.present.remove("eth0");
        let mut text = told(&examine(&config(), &facts, &mtus)[..1]);
        let mut config = config();
        config.director.interfaces.clear();
        text += &told(&examine(&config, &facts, &mtus)[..1]);
        insta::assert_snapshot!(text);
    }
}
