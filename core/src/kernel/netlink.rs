//! Netlink framing: requests, answers, attributes, and the sockets of the netfilter and generic families.
//!
//! Everything that reads is bounds-checked and never panics: an attribute that is cut off ends the walk, and
//! whoever needs it says that it is missing.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// Bytes of `struct nlmsghdr`.
pub const HEADER: usize = 16;
/// Bytes of `struct nfgenmsg`.
pub const NFGENMSG: usize = 4;

/// What went wrong on a netlink socket.
#[derive(Debug)]
pub enum NetlinkError {
    /// A system call failed.
    Os(&'static str, io::Error),
    /// The kernel answered a request with an error.
    Refused(io::Error),
    /// An answer does not parse.
    Malformed(String),
}

/// Rounds up to netlink's alignment of four bytes.
pub fn align(length: usize) -> usize {
    (length + 3) & !3
}

/// One netlink message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// `nlmsg_type`
    pub kind: u16,
    /// `nlmsg_flags`
    pub flags: u16,
    /// `nlmsg_seq`
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The address family of `struct nfgenmsg`.
    pub fn family(&self) -> u8 {
        self.payload.first().copied().unwrap_or_default()
    }

    /// The attributes behind `struct nfgenmsg`.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes(self.payload.get(NFGENMSG..).unwrap_or_default())
    }

    /// The error number of `NLMSG_ERROR` and `NLMSG_DONE`, 0 for an acknowledgement.
    pub fn error(&self) -> i32 {
        let number = self.payload.first_chunk().map_or(0, |it| i32::from_ne_bytes(*it));
        number.saturating_neg()
    }
}

/// The messages of a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header: &[u8; HEADER] = self.0.first_chunk()?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let payload = self.0.get(HEADER..length)?;
        self.0 = self.0.get(align(length)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            payload,
        })
    }
}

/// The attributes of a message or of another attribute: (kind, payload), the flag bits taken off the kind.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let header: &[u8; 4] = self.0.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let payload = self.0.get(4..length)?;
        self.0 = self.0.get(align(length)..).unwrap_or_default();
        Some((kind, payload))
    }
}

impl<'a> Attributes<'a> {
    /// The payload of the first attribute of a kind.
    pub fn get(mut self, wanted: u16) -> Option<&'a [u8]> {
        self.find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
    }

    /// The attributes inside an attribute; none where it is missing.
    pub fn nested(self, wanted: u16) -> Attributes<'a> {
        Attributes(self.get(wanted).unwrap_or_default())
    }

    /// A string without its NUL.
    pub fn text(self, wanted: u16) -> Option<String> {
        self.get(wanted).map(text)
    }

    /// A number in network order.
    pub fn u32(self, wanted: u16) -> Option<u32> {
        self.get(wanted)?.first_chunk().map(|it| u32::from_be_bytes(*it))
    }

    /// A number in network order.
    pub fn u64(self, wanted: u16) -> Option<u64> {
        self.get(wanted)?.first_chunk().map(|it| u64::from_be_bytes(*it))
    }
}

/// The text of an attribute, up to its NUL.
pub fn text(payload: &[u8]) -> String {
    let end = payload
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

/// NLA_F_NESTED: the attribute holds attributes.
pub const NESTED: u16 = 1 << 15;

/// An attribute by itself, to be put into another one.
pub fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = (4 + payload.len()) as u16;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(payload);
    bytes.resize(align(bytes.len()), 0);
    bytes
}

/// One that holds others.
pub fn nested(kind: u16, payload: &[u8]) -> Vec<u8> {
    attribute(NESTED | kind, payload)
}

