//! How the tc program sends packets to backends, in the API's words.

use wvs_tc_bpf::{Method, Target};

use super::engine::Engine;
use crate::api::{Link, Way};
use crate::config::{Backend, Service, Tunnel};
use crate::scheduler::BackendId;

impl Engine {
    /// The way to a backend as the program has it.
    pub(super) fn way(&self, id: BackendId, target: &Target) -> Way {
        let link = target.way.map(|way| Link {
            interface: self.interface_of(way.ifindex),
            mtu: way.mtu,
            mac: way.macs.map(|(there, _)| hardware(there)),
        });
        match (target.method, link) {
            (Method::Nat, _) => Way::Nat,
            (Method::DirectRouting, Some(link)) => Way::Dr(link),
            (Method::Tunnel, Some(link)) => Way::Tun {
                tunnel: self.tunnel_to(id),
                // A tunnel without one is not installed.
                source: target.way.and_then(|way| way.source).unwrap_or(target.address),
                to: target.address,
                link,
            },
            // Direct routing without a way is not installed.
            (Method::Local | Method::DirectRouting | Method::Tunnel, _) => Way::Local,
        }
    }

    /// The name of an interface that routes lead by.
    fn interface_of(&self, ifindex: u32) -> String {
        let mut routes = self.tc.facts.routes.values().flatten();
        let route = routes.find(|route| route.ifindex == ifindex);
        route.map_or_else(|| format!("#{ifindex}"), |route| route.interface.clone())
    }

    fn tunnel_to(&self, id: BackendId) -> Tunnel {
        self.backend_of(id)
            .map(|(service, backend)| service.tunnel_of(backend))
            .unwrap_or_default()
    }

    /// The service and the backend of an id, as configured.
    pub(super) fn backend_of(&self, id: BackendId) -> Option<(&Service, &Backend)> {
        let (service, address) = self.ids.whose(id)?;
        let service = self.config.service(service)?;
        let backend = service.backends.iter().find(|it| it.address == address)?;
        Some((service, backend))
    }
}

fn hardware([a, b, c, d, e, f]: [u8; 6]) -> String {
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
