//! Which keys the tables of a configuration file have.

/// What a table may hold.
pub(super) struct Shape {
    /// The table in words.
    pub(super) name: &'static str,
    /// How it is written.
    pub(super) example: &'static str,
    /// Its keys.
    pub(super) keys: &'static [&'static str],
    /// Keys that only later versions know.
    pub(super) later: &'static [&'static str],
}

/// All tables.
pub(super) const SHAPES: [&Shape; 10] = [
    &ROOT,
    &DIRECTOR,
    &SERVICE,
    &BACKEND,
    &MANAGE_VIP,
    &SCHEDULER,
    &PERSISTENCE,
    &TIMEOUTS,
    &PIN,
    &TUNNEL,
];

pub(super) const ROOT: Shape = Shape {
    name: "the top level",
    example: "[director] and [[service]]",
    keys: &["director", "service"],
    later: &[],
};
pub(super) const DIRECTOR: Shape = Shape {
    name: "[director]",
    example: "[director] on a line of its own, with its settings below",
    keys: &[
        "plugin_dir",
        "state_dir",
        "ct_mark_mask",
        "interfaces",
        "pin_dir",
        "max_flows",
        "queue",
        "metrics",
    ],
    later: &[],
};
pub(super) const SERVICE: Shape = Shape {
    name: "[[service]]",
    example: "[[service]] on a line of its own, with its settings below",
    keys: &[
        "name",
        "listen",
        "forward",
        "source",
        "scheduler",
        "slots",
        "manage_vip",
        "persistence",
        "timeouts",
        "one_packet",
        "pins",
        "tunnel",
        "tunnel_source",
        "backend",
    ],
    later: &["health"],
};
pub(super) const BACKEND: Shape = Shape {
    name: "[[service.backend]]",
    example: "[[service.backend]] on a line of its own, with its settings below",
    keys: &[
        "address",
        "weight",
        "drain",
        "forward",
        "max_connections",
        "min_connections",
        "tunnel",
    ],
    later: &[],
};
pub(super) const MANAGE_VIP: Shape = Shape {
    name: "manage_vip",
    example: "manage_vip = { interface = \"eth0\" }",
    keys: &["interface", "reject_other_ports"],
    later: &[],
};
pub(super) const SCHEDULER: Shape = Shape {
    name: "scheduler",
    example: "scheduler = \"rr\", or scheduler = { plugin = \"rr\", params = { key = \"value\" } }",
    keys: &["plugin", "params"],
    later: &[],
};
pub(super) const PERSISTENCE: Shape = Shape {
    name: "persistence",
    example: "persistence = { timeout = \"6m\" }",
    keys: &["timeout", "mask", "mask6", "group", "when_quiesced"],
    later: &[],
};
pub(super) const TIMEOUTS: Shape = Shape {
    name: "timeouts",
    example: "timeouts = { established = \"15m\" }",
    keys: &["established", "fin", "udp"],
    later: &[],
};
pub(super) const PIN: Shape = Shape {
    name: "a pin",
    example: "pins = [{ client = \"10.9.0.0/16\", backend = \"10.1.0.11:8080\" }]",
    keys: &["client", "backend"],
    later: &[],
};
pub(super) const TUNNEL: Shape = Shape {
    name: "tunnel",
    example: "tunnel = \"gre\", or tunnel = { type = \"gue\", port = 6080 }",
    keys: &["type", "port", "checksum"],
    later: &[],
};
