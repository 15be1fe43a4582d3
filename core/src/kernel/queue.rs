//! Queues of packets that wait for a verdict of ours (`nfnetlink_queue`).
//!
//! The twin of a rule's `queue flags bypass to NUMBER`. The verdict is always to go on; what it says besides is the
//! packet's priority, which kernels before 5.18 cannot be told: with them, packets go on as if nobody had answered.
//! What waits in a queue that ends is dropped by the kernel, so one of ours is emptied before.

mod packet;

use std::io;
use std::time::Duration;

use super::netlink::{Message, NetlinkError, Request, Socket};
use crate::ruleset::CHOSEN;
use crate::scheduler::{BackendId, NewFlow};

/// Attributes of `linux/netfilter/nfnetlink_queue.h`, which libc has in part.
mod uapi {
    pub const SUBSYSTEM: u16 = 3;
    pub const MESSAGE_PACKET: u16 = 0;
    pub const MESSAGE_VERDICT: u16 = 1;
    pub const MESSAGE_CONFIG: u16 = 2;
    pub const PACKET_HEADER: u16 = 1;
    pub const VERDICT_HEADER: u16 = 2;
    pub const MARK: u16 = 3;
    pub const PAYLOAD: u16 = 10;
    pub const PRIORITY: u16 = 21;
    pub const CONFIG_COMMAND: u16 = 1;
    pub const CONFIG_PARAMETERS: u16 = 2;
    pub const CONFIG_LENGTH: u16 = 3;
    pub const CONFIG_MASK: u16 = 4;
    pub const CONFIG_FLAGS: u16 = 5;
    pub const COMMAND_BIND: u8 = 1;
    pub const COPY_PACKET: u8 = 2;
    /// What finds no room goes on.
    pub const FAIL_OPEN: u32 = 1;
    /// What the kernel has merged stays so.
    pub const MERGED: u32 = 4;
    pub const ACCEPT: u32 = 1;
}

/// How much of a packet we see: the headers, with some of IPv6's extensions.
const SEEN: u32 = 128;
/// How many packets may wait. The next one goes on by itself.
pub const ROOM: usize = 1024;
/// How many packets are taken at once, so that few verdicts wait for many.
pub const AT_ONCE: usize = 64;
/// Where the kernel says whose the queues are.
const OWNERS: &str = "/proc/net/netfilter/nfnetlink_queue";

/// Why packets cannot be waited for.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Somebody else has the queue.
    #[error("queue {number} belongs to {owner}; name another one as director.queue")]
    Taken {
        /// The queue.
        number: u16,
        /// Who has it.
        owner: String,
    },
    /// The kernel says no.
    #[error("queue {number}: cannot {action}")]
    Kernel {
        /// The queue.
        number: u16,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// A packet that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number in the queue.
    pub id: u32,
    /// The connection that it opens; none where that cannot be told.
    pub flow: Option<NewFlow>,
}

/// What is to become of a packet. It goes on in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody has decided.
    Undecided,
    /// The backend gets it.
    Backend(BackendId),
    /// Nobody gets it.
    Nobody,
}

impl Verdict {
    /// The priority that says so.
    fn priority(self) -> Option<u32> {
        match self {
            Verdict::Undecided => None,
            Verdict::Backend(id) => Some(CHOSEN | u32::from(id.0)),
            Verdict::Nobody => Some(CHOSEN),
        }
    }
}

/// Queues by their numbers.
pub trait Queues {
    /// Takes a queue. From then on packets wait in it.
    fn take(&mut self, number: u16) -> Result<Box<dyn Queue>, QueueError>;
}

/// A queue of ours.
pub trait Queue: Send {
    /// The next packets, at most [`AT_ONCE`]; none where none came for a while. If there are fewer, there were no more.
    fn wait(&mut self) -> Result<Vec<Waiting>, QueueError>;
    /// Lets packets go on.
    fn decide(&mut self, verdicts: &[(u32, Verdict)]) -> Result<(), QueueError>;
    /// Has no more packets wait. Those that do are still to be let go on.
    fn close(&mut self) -> Result<(), QueueError>;
}

/// The kernel's queues, of the thread's network namespace.
#[derive(Clone, Copy, Debug)]
pub struct KernelQueues;

