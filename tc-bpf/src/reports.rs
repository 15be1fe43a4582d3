//! Reports of single packets: which backend was chosen, and what was lost.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::layout::{Event, FlowKey, REPORT_CHOSEN, REPORT_NO_SERVICE, Report as Record};
use crate::maps::{MapError, Maps, OpenError, refused};
use crate::pin;
use crate::ring::{Ring, head};

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was scheduled: the report names its backend.
    Chosen,
    /// It was lost, or nobody takes it.
    Event(Event),
}

/// A packet of which something is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its connection; of an ICMP error, the one it is about.
    pub key: FlowKey,
    /// What happened.
    pub what: What,
    /// The service, where that is known.
    pub service: Option<u16>,
    /// The backend, where that is known.
    pub backend: Option<u16>,
    /// When, by [`Maps::now`]'s clock.
    pub tick: u32,
    /// The interface where it arrived.
    pub ifindex: u32,
    /// Its firewall mark.
    pub mark: u32,
    /// Bytes of the IP packet.
    pub length: u32,
}

impl Report {
    fn of(record: &[u8]) -> Option<Self> {
        let (record, _): (Record, _) = head(record)?;
        let what = match record.what {
            REPORT_CHOSEN => What::Chosen,
            event => What::Event(*Event::ALL.get(usize::from(event))?),
        };
        Some(Self {
            key: record.key,
            what,
            service: (record.service != REPORT_NO_SERVICE).then_some(record.service),
            backend: (record.backend > 0).then_some(record.backend),
            tick: record.tick,
            ifindex: record.ifindex,
            mark: record.mark,
            length: record.length,
        })
    }

    /// The client's address and port.
    #[must_use]
    pub fn client(&self) -> (IpAddr, u16) {
        let (client, _) = self.key.ends();
        (client.ip(), client.port())
    }

    /// The virtual address and port.
    #[must_use]
    pub fn listener(&self) -> (IpAddr, u16) {
        let (_, listener) = self.key.ends();
        (listener.ip(), listener.port())
    }
}

/// Reads reports, one reader at a time. What nobody reads in time is not reported; nothing waits for it.
#[derive(Debug)]
pub struct Reports {
    ring: Ring,
}

impl Reports {
    /// Opens the ring pinned below `root`; what waits there from before is thrown away.
    pub fn open(root: &Path) -> Result<Self, OpenError> {
        let ring = Ring::open(pin::folder(root).join("reports"))?;
        Ok(Self { ring })
    }

    /// The next report, waiting for it up to the time given.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Report>, MapError> {
        if let Some(report) = self.next() {
            return Ok(Some(report));
        }
        self.ring.wait(timeout).map_err(refused("waiting for reports"))?;
        Ok(self.next())
    }

    fn next(&mut self) -> Option<Report> {
        while let Some(record) = self.ring.next(Report::of) {
            if record.is_some() {
                return record;
            }
        }
        None
    }
}

impl Maps {
    /// Has one in so many scheduled or lost packets reported; 0 has none.
    pub fn set_sampling(&self, every: u32) -> Result<(), MapError> {
        self.change_settings(|settings| settings.report_every = every)
    }
}
