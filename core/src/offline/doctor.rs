//! Examining the host.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::{Config, Service, read_file};
use crate::kernel::Addresses as _;
use crate::kernel::probe::{self, Finding};
use crate::kernel::vip::RouteSocket;
use crate::tc::{self, Facts};

/// How long neighbours may take to tell their hardware addresses: the kernel asks three times in as many seconds.
const PATIENCE: Duration = Duration::from_secs(4);
const POLL: Duration = Duration::from_millis(50);

/// Examines the host: privileges, kernel features, settings, whether a director answers; and the way to the backends
/// of direct routing and tunnels, where a configuration has some.
pub fn doctor(socket: &Path, config: Option<&Path>) -> Vec<Finding> {
    let config = config.map(|path| (path, read_file(path)));
    let mut findings = match &config {
        // What only the tc program forwards needs no forwarding by the kernel.
        Some((_, Ok(config))) if !config.services.is_empty() && !needs_forwarding(config) => {
            probe::required()
        }
        _ => probe::host(),
    };
    match &config {
        Some((_, Ok(config))) if config.services.iter().any(Service::uses_tc) => {
            findings.extend(probe::program(&config.director.pin_dir));
            findings.extend(ways(config));
        }
        Some((path, Err(error))) => findings.push(Finding::bad(
            "configuration",
            error.to_string(),
            format!("see what is wrong: wvs check {}", path.display()),
        )),
        _ => {}
    }
    findings.push(director(socket));
    findings
}

fn needs_forwarding(config: &Config) -> bool {
    config.services.iter().any(|service| {
        let by_nat = |backend| !service.forward_of(backend).uses_tc();
        service.backends.iter().any(by_nat)
    })
}

/// Looks at interfaces, routes and neighbours. Neighbours that are not known are asked for first.
fn ways(config: &Config) -> Vec<Finding> {
    let looked = RouteSocket::open().and_then(|mut routes| {
        let deadline = Instant::now() + PATIENCE;
        let mut facts = facts(&mut routes, config)?;
        let unknown = |facts: &Facts| -> Vec<(u32, IpAddr)> {
            let routed = facts
                .routes
                .iter()
                .filter_map(|(to, route)| Some((*to, route.as_ref().ok()?)));
            routed
                .filter(|(_, route)| !route.local && route.hardware.is_some() && route.neighbour.is_none())
                .map(|(to, route)| (route.ifindex, route.next_hop(to)))
                .collect()
        };
        for (ifindex, neighbour) in unknown(&facts) {
            routes.make_sure(ifindex, neighbour)?;
        }
        while !unknown(&facts).is_empty() && Instant::now() < deadline {
            std::thread::sleep(POLL);
            facts = self::facts(&mut routes, config)?;
        }
        Ok(tc::examine(config, &facts, &routes.mtus()?))
    });
    looked.unwrap_or_else(|error| {
        vec![Finding::bad(
            "routes",
            format_args!("cannot be read: {error}"),
            "run as root or with CAP_NET_ADMIN",
        )]
    })
}

fn facts(routes: &mut RouteSocket, config: &Config) -> io::Result<Facts> {
    Ok(Facts {
        routes: routes.routes(&Facts::backends(config))?,
        holders: routes.holders(&Facts::virtual_addresses(config))?,
        present: routes.interface_names()?,
    })
}

fn director(socket: &Path) -> Finding {
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => Finding::good("director", format!("answers on {}", socket.display())),
        Err(error) => Finding::bad(
            "director",
            format_args!("does not answer on {}: {error}", socket.display()),
            "start it: wvs run --config /etc/wvs/wvs.toml",
        ),
    }
}