/// For how long one waits for a packet.
const WHILE: Duration = Duration::from_millis(50);

impl Queues for KernelQueues {
    fn take(&mut self, number: u16) -> Result<Box<dyn Queue>, QueueError> {
        Ok(Box::new(KernelQueue::take(number)?))
    }
}

/// A queue of the kernel.
#[derive(Debug)]
struct KernelQueue {
    number: u16,
    socket: Socket,
    /// What came while something else was waited for.
    early: Vec<Waiting>,
}

fn kind(message: u16) -> u16 {
    uapi::SUBSYSTEM << 8 | message
}

impl KernelQueue {
    fn take(number: u16) -> Result<Self, QueueError> {
        let failed = |action| move |error| failure(number, action, error);
        let mut socket = Socket::open().map_err(failed("open a socket for it"))?;
        // What finds no room in the socket goes on, too, and that is no error of ours.
        socket.overflow_silently();
        let mut queue = KernelQueue {
            number,
            socket,
            early: Vec::new(),
        };
        let flags = (uapi::FAIL_OPEN | uapi::MERGED).to_be_bytes();
        // All in one message: a queue that exists, but has no parameters yet, drops what comes.
        let request = queue
            .config()
            .attribute(uapi::CONFIG_COMMAND, &[uapi::COMMAND_BIND, 0, 0, 0])
            .attribute(uapi::CONFIG_PARAMETERS, &[&SEEN.to_be_bytes()[..], &[uapi::COPY_PACKET]].concat())
            .attribute(uapi::CONFIG_LENGTH, &(ROOM as u32).to_be_bytes())
            .attribute(uapi::CONFIG_MASK, &flags)
            .attribute(uapi::CONFIG_FLAGS, &flags);
        match queue.ask(request) {
            // What a socket may not do is refused with the same number, but then so is all else that we do.
            Err(NetlinkError::Refused(why))
                if matches!(why.raw_os_error(), Some(libc::EPERM | libc::EBUSY)) =>
            {
                Err(QueueError::Taken {
                    number,
                    owner: owner(number),
                })
            }
            other => other.map_err(failed("take it")),
        }?;
        queue
            .socket
            .wait_for_packets(WHILE)
            .map_err(failed("wait for it"))?;
        Ok(queue)
    }

    fn config(&self) -> Request {
        Request::netfilter(kind(uapi::MESSAGE_CONFIG), libc::NLM_F_ACK, 0, self.number)
    }

    /// Sends a request and waits for its acknowledgement. Packets may come before that.
    fn ask(&mut self, request: Request) -> Result<(), NetlinkError> {
        let sequence = self.socket.sequences(1);
        self.socket.send(&request.finish(sequence))?;
        loop {
            for message in self.socket.receive()? {
                if i32::from(message.kind) == libc::NLMSG_ERROR && message.sequence == sequence {
                    return match message.error() {
                        0 => Ok(()),
                        error => Err(NetlinkError::Refused(io::Error::from_raw_os_error(error))),
                    };
                }
                self.early.extend(waiting(message));
            }
        }
    }
}

impl Queue for KernelQueue {
    fn wait(&mut self) -> Result<Vec<Waiting>, QueueError> {
        let mut all = std::mem::take(&mut self.early);
        while all.len() < AT_ONCE {
            let received = if all.is_empty() {
                self.socket.receive().map(Some)
            } else {
                self.socket.receive_what_is_there()
            };
            match received {
                Ok(Some(messages)) => all.extend(messages.filter_map(waiting)),
                Ok(None) => break,
                Err(NetlinkError::Os(_, why)) if why.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => return Err(failure(self.number, "wait for packets", error)),
            }
        }
        Ok(all)
    }

    fn decide(&mut self, verdicts: &[(u32, Verdict)]) -> Result<(), QueueError> {
        let mut all = Vec::with_capacity(verdicts.len() * 48);
        for (id, verdict) in verdicts {
            let header = [uapi::ACCEPT.to_be_bytes(), id.to_be_bytes()].concat();
            let mut message = Request::netfilter(kind(uapi::MESSAGE_VERDICT), 0, 0, self.number)
                .attribute(uapi::VERDICT_HEADER, &header);
            if let Some(priority) = verdict.priority() {
                message = message.attribute(uapi::PRIORITY, &priority.to_be_bytes());
            }
            all.extend(message.finish(0));
        }
        // A packet that the kernel does not know any more went with its interface; that it says so is not waited for.
        self.socket
            .send(&all)
            .map_err(|error| failure(self.number, "let packets go on", error))
    }

