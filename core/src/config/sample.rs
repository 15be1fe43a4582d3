//! A configuration to begin with.

use super::text::duration_text;
use super::{DirectorSettings, SchedulerSpec, Timeouts, default_slots, default_weight};

/// A commented configuration that reads without faults. What is commented out without a blank after the `#`
/// is a setting too; where a setting has a default, that is the value shown.
pub fn default_file() -> String {
    let DirectorSettings {
        plugin_dir,
        state_dir,
        ct_mark_mask,
        interfaces: _,
        pin_dir,
        max_flows,
        queue,
        metrics: _,
    } = DirectorSettings::default();
    let SchedulerSpec {
        plugin: scheduler, ..
    } = SchedulerSpec::default();
    let Timeouts {
        established,
        fin,
        udp,
    } = Timeouts::default();
    format!(
        r##"# The configuration of wvs. `wvs check` reads it and changes nothing; `wvs reload` makes it the running one.
# Settings behind a `#` without a blank are examples, or defaults where they have one.

[director]
# Where plugins are looked up by name.
#plugin_dir = "{plugin_dir}"
# Where the running configuration and the backends' ids are kept.
#state_dir = "{state_dir}"
# Which bits of the conntrack mark are ours: contiguous, 8 to 16. Nobody else may use them.
#ct_mark_mask = "{ct_mark_mask:#010x}"
# For direct routing and tunnels: where packets come in. None: the interfaces that hold the virtual addresses.
#interfaces = []
# For direct routing and tunnels: where program and tables are pinned, on a BPF file system.
#pin_dir = "{pin_dir}"
# For direct routing and tunnels: connections of each family that are kept in mind.
#max_flows = {max_flows}
# For schedulers that are asked for each connection, through NAT: the number of the queue (NFQUEUE) in which the
# connections wait. Nobody else may use it.
#queue = {queue}
# Where metrics are told to Prometheus besides the control socket: at http://127.0.0.1:9107/metrics. None: nowhere.
# metrics = "127.0.0.1:9107"

# A virtual service. Repeat [[service]] for more.
[[service]]
name = "web"
# What it answers to: tcp, udp or sctp, a virtual IP, and a port, a list or a range of them.
# "fwmark:7" takes packets that carry that firewall mark, whatever their address and port.
listen = ["tcp://192.0.2.100:80,443", "tcp://[2001:db8::100]:80,443"]
# How packets reach the backends. nat: the backends see the clients, and answer through the director.
# full-nat: the backends see the director. dr: the backends hold the virtual address too, and answer the clients
# directly. tun: the same through a tunnel, to backends anywhere.
#forward = "nat"
# Who chooses the backend: a plugin's name or path, or both with parameters:
# scheduler = {{ plugin = "/etc/wvs/mine.wasm", params = {{ key = "value" }} }}
#scheduler = "{scheduler}"
# Slots of the dispatch table, a power of two from 16 to 4096. More follow weights more closely.
#slots = {slots}
# Bring up the addresses on an interface, and reject what comes to their other ports.
#manage_vip = {{ interface = "eth0", reject_other_ports = true }}
# How long idle connections are kept in mind.
#timeouts = {{ established = "{established}", fin = "{fin}", udp = "{udp}" }}

[[service.backend]]
# The real server. Without a port it gets the client's.
address = "198.51.100.11"
# Its share of the connections, where the scheduler goes by weight: rr does not. 0 takes no new ones, whatever the
# scheduler, and keeps those it has.
#weight = {weight}
# Take no new connections, whatever the weight.
#drain = false
# With max_connections it gets no new ones, until it has fewer than min_connections.
# max_connections = 10000
# min_connections = 8000

[[service.backend]]
address = "2001:db8:1::11"

# Full NAT, with source addresses of our own. Backends need no route to the clients.
#[[service]]
#name = "dns"
#listen = ["udp://192.0.2.100:53", "tcp://192.0.2.100:53"]
#forward = "full-nat"
# One address or one pool per family. Default: the address of the outgoing interface.
#source = ["192.0.2.1-192.0.2.4"]
#scheduler = "sh"

#[[service.backend]]
#address = "198.51.100.53:53"
#weight = 3

# Direct routing, with a tunnel to a backend that is far away. The ports stay as they are.
#[[service]]
#name = "shop"
#listen = ["tcp://192.0.2.101:80,443"]
#forward = "dr"
# A client's connections go to one backend until it has had none for that long.
# mask: how many bits of the address make a client. group: several services remember together.
# when_quiesced: what becomes of the clients of a backend that takes no new connections, "keep" or "expire".
#persistence = {{ timeout = "6m", mask = 24, mask6 = 64, group = "shop", when_quiesced = "expire" }}
# Clients whose backend is given.
#pins = [{{ client = "203.0.113.0/24", backend = "198.51.100.11" }}]
# For tun: ipip, gre or gue; and the outer source addresses, which the connections spread over.
#tunnel = {{ type = "gue", port = 6080, checksum = true }}
#tunnel_source = ["10.99.0.0/16"]

#[[service.backend]]
#address = "198.51.100.11"

#[[service.backend]]
#address = "203.0.113.11"
#forward = "tun"
#max_connections = 10000
#min_connections = 8000
"##,
        plugin_dir = plugin_dir.display(),
        state_dir = state_dir.display(),
        pin_dir = pin_dir.display(),
        established = duration_text(established),
        fin = duration_text(fin),
        udp = duration_text(udp),
        slots = default_slots(),
        weight = default_weight(),
    )
}
