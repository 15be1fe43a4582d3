//! Client, one-armed director and two real servers on one switch; the director is the test's own namespace. The
//! virtual addresses are on the servers' loopback, and hidden from ARP, as LVS's direct routing wants it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use wvs_tc_bpf::{Decapsulator, Encapsulation, Target, Way};

use super::{Sandbox, address, chain, ip, sysctl, within};

pub const VIPS: [&str; 2] = ["10.0.0.100", "fd00::100"];
const MACS: [(&str, [u8; 6]); 4] = [
    ("d", [2, 0, 0, 0, 0, 1]),
    ("c", [2, 0, 0, 0, 0, 2]),
    ("r1", [2, 0, 0, 0, 0, 11]),
    ("r2", [2, 0, 0, 0, 0, 12]),
];

pub struct Lab {
    pub sandbox: Sandbox,
    /// What tunnelled packets lie in.
    pub encapsulation: Encapsulation,
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Devices of the kernel for tunnels of all families, in a real server.
fn kernel_tunnels(number: u8, encapsulation: Encapsulation) {
    let [v4, v6] = [false, true].map(|v6| Lab::server(number, v6));
    if let Encapsulation::Gre { checksum } = encapsulation {
        let flags = if checksum { "icsum" } else { "" };
        ip(&format!("link add ends4 type gre local {v4} {flags}"));
        ip(&format!("link add ends6 type ip6gre local {v6} {flags}"));
        ip("link set ends4 up");
        ip("link set ends6 up");
        return;
    }
    if let Encapsulation::Gue { port, .. } = encapsulation {
        ip(&format!("fou add port {port} gue"));
        ip(&format!("fou add port {port} gue -6"));
    }
    ip(&format!("link add any6 type ip6tnl mode any local {v6}"));
    for device in ["tunl0", "sit0", "any6"] {
        ip(&format!("link set {device} up"));
    }
}

impl Lab {
    pub fn new() -> Self {
        let sandbox = Sandbox::enter();
        ip("netns add sw");
        ip("-n sw link add br0 type bridge");
        ip("-n sw link set br0 up");
        for (host, mac) in MACS {
            let last = mac[5];
            if host == "d" {
                ip("link add eth0 type veth peer name d netns sw");
            } else {
                ip(&format!("netns add {host}"));
                ip(&format!("-n {host} link set lo up"));
                ip(&format!("-n {host} link add eth0 type veth peer name {host} netns sw"));
            }
            ip(&format!("-n sw link set dev {host} master br0 up"));
            let setup = || {
                ip(&format!("link set eth0 address {}", mac_text(mac)));
                ip(&format!("addr add 10.0.0.{last}/24 dev eth0"));
                ip(&format!("addr add fd00::{last}/64 dev eth0 nodad"));
                sysctl("ipv6/conf/eth0/router_solicitations", "0");
                ip("link set eth0 up");
            };
            if host == "d" { setup() } else { within(host, setup) }
        }
        ip("addr add 10.0.0.100/32 dev eth0");
        ip("addr add fd00::100/128 dev eth0 nodad");
        for server in ["r1", "r2"] {
            within(server, || {
                sysctl("ipv4/conf/all/arp_ignore", "1");
                sysctl("ipv4/conf/all/arp_announce", "2");
                for vip in VIPS {
                    let length = if vip.contains(':') { "128" } else { "32" };
                    let nodad = if vip.contains(':') { "nodad" } else { "" };
                    ip(&format!("addr add {vip}/{length} dev lo {nodad}"));
                    serve(server, address(vip));
                }
            });
        }
        Self {
            sandbox,
            encapsulation: Encapsulation::Ipip,
        }
    }

    /// A server's address of a family.
    pub fn server(number: u8, v6: bool) -> IpAddr {
        address(&if v6 {
            format!("fd00::{}", 10 + number)
        } else {
            format!("10.0.0.{}", 10 + number)
        })
    }

    /// The way to a server, with hardware addresses or by the kernel's neighbour table.
    pub fn way(&self, number: u8, v6: bool, macs: bool) -> Way {
        let ifindex = nix::net::if_::if_nametoindex("eth0").unwrap();
        Way {
            ifindex,
            mtu: 1500,
            macs: macs.then_some((MACS[1 + usize::from(number)].1, MACS[0].1)),
            source: Some(address(if v6 { "fd00::1" } else { "10.0.0.1" })),
            source_prefix: None,
        }
    }

