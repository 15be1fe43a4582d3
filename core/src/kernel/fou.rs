//! The door to UDP ports at which the kernel takes in GUE: the generic netlink family `fou`.

use std::collections::BTreeSet;
use std::io;

use super::netlink::{Attributes, Message, NetlinkError, Request, Socket};
use crate::ruleset::Family;

// include/uapi/linux/genetlink.h
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

// include/uapi/linux/fou.h
const ADD: u8 = 1;
const DELETE: u8 = 2;
const GET: u8 = 3;
const PORT: u16 = 1;
const AF: u16 = 2;
const TYPE: u16 = 4;
const TYPE_GUE: u8 = 2;

/// The family, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Fou {
    socket: Socket,
    id: u16,
}

impl Fou {
    /// Opens it, and loads its module where it has one.
    ///
    /// The kernel loads this one for none of its own needs. It does for who asks for an interface of a module's name
    /// and may load modules (`dev_load`, net/core/dev_ioctl.c), which spares running another program.
    pub(super) fn load() -> io::Result<Option<Self>> {
        if let Some(fou) = Self::open()? {
            return Ok(Some(fou));
        }
        // There is no such interface; the answer does not matter.
        let _ = nix::net::if_::if_nametoindex("fou");
        Self::open()
    }

    /// Opens it. None where the kernel has no such family.
    pub(super) fn open() -> io::Result<Option<Self>> {
        let mut socket = Socket::open_generic().map_err(to_io)?;
        let request = Request::generic(CONTROLLER, libc::NLM_F_ACK, GET_FAMILY).text(FAMILY_NAME, "fou");
        let mut id = None;
        let asked = socket.ask(request, |message| {
            id = message.attributes().get(FAMILY_ID).and_then(native);
            Ok(())
        });
        match asked {
            Err(NetlinkError::Refused(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(to_io(error)),
            Ok(_) => Ok(id.map(|id| Fou { socket, id })),
        }
    }

    /// Where GUE is taken in.
    pub(super) fn ports(&mut self) -> io::Result<BTreeSet<(Family, u16)>> {
        let request = Request::generic(self.id, libc::NLM_F_DUMP, GET);
        let mut ports = BTreeSet::new();
        let read = |message: Message<'_>| {
            ports.extend(port(message.attributes()));
            Ok(())
        };
        self.socket.ask(request, read).map_err(to_io)?;
        Ok(ports)
    }

    /// Takes GUE in at a port.
    pub(super) fn add(&mut self, family: Family, port: u16) -> io::Result<()> {
        let request = named(self.id, ADD, family, port).attribute(TYPE, &[TYPE_GUE]);
        match self.ask(request) {
            // Something listens there; perhaps it is what we want.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let is_ours = self.ports()?.contains(&(family, port));
                is_ours.then_some(()).ok_or(error)
            }
            outcome => outcome,
        }
    }

    /// Takes it in no more. Says whether it was.
    pub(super) fn remove(&mut self, family: Family, port: u16) -> io::Result<bool> {
        if !self.ports()?.contains(&(family, port)) {
            return Ok(false);
        }
        self.ask(named(self.id, DELETE, family, port)).map(|()| true)
    }

    fn ask(&mut self, request: Request) -> io::Result<()> {
        self.socket
            .ask(request.acknowledged(), |_| Ok(()))
            .map(drop)
            .map_err(to_io)
    }
}

fn named(id: u16, command: u8, family: Family, port: u16) -> Request {
    Request::generic(id, libc::NLM_F_ACK, command)
        .attribute(PORT, &port.to_be_bytes())
        .attribute(AF, &[number(family)])
}

fn number(family: Family) -> u8 {
    match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    }
}

/// A port of GUE; none where it is for something else.
fn port(attributes: Attributes<'_>) -> Option<(Family, u16)> {
    if attributes.get(TYPE)? != [TYPE_GUE] {
        return None;
    }
    let family = attributes.get(AF)?.first().copied()?;
    let family = Family::ALL.into_iter().find(|it| number(*it) == family)?;
    let port = attributes
        .get(PORT)?
        .first_chunk()
        .map(|it| u16::from_be_bytes(*it))?;
    Some((family, port))
}

fn native(payload: &[u8]) -> Option<u16> {
    payload.first_chunk().map(|it| u16::from_ne_bytes(*it))
}

fn to_io(error: NetlinkError) -> io::Error {
    match error {
        NetlinkError::Refused(error) => error,
        NetlinkError::Os(action, error) => io::Error::new(error.kind(), format!("cannot {action}: {error}")),
        NetlinkError::Malformed(what) => io::Error::new(io::ErrorKind::InvalidData, what),
    }
}

#[cfg(test)]
mod tests {
    use super::super::netlink::Messages;
    use super::*;

    #[test]
    fn a_port_reads_back() {
        let bytes = named(0x1d, ADD, Family::V6, 6080)
            .attribute(TYPE, &[TYPE_GUE])
            .finish(1);
        let message = Messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.family()), (0x1d, ADD));
        assert_eq!(port(message.attributes()), Some((Family::V6, 6080)));
        let direct = named(0x1d, ADD, Family::V4, 5555).attribute(TYPE, &[1]).finish(1);
        assert_eq!(port(Messages(&direct).next().unwrap().attributes()), None);
    }
}
