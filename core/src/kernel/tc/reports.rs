//! Single packets that the program reports.

use std::net::SocketAddr;
use std::time::Duration;

use nix::net::if_::if_indextoname;
use wvs_tc_bpf::{Reports, What};

use super::{Loaded, TcError};
use crate::ruleset::Protocol;

/// A packet of which something is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What happened to it.
    pub what: What,
    /// Its protocol: a name, or a number.
    pub protocol: String,
    /// The client.
    pub client: SocketAddr,
    /// What it asked for.
    pub target: SocketAddr,
    /// The number of the service, where that is known.
    pub service: Option<u16>,
    /// The backend's id, where that is known.
    pub backend: Option<u16>,
    /// The interface where it came in.
    pub interface: String,
    /// Its firewall mark.
    pub mark: u32,
    /// Bytes of the IP packet.
    pub length: u32,
}

/// Has one in so many packets reported.
pub(super) fn sample(loaded: &mut Loaded, every: u32) -> Result<(), TcError> {
    if every == 0 {
        loaded.reports = None;
    } else if loaded.reports.is_none() {
        loaded.reports = Some(Reports::open(&loaded.settings.pin_dir)?);
    }
    Ok(loaded.forwarder.maps().set_sampling(every)?)
}

/// What was reported, without waiting.
pub(super) fn take(reports: &mut Reports, most: usize) -> Result<Vec<Report>, TcError> {
    let mut all = Vec::new();
    while all.len() < most
        && let Some(report) = reports.wait(Duration::ZERO)?
    {
        let (client, target) = (report.client(), report.listener());
        let protocol = Protocol::from_number(report.key.proto);
        all.push(Report {
            what: report.what,
            protocol: protocol.map_or_else(|| report.key.proto.to_string(), |it| it.name().to_owned()),
            client: client.into(),
            target: target.into(),
            service: report.service,
            backend: report.backend,
            interface: interface(report.ifindex),
            mark: report.mark,
            length: report.length,
        });
    }
    Ok(all)
}

fn interface(ifindex: u32) -> String {
    let name = if_indextoname(ifindex)
        .ok()
        .and_then(|name| name.into_string().ok());
    // It may have gone meanwhile.
    name.unwrap_or_else(|| format!("#{ifindex}"))
}
