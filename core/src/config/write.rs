//! From a configuration to TOML that people read and edit.

use std::fmt::Write;

use toml::Value;

use super::{
    Backend, Config, DirectorSettings, Forward, SchedulerSpec, Service, default_slots, default_weight,
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
}

fn service(text: &mut String, service: &Service) {
    text.push_str("[[service]]\n");
    line(text, "name", string(&service.name));
    line(text, "listen", Value::Array(service.listen.iter().map(string).collect()));
    if service.forward != Forward::default() {
        line(text, "forward", string(service.forward));
    }
    if !service.source.is_empty() {
        line(text, "source", Value::Array(service.source.iter().map(string).collect()));
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
    for backend in &service.backends {
        text.push('\n');
        self::backend(text, backend);
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
}