    fn close(&mut self) -> Result<(), QueueError> {
        let request = self.config().attribute(uapi::CONFIG_LENGTH, &0_u32.to_be_bytes());
        self.ask(request)
            .map_err(|error| failure(self.number, "close it", error))
    }
}

fn failure(number: u16, action: &'static str, error: NetlinkError) -> QueueError {
    let source = match error {
        NetlinkError::Os(_, source) | NetlinkError::Refused(source) => source,
        NetlinkError::Malformed(words) => io::Error::other(words),
    };
    QueueError::Kernel {
        number,
        action,
        source,
    }
}

/// The packet in a message.
fn waiting(message: Message<'_>) -> Option<Waiting> {
    if message.kind != kind(uapi::MESSAGE_PACKET) {
        return None;
    }
    let attributes = message.attributes();
    let header = attributes.get(uapi::PACKET_HEADER)?;
    let mark = attributes.u32(uapi::MARK).unwrap_or(0);
    Some(Waiting {
        id: u32::from_be_bytes(*header.first_chunk()?),
        flow: attributes
            .get(uapi::PAYLOAD)
            .and_then(|packet| packet::flow(packet, mark)),
    })
}

/// Who has a queue, as far as that can be told. The kernel knows a socket, which most often has its process's number.
fn owner(number: u16) -> String {
    let table = std::fs::read_to_string(OWNERS).unwrap_or_default();
    let socket = owner_in(&table, number);
    let name = socket.and_then(|it| std::fs::read_to_string(format!("/proc/{it}/comm")).ok());
    match (socket, name) {
        (Some(socket), Some(name)) => format!("another program, most likely `{}` ({socket})", name.trim()),
        _ => "another program".to_owned(),
    }
}

fn owner_in(table: &str, number: u16) -> Option<u32> {
    let numbers = |line: &str| -> Option<(u16, u32)> {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    let mut queues = table.lines().filter_map(numbers);
    queues
        .find(|(queue, _)| *queue == number)
        .map(|(_, socket)| socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netlink::Messages;

    #[test]
    fn an_owner_is_found_in_the_kernels_table() {
        let table = "    0   1042     0 2   128     0     0        7  1\n 7776  31337     5 2   128     0     0       12  1\n";
        assert_eq!(owner_in(table, 7776), Some(31_337));
        assert_eq!(owner_in(table, 777), None);
        assert_eq!(owner_in("", 0), None);
    }

    #[test]
    fn a_verdict_is_a_priority_of_our_own() {
        assert_eq!(Verdict::Backend(BackendId(0x2a)).priority(), Some(0x7776_002a));
        assert_eq!(Verdict::Nobody.priority(), Some(0x7776_0000));
        assert_eq!(Verdict::Undecided.priority(), None);
    }

    #[test]
    fn a_message_is_a_packet_that_waits() {
        let packet = [
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 7, 10, 0, 0, 100, 0x12, 0x34, 0, 80,
        ];
        let message = |kind| {
            Request::netfilter(kind, 0, 2, 7776)
                .attribute(uapi::PACKET_HEADER, &[0, 0, 1, 2, 8, 0, 0])
                .attribute(uapi::MARK, &7_u32.to_be_bytes())
                .attribute(uapi::PAYLOAD, &packet)
                .finish(0)
        };
        let ends = ("192.0.2.7:4660".parse().unwrap(), "10.0.0.100:80".parse().unwrap());
        let flow = Some(NewFlow::new(ends.0, ends.1, 6, 7));
        let read = |bytes: &[u8]| Messages(bytes).filter_map(waiting).collect::<Vec<_>>();
        assert_eq!(read(&message(kind(uapi::MESSAGE_PACKET))), [Waiting { id: 0x102, flow }]);
        assert_eq!(read(&message(kind(uapi::MESSAGE_CONFIG))), []);
    }
}
