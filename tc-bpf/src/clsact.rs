//! The filters at an interface's clsact ingress, as the kernel lists them (rtnetlink's RTM_GETTFILTER).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `struct nlmsghdr` and `struct tcmsg`, which all numbers are in the machine's order of.
const HEADER: usize = 16;
const MESSAGE: usize = 20;
/// TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS).
const INGRESS: u32 = 0xffff_fff2;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;

/// A filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// What packets meet first has the lowest.
    pub priority: u16,
    /// Its number among those of its priority.
    pub handle: u32,
    /// Its program's name; of filters that are no programs, their kind.
    pub name: String,
    /// The kernel's number of its program.
    pub program: Option<u32>,
}

/// All filters at an interface's ingress, in the order in which packets meet them. None where there is no clsact.
pub fn filters(ifindex: u32) -> io::Result<Vec<Filter>> {
    let socket = dump(ifindex)?;
    let mut filters = Vec::new();
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        // SAFETY: the buffer is valid for its length.
        let length = unsafe {
            libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_TRUNC)
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let mut rest = buffer.get(..length).ok_or(io::ErrorKind::InvalidData)?;
        while let Some((kind, message, next)) = next_message(rest) {
            match i32::from(kind) {
                libc::NLMSG_DONE => return Ok(filters),
                libc::NLMSG_ERROR => {
                    let number = u32_at(message, 0).unwrap_or_default() as i32;
                    return Err(io::Error::from_raw_os_error(-number));
                }
                _ if kind == libc::RTM_NEWTFILTER => filters.extend(filter(message)),
                _ => {}
            }
            rest = next;
        }
    }
}

/// Asks for them.
fn dump(ifindex: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Request {
        length: u32,
        kind: u16,
        flags: u16,
        sequence: u32,
        port: u32,
        family: u32,
        ifindex: u32,
        handle: u32,
        parent: u32,
        info: u32,
    }
    const _: () = assert!(size_of::<Request>() == HEADER + MESSAGE);
    let request = Request {
        length: size_of::<Request>() as u32,
        kind: libc::RTM_GETTFILTER,
        flags: (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16,
        sequence: 1,
        port: 0,
        family: 0,
        ifindex,
        handle: 0,
        parent: INGRESS,
        info: 0,
    };
    // SAFETY: no pointers.
    let socket =
        unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us; nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the request is valid for its size.
    let sent =
        unsafe { libc::send(socket.as_raw_fd(), (&raw const request).cast(), size_of::<Request>(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The first message: its type, what it says, and what follows it.
fn next_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let message = bytes.get(HEADER..length)?;
    Some((u16_at(bytes, 4)?, message, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The attribute with this number.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(4..length)?;
        // The two highest bits say how to read the value.
        if u16_at(bytes, 2)? & 0x3fff == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

fn text(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into()
}

/// What the kernel tells of a filter. Those without a handle are only places for others.
fn filter(message: &[u8]) -> Option<Filter> {
    let handle = u32_at(message, 8)?;
    let info = u32_at(message, 16)?;
    let attributes = message.get(MESSAGE..)?;
    let options = attribute(attributes, TCA_OPTIONS).unwrap_or_default();
    let name = attribute(options, TCA_BPF_NAME).or_else(|| attribute(attributes, TCA_KIND));
    (handle != 0).then(|| Filter {
        priority: (info >> 16) as u16,
        handle,
        name: name.map(text).unwrap_or_default(),
        program: attribute(options, TCA_BPF_ID).and_then(|id| u32_at(id, 0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever comes is read within its bounds.
    #[test]
    fn damaged_messages_are_read_as_far_as_they_go() {
        let mut whole = vec![0; MESSAGE];
        whole[8] = 1;
        whole[18] = 7;
        let mut add = |kind: u16, value: &[u8]| {
            whole.extend((value.len() as u16 + 4).to_ne_bytes());
            whole.extend(kind.to_ne_bytes());
            whole.extend(value);
            whole.resize(whole.len().next_multiple_of(4), 0);
        };
        add(TCA_KIND, b"bpf\0");
        let mut name = 9_u16.to_ne_bytes().to_vec();
        name.extend(TCA_BPF_NAME.to_ne_bytes());
        name.extend(b"mine\0\0\0\0");
        name.extend(8_u16.to_ne_bytes());
        name.extend(TCA_BPF_ID.to_ne_bytes());
        name.extend(5_u32.to_ne_bytes());
        add(TCA_OPTIONS, &name);
        let expected = Filter {
            priority: 7,
            handle: 1,
            name: "mine".into(),
            program: Some(5),
        };
        assert_eq!(filter(&whole), Some(expected));
        for end in 0..whole.len() {
            let _ = filter(&whole[..end]);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 3, 255] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let _ = filter(&damaged);
            }
        }
        assert_eq!(next_message(&[3, 0, 0, 0, 0, 0]), None);
    }
}
