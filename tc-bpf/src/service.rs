//! What a service is besides its listeners and its table.

use crate::layout::{SERVICE_KNOWN, SERVICE_ONE_PACKET, Service};

/// How a service treats new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Each datagram is scheduled for itself.
    pub one_packet: bool,
}

impl From<ServiceSettings> for Service {
    fn from(settings: ServiceSettings) -> Self {
        let mut flags = SERVICE_KNOWN;
        if settings.one_packet {
            flags |= SERVICE_ONE_PACKET;
        }
        Self { flags, pad: 0 }
    }
}

impl ServiceSettings {
    /// What a service of the map is; `None` where there is none.
    #[must_use]
    pub fn of(service: &Service) -> Option<Self> {
        (service.flags & SERVICE_KNOWN != 0).then_some(Self {
            one_packet: service.flags & SERVICE_ONE_PACKET != 0,
        })
    }
}
