//! A client, a director and a real server on one switch. The director is the test's own thread. Nothing else of this
//! machine sees its named namespaces and its BPF file system; the kernel takes all away with the thread.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use tempfile::TempDir;
use wvs_core::kernel::real_server::HostDoor;
use wvs_core::real_server::{Made, Mode, SetupError, Status, Undone, Wish, setup, status, undo};

use super::run;

pub const VIPS: [&str; 2] = ["10.0.0.100", "fd00::100"];
/// The real server's own addresses.
pub const SERVER: [&str; 2] = ["10.0.0.11", "fd00::11"];
/// The client is in no network of the real server's, whose default route leads to it.
pub const CLIENT: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

#[derive(Debug)]
pub struct Lab {
    dir: TempDir,
}

impl Lab {
    pub fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bpf")).unwrap();
        mount(Some("bpf"), &dir.path().join("bpf"), Some("bpf"), MsFlags::empty(), none).unwrap();
        fs::create_dir_all("/run/netns").unwrap();
        mount(Some("netns"), "/run/netns", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        let lab = Lab { dir };
        run("ip netns add sw");
        run("ip -n sw link add br0 type bridge");
        run("ip -n sw link set br0 up");
        lab.plug("d", &["10.0.0.1/24", "fd00::1/64", "192.0.2.1/24", "2001:db8::1/64"]);
        run("ip netns add c");
        lab.within("c", || lab.plug("c", &["192.0.2.2/24", "2001:db8::2/64"]));
        run("ip netns add r");
        lab.within("r", || {
            lab.plug("r", &["10.0.0.11/24", "fd00::11/64"]);
            run("ip route add default dev eth0");
            run("ip route add ::/0 dev eth0");
        });
        lab.within("c", || {
            run("ip route add default dev eth0");
            run("ip route add ::/0 dev eth0");
        });
        lab
    }

    /// Gives the thread's namespace an interface on the switch.
    fn plug(&self, name: &str, addresses: &[&str]) {
        for (key, value) in [
            ("ipv6/conf/all/accept_dad", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/router_solicitations", "0"),
            // IPv4 settings of a new namespace are copies of the host's (devconf_inherit_init_net).
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/conf/all/arp_ignore", "0"),
            ("ipv4/conf/all/arp_announce", "0"),
        ] {
            sysctl(key, value);
        }
        run("ip link set lo up");
        // Unlike numbers, or the kernel delays the news that the carrier is up (linkwatch_urgent_event). Low ones may
        // be taken by the devices of tunnels' modules.
        run(&format!("ip link add eth0 index 100 type veth peer name {name} netns sw"));
        run(&format!("ip -n sw link set dev {name} master br0 up"));
        run("ip link set eth0 up");
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            run(&format!("ip address add {address} dev eth0 {nodad}"));
        }
        settle();
    }