    pub fn target(&self, method: wvs_tc_bpf::Method, number: u8, v6: bool, macs: bool) -> Target {
        Target {
            method,
            address: Self::server(number, v6),
            generation: 1,
            way: Some(self.way(number, v6, macs)),
            encapsulation: self.encapsulation,
            quiesced: false,
        }
    }

    /// Real servers take tunnels apart: by our own program, as this machine's kernel may have no devices for it, or,
    /// with WVS_KERNEL_TUNNELS in the environment, by those.
    pub fn end_tunnels(&self) {
        for number in [1, 2] {
            if std::env::var_os("WVS_KERNEL_TUNNELS").is_some() {
                within(&format!("r{number}"), || kernel_tunnels(number, self.encapsulation));
                continue;
            }
            let root = self.sandbox.pins().with_file_name(format!("r{number}"));
            within(&format!("r{number}"), || {
                let mut decapsulator =
                    Decapsulator::load(&root).unwrap_or_else(|error| panic!("{}", chain(&error)));
                for v6 in [false, true] {
                    let port = match self.encapsulation {
                        Encapsulation::Gue { port, .. } => port,
                        _ => 0,
                    };
                    decapsulator.add_with_gue(Self::server(number, v6), port).unwrap();
                }
                decapsulator.attach("eth0").unwrap();
            });
        }
    }

    /// Switches what devices do for the kernel (TSO, GSO, GRO, checksums) on or off at a host.
    pub fn offloads(&self, host: &str, on: bool) {
        let switch = || {
            // ETHTOOL_STXCSUM, STSO, SGSO, SGRO.
            for command in [0x17_u32, 0x1f, 0x24, 0x2c] {
                ethtool("eth0", command, on.into());
            }
        };
        if host == "d" {
            switch()
        } else {
            within(host, switch)
        }
    }
}

fn ethtool(interface: &str, command: u32, value: u32) {
    let mut data = [command, value];
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    // SAFETY: the request and what it points to are valid for the call. 0x8946 is SIOCETHTOOL.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), 0x8946, &raw mut request) };
    assert!(outcome == 0, "ethtool {command:#x}: {}", std::io::Error::last_os_error());
}

/// Answers at an address, port 80: TCP clients send two lengths and as many bytes as the first says; they get
/// the server's name and as many bytes as the second says. UDP clients get the name and the length of what they sent.
pub fn serve(name: &'static str, at: IpAddr) {
    let listener = TcpListener::bind((at, 80)).unwrap();
    let socket = UdpSocket::bind((at, 80)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(name, stream));
        }
    });
    std::thread::spawn(move || {
        let mut data = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut data) {
            let _ = socket.send_to(format!("{name} {length}").as_bytes(), from);
        }
    });
}

fn answer(name: &str, mut stream: TcpStream) -> Option<()> {
    loop {
        let mut lengths = [0; 16];
        stream.read_exact(&mut lengths).ok()?;
        let up = u64::from_ne_bytes(lengths[..8].try_into().ok()?);
        let down = u64::from_ne_bytes(lengths[8..].try_into().ok()?);
        let taken = std::io::copy(&mut (&mut stream).take(up), &mut std::io::sink()).ok()?;
        if taken != up {
            return None;
        }
        stream.write_all(name.as_bytes()).ok()?;
        std::io::copy(&mut std::io::repeat(7).take(down), &mut stream).ok()?;
    }
}

/// A connection from the caller's namespace.
pub fn connect(vip: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(address(vip), 80), Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Sends and takes so many bytes; says which server answered.
pub fn exchange(stream: &mut TcpStream, up: u64, down: u64) -> std::io::Result<String> {
    stream.write_all(&[up.to_ne_bytes(), down.to_ne_bytes()].concat())?;
    std::io::copy(&mut std::io::repeat(1).take(up), stream)?;
    let mut name = [0; 2];
    stream.read_exact(&mut name)?;
    let taken = std::io::copy(&mut stream.take(down), &mut std::io::sink())?;
    assert_eq!(taken, down);
    Ok(String::from_utf8_lossy(&name).into())
}

/// A datagram and its answer.
pub fn ask(socket: &UdpSocket, vip: &str, length: usize) -> std::io::Result<String> {
    let mut answer = [0; 64];
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send_to(&vec![1; length], (address(vip), 80))?;
    let taken = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..taken]).into())
}

/// Enters a namespace for good. For threads that a test starts.
pub fn enter(namespace: &str) {
    let file = std::fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    setns(file, CloneFlags::CLONE_NEWNET).unwrap();
}
