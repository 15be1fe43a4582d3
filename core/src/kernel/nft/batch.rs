//! A batch: messages that the kernel takes as one transaction, in one piece of memory because it must be
//! sent in one piece. (A batch that arrives in two datagrams is aborted, and the first one's
//! acknowledgements still say success.)

use std::slice;

use nftnl::{MsgType, NlMsg, nft_nlmsg_maxsize};

use crate::kernel::netlink::Request;

/// Messages, and which step each belongs to.
pub struct Batch {
    bytes: Vec<u8>,
    /// Where a message starts and its step.
    messages: Vec<(usize, usize)>,
    scratch: Vec<u64>,
}

/// A batch as it is sent.
pub struct Sealed {
    /// The datagram.
    pub bytes: Vec<u8>,
    /// The step of every message between begin and end.
    pub steps: Vec<usize>,
}

impl Batch {
    /// A batch that the kernel applies only at a generation; at any where it is 0.
    pub fn new(generation: u32) -> Self {
        let nftables = libc::NFNL_SUBSYS_NFTABLES as u16;
        let begin = Request::netfilter(libc::NFNL_MSG_BATCH_BEGIN as u16, 0, 0, nftables)
            .attribute(libc::NFNL_BATCH_GENID as u16, &generation.to_be_bytes());
        Batch {
            bytes: begin.finish(0),
            messages: Vec::new(),
            scratch: vec![0; (nft_nlmsg_maxsize() as usize).div_ceil(8)],
        }
    }

    /// Appends a message for a step.
    pub fn add(&mut self, step: usize, message: &impl NlMsg, kind: MsgType) {
        let start = self.scratch.as_mut_ptr();
        // SAFETY: `scratch` has room for the largest message, which is what `write` asks for.
        unsafe { message.write(start.cast(), 0, kind) };
        // SAFETY: `scratch` is initialised memory of this many bytes.
        let written = unsafe { slice::from_raw_parts(start.cast::<u8>(), self.scratch.len() * 8) };
        let length = u32::from_ne_bytes([written[0], written[1], written[2], written[3]]) as usize;
        self.messages.push((self.bytes.len(), step));
        self.bytes.extend_from_slice(&written[..length]);
    }

    /// How many sequence numbers it takes.
    pub fn count(&self) -> u32 {
        self.messages.len() as u32 + 2
    }

    /// Ends the batch. Its messages get numbers from `first` on; only the last one before the end asks for
    /// an acknowledgement: one each would overflow the receive buffer, and kernels before 6.10 do not
    /// acknowledge the end itself.
    pub fn seal(mut self, first: u32) -> Sealed {
        self.bytes[8..12].copy_from_slice(&first.to_ne_bytes());
        let last = self.messages.len().saturating_sub(1);
        for (index, &(start, _)) in self.messages.iter().enumerate() {
            let header = &mut self.bytes[start..];
            let flags = i32::from(u16::from_ne_bytes([header[6], header[7]])) & !libc::NLM_F_ACK;
            let acknowledge = if index == last { libc::NLM_F_ACK } else { 0 };
            header[6..8].copy_from_slice(&((flags | acknowledge) as u16).to_ne_bytes());
            header[8..12].copy_from_slice(&(first + 1 + index as u32).to_ne_bytes());
        }
        let nftables = libc::NFNL_SUBSYS_NFTABLES as u16;
        let end = Request::netfilter(libc::NFNL_MSG_BATCH_END as u16, 0, 0, nftables);
        self.bytes.extend(end.finish(first + self.count() - 1));
        Sealed {
            bytes: self.bytes,
            steps: self.messages.into_iter().map(|(_, step)| step).collect(),
        }
    }
}