    /// Runs something in another namespace: `c`, the client, or `r`, the real server.
    pub fn within<T: Send>(&self, namespace: &str, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(File::open(format!("/run/netns/{namespace}")).unwrap(), CloneFlags::CLONE_NEWNET)
                    .unwrap();
                work()
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// The client's side of the virtual addresses belongs to the director.
    pub fn give_vips_to_the_director(&self) {
        run("ip address add 10.0.0.100/32 dev eth0");
        run("ip address add fd00::100/128 dev eth0 nodad");
        settle();
    }

    /// Lets the client's own kernel put what it sends to a virtual address into a tunnel to the real server.
    pub fn tunnel_from_client(&self, vip: &str, device: &str) {
        if device.contains("encap gue") {
            // The sending side does not load it by itself. Where it is no module, what follows says what is missing.
            let _ = std::process::Command::new("modprobe")
                .args(["-a", "fou", "fou6"])
                .output();
        }
        self.within("c", || {
            run(&format!("ip link add t0 {device}"));
            run("ip link set t0 up");
            run(&format!("ip route add {vip} dev t0 src {}", CLIENT[usize::from(vip.contains(':'))]));
        });
    }

    pub fn end_tunnel_from_client(&self) {
        self.within("c", || run("ip link delete t0"));
    }

    pub fn pins(&self, host: &str) -> PathBuf {
        self.dir.path().join("bpf").join(host)
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn wish(&self, vips: &[&str], mode: &str, interface: Option<&str>) -> Wish {
        Wish {
            vips: vips.iter().map(|text| text.parse().unwrap()).collect(),
            mode: if mode == "dr" { Mode::Dr } else { Mode::Tun },
            tunnel: mode.parse().unwrap_or_default(),
            outer: None,
            interface: interface.map(str::to_owned),
            pin_dir: self.pins("r"),
        }
    }

    pub fn door(&self) -> HostDoor {
        HostDoor::open(&self.pins("r")).unwrap()
    }

    /// In the real server's namespace, as the following.
    pub fn set_up(&self, wish: &Wish) -> Result<Made, SetupError> {
        self.within("r", || {
            let made = setup(&mut self.door(), &self.state_dir(), wish, None, false);
            settle();
            made
        })
    }

    pub fn set_back(&self) -> Undone {
        let none = BTreeSet::new();
        self.within("r", || undo(&mut self.door(), &self.state_dir(), &none, self.dir.path()).unwrap())
    }

    pub fn status(&self, wish: Option<Wish>) -> Status {
        self.within("r", || status(&mut self.door(), &self.state_dir(), wish).unwrap())
    }

    /// Everything of the real server's host that setup may change.
    pub fn state(&self) -> String {
        self.within("r", || {
            let mut text = run("ip -o address show");
            for line in run("ip -o link show").lines() {
                let name = line.split_whitespace().nth(1).unwrap_or_default();
                let _ = writeln!(text, "{name} {}", line.contains(",UP"));
            }
            let mut settings: Vec<_> = ["all", "lo", "eth0"]
                .into_iter()
                .flat_map(|conf| {
                    ["arp_ignore", "arp_announce", "rp_filter"].map(|key| format!("ipv4/conf/{conf}/{key}"))
                })
                .map(|key| format!("{key} {}", fs::read_to_string(setting(&key)).unwrap().trim()))
                .collect();
            settings.sort();
            text += &settings.join("\n");
            let pins = |entry: io::Result<fs::DirEntry>| entry.unwrap().path().display().to_string();
            if let Ok(entries) = fs::read_dir(self.pins("r")) {
                text += &entries.map(pins).collect::<Vec<_>>().join("\n");
            }
            text
        })
    }

    /// Answers at virtual addresses of the real server, port 80, until the namespace ends: to TCP as many bytes as
    /// the client has announced and sent, to UDP the datagram.
    pub fn serve(&self, vips: &[&str]) {
        for vip in vips {
            let at = SocketAddr::new(vip.parse().unwrap(), 80);
            let (listener, socket) =
                self.within("r", || (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap()));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    thread::spawn(move || answer(stream));
                }
            });
            thread::spawn(move || {
                let mut data = vec![0; 65_536];
                while let Ok((length, from)) = socket.recv_from(&mut data) {
                    let _ = socket.send_to(&data[..length], from);
                }
            });
        }
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    let up = u64::from_ne_bytes(length);
    let taken = io::copy(&mut (&mut stream).take(up), &mut io::sink())?;
    stream.write_all(&taken.to_ne_bytes())
}

/// Sends so many bytes to a virtual address and hears how many came. From the thread's namespace.
pub fn send(vip: &str, bytes: u64) -> io::Result<u64> {
    let at = SocketAddr::new(vip.parse().unwrap(), 80);
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(&bytes.to_ne_bytes())?;
    io::copy(&mut io::repeat(1).take(bytes), &mut stream)?;
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    Ok(u64::from_ne_bytes(length))
}

/// Sends a datagram to a virtual address and waits for it to come back.
pub fn ask(vip: &str) -> io::Result<Vec<u8>> {
    let vip: IpAddr = vip.parse().unwrap();
    let socket = UdpSocket::bind(if vip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.send_to(b"a datagram", (vip, 80))?;
    let mut data = vec![0; 100];
    let length = socket.recv(&mut data)?;
    data.truncate(length);
    Ok(data)
}

fn setting(key: &str) -> String {
    format!("/proc/sys/net/{key}")
}

/// Sets a setting of the thread's namespace.
pub fn sysctl(key: &str, value: &str) {
    fs::write(setting(key), value).unwrap_or_else(|error| panic!("{key}: {error}"));
}

pub fn read_sysctl(key: &str) -> String {
    fs::read_to_string(setting(key)).unwrap().trim().to_owned()
}

/// Waits until IPv6 addresses have their routes, which the kernel makes in a work queue (`addrconf_dad_work`).
pub fn settle() {
    let deadline = Instant::now() + Duration::from_secs(10);
    let of = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    loop {
        let routes = of("ipv6_route");
        let is_unrouted = |line: &str| {
            let mut fields = line.split_whitespace();
            let (address, scope) = (fields.next().unwrap_or_default(), fields.nth(2));
            let local = format!("{address} 80 ");
            scope != Some("20") && !routes.lines().any(|route| route.starts_with(&local))
        };
        if !of("if_inet6").lines().any(is_unrouted) {
            return;
        }
        assert!(Instant::now() < deadline, "addresses without a route");
        thread::sleep(Duration::from_millis(5));
    }
}
