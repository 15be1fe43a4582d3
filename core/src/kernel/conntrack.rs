//! The door to conntrack: one walk of the table counts every backend's connections.
//!
//! The twin of `conntrack -L` and `conntrack -D`. A walk costs what the table is long (0.27 s of CPU for
//! 100,000 entries), however few of them are wanted, so there is never one walk per backend.

mod entry;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use self::entry::{Entry, attribute, tuple};
use super::netlink::{HEADER, Message, NESTED, NetlinkError, Request, Socket};
use super::{Conntrack, ConntrackError, Flow, MarkMask};
use crate::ruleset::Protocol;
use crate::scheduler::{BackendId, Load};

// `enum cntl_msg_types`
const GET: i32 = 1;
const DELETE: i32 = 2;
const GET_STATS: i32 = 5;
// `enum ctattr_stats_global`
const STATS_ENTRIES: u16 = 1;
const STATS_MOST: u16 = 2;
/// The most bytes of deletions in one datagram.
const DATAGRAM: usize = 64 * 1024;

/// A netlink socket to conntrack, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct ConntrackSocket {
    socket: Socket,
}

fn kind(message: i32) -> u16 {
    (libc::NFNL_SUBSYS_CTNETLINK << 8 | message) as u16
}

fn failed(action: &'static str) -> impl Fn(NetlinkError) -> ConntrackError {
    move |error| {
        let source = match error {
            NetlinkError::Os(doing, source) => io::Error::new(source.kind(), format!("{doing}: {source}")),
            NetlinkError::Refused(source) => source,
            NetlinkError::Malformed(words) => io::Error::new(io::ErrorKind::InvalidData, words),
        };
        ConntrackError { action, source }
    }
}

impl ConntrackSocket {
    /// Opens a socket.
    pub fn open() -> Result<Self, ConntrackError> {
        let socket = Socket::open().map_err(failed("open its socket"))?;
        Ok(ConntrackSocket { socket })
    }

    /// How many connections there are, and how many there may be.
    pub(super) fn count(&mut self) -> Result<(u64, u64), ConntrackError> {
        let (mut count, mut most) = (0, 0);
        let request = Request::netfilter(kind(GET_STATS), libc::NLM_F_ACK, libc::AF_UNSPEC as u8, 0);
        self.socket
            .ask(request, |message| {
                let number = |attribute| message.attributes().u32(attribute).map_or(0, u64::from);
                (count, most) = (number(STATS_ENTRIES), number(STATS_MOST));
                Ok(())
            })
            .map_err(failed("count its entries"))?;
        Ok((count, most))
    }

    /// Hands every entry that is ours to `take`.
    fn walk(
        &mut self,
        mask: MarkMask,
        only: Option<BackendId>,
        mut take: impl FnMut(Message<'_>, Entry<'_>),
    ) -> Result<(), NetlinkError> {
        let mut request = Request::netfilter(kind(GET), libc::NLM_F_DUMP, libc::AF_UNSPEC as u8, 0);
        if let Some(id) = only {
            request = request
                .attribute(attribute::MARK, &mask.bits(id).to_be_bytes())
                .attribute(attribute::MARK_MASK, &mask.mask.to_be_bytes());
        }
        self.socket.ask(request, |message| {
            if let Some(entry) = Entry::ours(mask, message.attributes()) {
                take(message, entry);
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Sends deletions and says how many of them found their entry. Only the last of a datagram is
    /// acknowledged, the others only speak up when they fail.
    fn delete(&mut self, requests: Vec<Request>) -> Result<usize, NetlinkError> {
        let mut deleted = 0;
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let mut datagram = Vec::with_capacity(DATAGRAM);
            // No request is shorter than a header, so these are enough.
            let first = self.socket.sequences((DATAGRAM / HEADER) as u32);
            let mut count = 0;
            while datagram.len() < DATAGRAM
                && let Some(request) = requests.next()
            {
                let is_last = requests.peek().is_none() || datagram.len() + request.len() >= DATAGRAM;
                let request = if is_last { request.acknowledged() } else { request };
                datagram.extend(request.finish(first + count));
                count += 1;
            }
            self.socket.send(&datagram)?;
            deleted += count as usize - self.failures(first, first + count - 1)?;
        }
        Ok(deleted)
    }

    /// Counts the requests of a datagram that found nothing.
    fn failures(&mut self, first: u32, last: u32) -> Result<usize, NetlinkError> {
        let mut failures = 0;
        loop {
            for message in self.socket.receive()? {
                if !(first..=last).contains(&message.sequence) || i32::from(message.kind) != libc::NLMSG_ERROR
                {
                    continue;
                }
                match message.error() {
                    0 => {}
                    // It ended by itself.
                    libc::ENOENT => failures += 1,
                    error => return Err(NetlinkError::Refused(io::Error::from_raw_os_error(error))),
                }
                if message.sequence == last {
                    return Ok(failures);
                }
            }
        }
    }
}

impl Conntrack for ConntrackSocket {
    fn loads(&mut self, mask: MarkMask) -> Result<BTreeMap<BackendId, Load>, ConntrackError> {
        let mut loads: BTreeMap<BackendId, Load> = BTreeMap::new();
        self.walk(mask, None, |_, entry| {
            let load = loads.entry(entry.backend).or_default();
            if entry.is_active() {
                load.active += 1;
            } else {
                load.inactive += 1;
            }
        })
        .map_err(failed("count connections"))?;
        Ok(loads)
    }

    fn flow(
        &mut self,
        mask: MarkMask,
        protocol: Protocol,
        client: SocketAddr,
        target: SocketAddr,
    ) -> Result<Option<Flow>, ConntrackError> {
        let family = if client.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        let request = Request::netfilter(kind(GET), libc::NLM_F_ACK, family as u8, 0)
            .attribute(NESTED | attribute::ORIGINAL, &tuple(protocol, client, target));
        let mut found = None;
        let asked = self.socket.ask(request, |message| {
            found = Entry::ours(mask, message.attributes()).and_then(|entry| entry.flow());
            Ok(())
        });
        match asked {
            Err(NetlinkError::Refused(why)) if why.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(failed("look a connection up")(error)),
            // A tuple is also found where it is another connection's way back.
            Ok(_) => Ok(found.filter(|flow: &Flow| (flow.client, flow.target) == (client, target))),
        }
    }

    fn flows(&mut self, mask: MarkMask, limit: usize) -> Result<(Vec<Flow>, usize), ConntrackError> {
        let (mut flows, mut count) = (Vec::new(), 0);
        self.walk(mask, None, |_, entry| {
            count += 1;
            if flows.len() < limit {
                flows.extend(entry.flow());
            }
        })
        .map_err(failed("list connections"))?;
        Ok((flows, count))
    }

    fn cut(&mut self, mask: MarkMask, backends: &[BackendId]) -> Result<usize, ConntrackError> {
        let only = match backends {
            [] => return Ok(0),
            [one] => Some(*one),
            _ => None,
        };
        let mut requests = Vec::new();
        self.walk(mask, only, |message, entry| {
            if backends.contains(&entry.backend) {
                let request = Request::netfilter(kind(DELETE), 0, message.family(), 0);
                let identity = entry.identity();
                requests
                    .push(identity.fold(request, |request, (kind, value)| request.attribute(kind, value)));
            }
        })
        .map_err(failed("list the connections to forget"))?;
        self.delete(requests).map_err(failed("forget connections"))
    }
}