/// A request under construction.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// A message with `struct nfgenmsg`. `NLM_F_REQUEST` is added.
    pub fn netfilter(kind: u16, flags: i32, family: u8, resource: u16) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[family, 0]);
        bytes.extend_from_slice(&resource.to_be_bytes());
        Request(bytes)
    }

    /// A message with `struct genlmsghdr`. `NLM_F_REQUEST` is added.
    pub fn generic(kind: u16, flags: i32, command: u8) -> Self {
        // It is as long as `struct nfgenmsg`, with the command in the place of the family.
        Self::netfilter(kind, flags, command, 0)
    }

    /// Adds an attribute.
    pub fn attribute(mut self, kind: u16, payload: &[u8]) -> Self {
        self.0.extend_from_slice(&attribute(kind, payload));
        self
    }

    /// Adds a string with its NUL.
    pub fn text(self, kind: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Asks for an acknowledgement.
    pub fn acknowledged(mut self) -> Self {
        let flags = u16::from_ne_bytes([self.0[6], self.0[7]]) | libc::NLM_F_ACK as u16;
        self.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    /// Its length so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The finished message.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// A socket of the netfilter family, or the generic one. Its answers are waited for with a bound, though the kernel writes them
/// all before `send` returns.
pub struct Socket {
    socket: mnl::Socket,
    sequence: u32,
    send_buffer: usize,
    buffer: Vec<u8>,
}

// SAFETY: `mnl_socket` is a plain allocation with a file descriptor and an address, used through `&mut self`
// only and tied to no thread.
unsafe impl Send for Socket {}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("fd", &self.socket.as_raw_fd())
            .finish_non_exhaustive()
    }
}

/// How long an answer may take. It is there when `send` returns; this only guards against waiting for ever.
const PATIENCE: TimeVal = TimeVal::new(10, 0);
/// A dump's datagrams hold at most 32 KiB; a refused message may come back whole.
const BUFFER: usize = 128 * 1024;
/// Room for answers. Each acknowledgement takes some 800 bytes of it.
const RECEIVE: usize = 8 * 1024 * 1024;

