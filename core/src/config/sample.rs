//! A configuration to begin with.

use super::{DirectorSettings, SchedulerSpec, default_slots, default_weight};

/// A commented configuration that reads without faults. What is commented out without a blank after the `#`
/// is a setting too; where a setting has a default, that is the value shown.
pub fn default_file() -> String {
    let DirectorSettings {
        plugin_dir,
        state_dir,
        ct_mark_mask,
    } = DirectorSettings::default();
    let SchedulerSpec {
        plugin: scheduler, ..
    } = SchedulerSpec::default();
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

# A virtual service. Repeat [[service]] for more.
[[service]]
name = "web"
# What it answers to: tcp, udp or sctp, a virtual IP, and a port, a list or a range of them.
# "fwmark:7" takes packets that carry that firewall mark, whatever their address and port.
listen = ["tcp://192.0.2.100:80,443", "tcp://[2001:db8::100]:80,443"]
# How packets reach the backends. nat: the backends see the clients, and answer through the director.
# full-nat: the backends see the director.
#forward = "nat"
# Who chooses the backend: a plugin's name or path, or both with parameters:
# scheduler = {{ plugin = "/etc/wvs/mine.wasm", params = {{ key = "value" }} }}
#scheduler = "{scheduler}"
# Slots of the dispatch table, a power of two from 16 to 4096. More follow weights more closely.
#slots = {slots}
# Bring up the addresses on an interface, and reject what comes to their other ports.
#manage_vip = {{ interface = "eth0", reject_other_ports = true }}

[[service.backend]]
# The real server. Without a port it gets the client's.
address = "198.51.100.11"
# Its share of the connections. 0 takes no new ones and keeps those it has.
#weight = {weight}
# Take no new connections, whatever the weight.
#drain = false

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
"##,
        plugin_dir = plugin_dir.display(),
        state_dir = state_dir.display(),
        slots = default_slots(),
        weight = default_weight(),
    )
}
