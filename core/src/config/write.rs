//! From a configuration to TOML that people read and edit.

use std::fmt::Write;

use toml::Value;

use super::persistence::{whole_v4, whole_v6};
use super::text::duration_text;
use super::{
    Backend, Config, DirectorSettings, Forward, Persistence, SchedulerSpec, Service, Timeouts, Tunnel,
    TunnelKind, WhenQuiesced, default_slots, default_weight,
};

/// Writes a configuration; reading the text gives the same configuration. Defaults are left out.
pub fn to_toml(config: &Config) -> String {
    let mut text = String::new();
    director(&mut text, &config.director);
    for service in &config.services {
        if !text.is_empty() {
            text.push('\n');
        }
        self::service(&mut text, service);
    }
    text
}

fn line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key} = {value}");
}

fn string(text: impl ToString) -> Value {
    Value::String(text.to_string())
}

fn strings<T: ToString>(texts: &[T]) -> Value {
    Value::Array(texts.iter().map(|text| Value::String(text.to_string())).collect())
}

/// A table on one line.
fn inline(pairs: &[(&str, Value)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn director(text: &mut String, director: &DirectorSettings) {
    let default = DirectorSettings::default();
    if *director == default {
        return;
    }
    text.push_str("[director]\n");
    if director.plugin_dir != default.plugin_dir {
        line(text, "plugin_dir", string(director.plugin_dir.display()));
    }
    if director.state_dir != default.state_dir {
        line(text, "state_dir", string(director.state_dir.display()));
    }
    if director.ct_mark_mask != default.ct_mark_mask {
        line(text, "ct_mark_mask", string(format_args!("{:#010x}", director.ct_mark_mask)));
    }
    if director.interfaces != default.interfaces {
        line(text, "interfaces", strings(&director.interfaces));
    }
    if director.pin_dir != default.pin_dir {
        line(text, "pin_dir", string(director.pin_dir.display()));
    }
    if director.max_flows != default.max_flows {
        line(text, "max_flows", director.max_flows);
    }
    if director.queue != default.queue {
        line(text, "queue", director.queue);
    }
    if let Some(address) = director.metrics {
        line(text, "metrics", string(address));
    }
}

fn service(text: &mut String, service: &Service) {
    text.push_str("[[service]]\n");
    line(text, "name", string(&service.name));
    line(text, "listen", strings(&service.listen));
    if service.forward != Forward::default() {
        line(text, "forward", string(service.forward));
    }
    if !service.source.is_empty() {
        line(text, "source", strings(&service.source));
    }
    if service.scheduler != SchedulerSpec::default() {
        line(text, "scheduler", scheduler(&service.scheduler));
    }
    if service.slots != default_slots() {
        line(text, "slots", service.slots);
    }
    if let Some(manage) = &service.manage_vip {
        let reject = if manage.reject_other_ports {
            ", reject_other_ports = true"
        } else {
            ""
        };
        line(
            text,
            "manage_vip",
            format_args!("{{ interface = {}{reject} }}", string(&manage.interface)),
        );
    }
    clients(text, service);
    if let Some(it) = service.tunnel {
        line(text, "tunnel", tunnel(it));
    }
    if !service.tunnel_source.is_empty() {
        line(text, "tunnel_source", strings(&service.tunnel_source));
    }
    for backend in &service.backends {
        text.push('\n');
        self::backend(text, backend);
    }
}

/// What is remembered of clients and connections.
fn clients(text: &mut String, service: &Service) {
    if let Some(it) = &service.persistence {
        line(text, "persistence", persistence(it));
    }
    if !service.timeouts.is_default() {
        line(text, "timeouts", timeouts(&service.timeouts));
    }
    if service.one_packet {
        line(text, "one_packet", true);
    }
    if !service.pins.is_empty() {
        let pins = service.pins.iter();
        let pins =
            pins.map(|pin| inline(&[("client", string(pin.client)), ("backend", string(pin.backend))]));
        line(text, "pins", format_args!("[{}]", pins.collect::<Vec<_>>().join(", ")));
    }
}

fn persistence(persistence: &Persistence) -> String {
    let mut pairs = vec![("timeout", string(duration_text(persistence.timeout)))];
    if persistence.mask != whole_v4() {
        pairs.push(("mask", Value::Integer(persistence.mask.into())));
    }
    if persistence.mask6 != whole_v6() {
        pairs.push(("mask6", Value::Integer(persistence.mask6.into())));
    }
    if let Some(group) = &persistence.group {
        pairs.push(("group", string(group)));
    }
    if persistence.when_quiesced != WhenQuiesced::default() {
        pairs.push(("when_quiesced", string(persistence.when_quiesced)));
    }
    inline(&pairs)
}

fn timeouts(timeouts: &Timeouts) -> String {
    let default = Timeouts::default();
    let pairs = [
        ("established", timeouts.established, default.established),
        ("fin", timeouts.fin, default.fin),
        ("udp", timeouts.udp, default.udp),
    ];
    let differ = pairs.iter().filter(|(_, given, default)| given != default);
    let differ: Vec<_> = differ
        .map(|(key, given, _)| (*key, string(duration_text(*given))))
        .collect();
    inline(&differ)
}

fn tunnel(tunnel: Tunnel) -> String {
    let mut pairs = vec![("type", string(tunnel.kind.name()))];
    if let TunnelKind::Gue { port } = tunnel.kind {
        pairs.push(("port", Value::Integer(port.into())));
    }
    if tunnel.checksum {
        pairs.push(("checksum", Value::Boolean(true)));
    }
    match pairs.as_slice() {
        [(_, kind)] => kind.to_string(),
        _ => inline(&pairs),
    }
}

fn scheduler(scheduler: &SchedulerSpec) -> String {
    let plugin = string(&scheduler.plugin);
    if scheduler.params.is_empty() {
        return plugin.to_string();
    }
    let params = scheduler
        .params
        .iter()
        .map(|(key, value)| (key.clone(), string(value)))
        .collect();
    format!("{{ plugin = {plugin}, params = {} }}", Value::Table(params))
}

fn backend(text: &mut String, backend: &Backend) {
    text.push_str("[[service.backend]]\n");
    line(text, "address", string(backend.address));
    if backend.weight != default_weight() {
        line(text, "weight", backend.weight);
    }
    if backend.drain {
        line(text, "drain", true);
    }
    if let Some(forward) = backend.forward {
        line(text, "forward", string(forward));
    }
    if let Some(connections) = backend.max_connections {
        line(text, "max_connections", connections);
    }
    if let Some(connections) = backend.min_connections {
        line(text, "min_connections", connections);
    }
    if let Some(it) = backend.tunnel {
        line(text, "tunnel", tunnel(it));
    }
}