impl Socket {
    /// Opens a socket of the netfilter family in the thread's network namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        Self::open_on(mnl::Bus::Netfilter, "open a netfilter socket")
    }

    /// Opens a socket of the generic family in the thread's network namespace.
    pub fn open_generic() -> Result<Self, NetlinkError> {
        Self::open_on(mnl::Bus::Generic, "open a generic netlink socket")
    }

    fn open_on(bus: mnl::Bus, action: &'static str) -> Result<Self, NetlinkError> {
        let socket = mnl::Socket::new(bus).map_err(|error| NetlinkError::Os(action, error))?;
        let mut this = Socket {
            socket,
            sequence: 0,
            send_buffer: 0,
            buffer: vec![0; BUFFER],
        };
        let fd = this.fd();
        setsockopt(&fd, sockopt::ReceiveTimeout, &PATIENCE)
            .map_err(|error| NetlinkError::Os("set the receive timeout", error.into()))?;
        // Without the privilege the request itself is refused, which names the reason better.
        let _ = setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE);
        // An error then carries the header of the refused message instead of all of it.
        set_flag(this.socket.as_raw_fd(), libc::NETLINK_CAP_ACK);
        this.reserve(256 * 1024);
        Ok(this)
    }

    fn fd(&self) -> BorrowedFd<'static> {
        // SAFETY: the descriptor is open as long as `self.socket` is, and no caller keeps what this returns
        // beyond its own `&self`.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }

    /// The next of `count` sequence numbers in a row; none of them is 0.
    pub fn sequences(&mut self, count: u32) -> u32 {
        if self.sequence.checked_add(count).is_none() {
            self.sequence = 0;
        }
        let first = self.sequence + 1;
        self.sequence += count;
        first
    }

    fn reserve(&mut self, bytes: usize) {
        if bytes > self.send_buffer {
            // The kernel doubles it. Where the privilege is missing, the request itself will say so.
            let _ = setsockopt(&self.fd(), sockopt::SndBufForce, &bytes);
            self.send_buffer = bytes;
        }
    }

    /// Sends one datagram, however large: a batch in two would be two batches.
    pub fn send(&mut self, datagram: &[u8]) -> Result<(), NetlinkError> {
        self.reserve(datagram.len());
        let sent = self
            .socket
            .send(datagram)
            .map_err(|error| NetlinkError::Os("send a request", error))?;
        if sent == datagram.len() {
            Ok(())
        } else {
            Err(NetlinkError::Os("send a request", io::ErrorKind::WriteZero.into()))
        }
    }

    /// Receives one datagram.
    pub fn receive(&mut self) -> Result<Messages<'_>, NetlinkError> {
        let fd: RawFd = self.socket.as_raw_fd();
        loop {
            match recv(fd, &mut self.buffer, MsgFlags::MSG_TRUNC) {
                Ok(length) if length > self.buffer.len() => {
                    return Err(NetlinkError::Malformed(format!("an answer of {length} bytes was cut off")));
                }
                Ok(length) => return Ok(Messages(&self.buffer[..length])),
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => {
                    return Err(NetlinkError::Os("hear the kernel's answer", io::ErrorKind::TimedOut.into()));
                }
                Err(error) => return Err(NetlinkError::Os("receive an answer", error.into())),
            }
        }
    }

    /// Receives one datagram, if one is there.
    pub fn receive_what_is_there(&mut self) -> Result<Option<Messages<'_>>, NetlinkError> {
        match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC) {
            Ok(length) if length <= self.buffer.len() => Ok(Some(Messages(&self.buffer[..length]))),
            Ok(length) => Err(NetlinkError::Malformed(format!("a message of {length} bytes was cut off"))),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => Ok(None),
            Err(error) => Err(NetlinkError::Os("receive a message", error.into())),
        }
    }

    /// Has [`receive`](Socket::receive) end so soon, below a second, where nothing comes.
    pub fn wait_for_packets(&mut self, most: Duration) -> Result<(), NetlinkError> {
        let most = TimeVal::new(0, i64::from(most.subsec_micros()));
        setsockopt(&self.fd(), sockopt::ReceiveTimeout, &most)
            .map_err(|error| NetlinkError::Os("set the receive timeout", error.into()))
    }

    /// Says nothing of what found no room in the socket.
    pub fn overflow_silently(&mut self) {
        set_flag(self.socket.as_raw_fd(), libc::NETLINK_NO_ENOBUFS);
    }

    /// Sends a request and hands every message of the answer to `take`. Says whether the answer is
    /// consistent: false where the kernel says that things changed under a dump.
    ///
    /// The request must ask for a dump or for an acknowledgement, since either ends the answer.
    pub fn ask(
        &mut self,
        request: Request,
        mut take: impl FnMut(Message<'_>) -> Result<(), NetlinkError>,
    ) -> Result<bool, NetlinkError> {
        self.ask_until(request, |message| take(message).map(ControlFlow::Continue))
    }

    /// The same until `take` has enough. Then the rest of the answer is still in the socket, which is good for
    /// nothing more.
    pub fn ask_until(
        &mut self,
        request: Request,
        mut take: impl FnMut(Message<'_>) -> Result<ControlFlow<()>, NetlinkError>,
    ) -> Result<bool, NetlinkError> {
        let sequence = self.sequences(1);
        self.send(&request.finish(sequence))?;
        let mut consistent = true;
        loop {
            for message in self.receive()?.filter(|it| it.sequence == sequence) {
                consistent &= i32::from(message.flags) & libc::NLM_F_DUMP_INTR == 0;
                match (i32::from(message.kind), message.error()) {
                    (libc::NLMSG_ERROR | libc::NLMSG_DONE, 0) => return Ok(consistent),
                    (libc::NLMSG_ERROR | libc::NLMSG_DONE, libc::EINTR) => return Ok(false),
                    (libc::NLMSG_ERROR | libc::NLMSG_DONE, error) => {
                        return Err(NetlinkError::Refused(io::Error::from_raw_os_error(error)));
                    }
                    _ if take(message)?.is_break() => return Ok(consistent),
                    _ => {}
                }
            }
        }
    }
}

fn set_flag(fd: RawFd, option: libc::c_int) {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one int at the address of `on`, which lives through the call.
    let _ = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_NETLINK,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_reads_back() {
        let bytes = Request::netfilter(0x0a0b, libc::NLM_F_ACK, 2, 10)
            .text(1, "wvs")
            .attribute(2, &[1, 2])
            .finish(7);
        let message = Messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.sequence, message.family()), (0x0a0b, 7, 2));
        assert_eq!(message.attributes().text(1).as_deref(), Some("wvs"));
        assert_eq!(message.attributes().get(2), Some(&[1, 2][..]));
        assert_eq!(message.attributes().get(3), None);
    }

    #[test]
    fn a_message_that_is_cut_off_ends_the_walk() {
        let bytes = Request::netfilter(1, 0, 2, 0).text(1, "wvs").finish(7);
        for length in 0..bytes.len() - 1 {
            assert!(Messages(&bytes[..length]).next().is_none(), "at {length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(bytes: Vec<u8>) {
            for message in Messages(&bytes) {
                let _ = (message.error(), message.family());
                for (_, payload) in message.attributes() {
                    prop_assert!(Attributes(payload).count() <= payload.len());
                }
            }
            let _ = (Attributes(&bytes).u32(1), Attributes(&bytes).text(2));
        }
    }
}
