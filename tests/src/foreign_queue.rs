//! Another program with a queue of packets.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Result, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::namespace::Namespace;

/// A queue that somebody in a namespace has taken and never looks into. Dropping it gives it back.
#[derive(Debug)]
pub struct ForeignQueue {
    _socket: OwnedFd,
}

impl ForeignQueue {
    /// Takes a queue.
    ///
    /// # Errors
    /// When somebody else has it.
    pub fn take(namespace: &Namespace, number: u16) -> Result<Self> {
        namespace.run(|| {
            let protocol = SockProtocol::NetlinkNetFilter;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
            let mut message = Vec::new();
            // NFQNL_MSG_CONFIG of NFNL_SUBSYS_QUEUE, with an acknowledgement; then NFQA_CFG_CMD: bind.
            message.extend(28_u32.to_ne_bytes());
            message.extend((3_u16 << 8 | 2).to_ne_bytes());
            message.extend(5_u16.to_ne_bytes());
            message.extend([0; 10]);
            message.extend(number.to_be_bytes());
            message.extend(8_u16.to_ne_bytes());
            message.extend(1_u16.to_ne_bytes());
            message.extend([1, 0, 0, 0]);
            sendto(socket.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
            let mut answer = [0; 64];
            let read = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            ensure!(
                read >= 20 && answer[16..20] == [0; 4],
                "queue {number} cannot be had: {:?}",
                &answer[..read]
            );
            Ok(Self { _socket: socket })
        })
    }
}
