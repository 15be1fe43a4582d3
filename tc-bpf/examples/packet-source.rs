//! For measuring in the guest of `tests/vm`: sends packets as fast as they are taken, and says what one of them cost.
//!
//! packet-source gro INTERFACE              has it work by NAPI, as a network card's driver does
//! packet-source send INTERFACE TO-MAC FROM-MAC ADDRESS tcp|udp established|new COUNT
//!
//! The packets go to the address's port 80, from clients at 10.9.0.0/16. The answer is how many were sent with those
//! that prepare the rest, and the cost of one of COUNT packets in nanoseconds, which are instructions where the guest's
//! clock counts those: the mean where each is a new flow, the median of batches where they are of 16 flows that are
//! established, which leaves the kernel's timers out.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::net::Ipv4Addr;

use aya::maps::Array;
use aya::programs::{TestRun, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, Pod};

/// As in `source.bpf.c`.
const BATCH: u32 = 64;
const LENGTH: usize = 60;
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

#[repr(C)]
#[derive(Clone, Copy)]
struct Plan {
    frame: [u8; LENGTH],
    ifindex: u32,
    client: u32,
    flow: u32,
    mask: u32,
    made: u32,
    sum_ip: u32,
    sum_transport: u32,
    checksum_at: u32,
}

// SAFETY: integers, without padding.
unsafe impl Pod for Plan {}

fn mac(text: &str) -> Result<[u8; 6], Box<dyn Error>> {
    let bytes = text.split(':').map(|part| u8::from_str_radix(part, 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>()?;
    Ok(bytes.as_slice().try_into()?)
}

fn ifindex(interface: &str) -> Result<u32, Box<dyn Error>> {
    let name = std::ffi::CString::new(interface)?;
    // SAFETY: the name ends in NUL.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(format!("no interface {interface}").into()),
        index => Ok(index),
    }
}

/// The sum of words as they are in memory, not folded.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|word| u32::from(u16::from_ne_bytes([word[0], word.get(1).copied().unwrap_or(0)])));
    words.sum()
}

/// The frame without source address, port, flags and checksums, and the sums of what is there.
fn plan(to: [u8; 6], from: [u8; 6], address: Ipv4Addr, tcp: bool) -> Plan {
    let transport_length = (LENGTH - 34) as u16;
    let proto = if tcp { 6 } else { 17 };
    let ip_length = (LENGTH as u16 - 14).to_be_bytes();
    let mut frame = [to, from].concat();
    frame.extend([8, 0, 0x45, 0]);
    frame.extend(ip_length);
    frame.extend([0, 0, 0x40, 0, 64, proto]);
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame.extend([0, 0, 0, 80]);
    if tcp {
        frame.extend([0, 0, 3, 232, 0, 0, 19, 137, 0x50, 0, 0x80, 0]);
    } else {
        frame.extend(transport_length.to_be_bytes());
    }
    frame.resize(LENGTH, 0);
    let pseudo = [
        address.octets().as_slice(),
        &[0, proto],
        &transport_length.to_be_bytes(),
    ]
    .concat();
    Plan {
        ifindex: 0,
        client: CLIENT.into(),
        flow: 0,
        mask: 0,
        made: 0,
        sum_ip: sum(&frame[14..34]),
        sum_transport: sum(&pseudo) + sum(&frame[34..]),
        checksum_at: if tcp { 50 } else { 40 },
        frame: frame.try_into().unwrap_or([0; LENGTH]),
    }
}

/// The program, and how many packets it has sent.
struct Source {
    ebpf: Ebpf,
    plan: Plan,
    sent: u32,
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const FLAGS_AT: usize = 47;

impl Source {
    fn load(plan: Plan) -> Result<Self, Box<dyn Error>> {
        let mut ebpf = Ebpf::load_file("source.bpf.o")?;
        let source: &mut Xdp = ebpf.program_mut("source").ok_or("no source")?.try_into()?;
        source.load()?;
        Ok(Self { ebpf, plan, sent: 0 })
    }

    /// Sends packets of a power of two of flows, from a first one on; says what a packet of each batch took, from the
    /// second batch to the last but one.
    fn send(&mut self, flows: u64, first: u32, flags: u8, count: u32) -> Result<Vec<f64>, Box<dyn Error>> {
        let mut plan = self.plan;
        plan.flow = first;
        plan.mask = (flows - 1) as u32;
        if plan.checksum_at == 50 {
            plan.frame[FLAGS_AT] = flags;
            plan.sum_transport += sum(&[0, flags]);
        }
        let mut plans: Array<_, Plan> = Array::try_from(self.ebpf.map_mut("plans").ok_or("no plans")?)?;
        plans.set(0, plan, 0)?;
        let source: &Xdp = self.ebpf.program("source").ok_or("no source")?.try_into()?;
        source.test_run(TestRunOptions {
            data_in: Some(&plan.frame),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        })?;
        self.sent += count;
        let times: Array<_, u64> = Array::try_from(self.ebpf.map("times").ok_or("no times")?)?;
        let begun: Vec<u64> = (1..count / BATCH)
            .map(|batch| times.get(&batch, 0))
            .collect::<Result<_, _>>()?;
        Ok(begun
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64 / f64::from(BATCH))
            .collect())
    }

    fn measure(&mut self, established: bool, count: u32) -> Result<f64, Box<dyn Error>> {
        const ALL: u64 = 1 << 32;
        // What the very first packets fill, as the allocators' caches, is left out.
        self.send(ALL, 1_000_000, SYN, 512)?;
        if !established {
            let batches = self.send(ALL, 0, SYN, count)?;
            return Ok(batches.iter().sum::<f64>() / batches.len() as f64);
        }
        for flags in [SYN, ACK, ACK] {
            self.send(16, 1 << 20, flags, 256)?;
        }
        let mut batches = self.send(16, 1 << 20, ACK, count)?;
        batches.sort_by(f64::total_cmp);
        let median = batches.get(batches.len() / 2).copied();
        median.ok_or_else(|| "at least 192 packets are needed".into())
    }
}

/// ETHTOOL_SGRO by SIOCETHTOOL.
fn switch_gro_on(interface: &str) -> Result<(), Box<dyn Error>> {
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        data: *mut [u32; 2],
        rest: [u8; 16],
    }
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let mut value = [0x2c, 1];
    let mut request = Request {
        name: [0; 16],
        data: &raw mut value,
        rest: [0; 16],
    };
    request.name[..interface.len()].copy_from_slice(interface.as_bytes());
    // SAFETY: a `struct ifreq` whose name ends in NUL and whose data is a `struct ethtool_value`.
    let outcome = unsafe {
        libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), 0x8946, std::ptr::from_mut(&mut request))
    };
    if outcome < 0 {
        return Err(format!("GRO of {interface}: {}", std::io::Error::last_os_error()).into());
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["gro", interface] => switch_gro_on(interface),
        ["send", interface, to, from, address, protocol, kind, count] => {
            let mut plan = plan(mac(to)?, mac(from)?, address.parse()?, *protocol == "tcp");
            plan.ifindex = ifindex(interface)?;
            let mut source = Source::load(plan)?;
            let cost = source.measure(*kind == "established", count.parse()?)?;
            println!("{} {cost:.0}", source.sent);
            Ok(())
        }
        _ => Err("see the head of packet-source.rs".into()),
    }
}
