//! Events for people.

use wvs_core::api::{Event, Happening, Sample};

use super::paint::Paint;
use super::quantity::count;
use super::status::health;
use super::text::escape;

/// An event on a line: when, what, and of whom.
pub fn event(event: &Event, paint: Paint) -> String {
    let (name, words) = words(&event.what);
    let line = escape(&format!("{} {name:<19} {words}", event.time));
    let line = line.trim_end();
    let line = match &event.what {
        Happening::SchedulerFailed { .. } | Happening::NotApplied { .. } => paint.error(line),
        Happening::BackendLost { .. }
        | Happening::BackendFull { .. }
        | Happening::Repaired { .. }
        | Happening::SchedulerRefused { .. }
        | Happening::Dropped { .. }
        | Happening::Refused(_)
        | Happening::Unreported { .. }
        | Happening::Missed { .. } => paint.warning(line),
        _ => line.to_owned(),
    };
    line + "\n"
}

/// Its name, as in JSON, and the rest.
fn words(what: &Happening) -> (&'static str, String) {
    match what {
        Happening::Applied { edit, changed, steps } => {
            let what = if *edit { "an edit" } else { "a configuration" };
            let same = if *changed { "" } else { ", the same as before" };
            ("applied", format!("{what}{same}: {}", count(*steps, "step")))
        }
        Happening::NotApplied { why } => ("not-applied", format!("the running configuration stays: {why}")),
        Happening::Repaired { steps } => {
            ("repaired", format!("somebody changed our tables: {}", count(*steps, "step")))
        }
        Happening::BackendLost {
            service,
            backend,
            why,
        } => ("backend-lost", format!("{service} {backend}: {why}")),
        Happening::BackendFound { service, backend } => ("backend-found", format!("{service} {backend}")),
        Happening::BackendFull { service, backend } => ("backend-full", format!("{service} {backend}")),
        Happening::BackendFree { service, backend } => ("backend-free", format!("{service} {backend}")),
        Happening::SchedulerFailed {
            service,
            family,
            plugin,
            error,
            health: now,
        } => {
            let (now, _) = health(now);
            ("scheduler-failed", format!("{service} ({family}) {plugin}: {error}; {now}"))
        }
        Happening::SchedulerWorks {
            service,
            family,
            plugin,
        } => ("scheduler-works", format!("{service} ({family}) {plugin}")),
        Happening::SchedulerExchanged {
            service,
            family,
            plugin,
        } => ("scheduler-exchanged", format!("{service} ({family}) {plugin}")),
        Happening::SchedulerRefused {
            service,
            family,
            plugin,
            why,
        } => (
            "scheduler-refused",
            format!("{service} ({family}) {plugin}: the new version is not used: {why}"),
        ),
        Happening::Scheduled(packet) => ("scheduled", sample(packet)),
        Happening::Refused(packet) => ("refused", sample(packet)),
        Happening::Dropped { reason, packet } => ("dropped", format!("{reason}: {}", sample(packet))),
        Happening::Noticed { reason, packet } => ("noticed", format!("{reason}: {}", sample(packet))),
        Happening::Unreported { packets } => (
            "unreported",
            format!("{packets} sampled packets came faster than the director reads them"),
        ),
        Happening::Missed { events } => {
            ("missed", format!("{events} events came faster than they were read"))
        }
    }
}

fn sample(packet: &Sample) -> String {
    let service = packet.service.as_deref().unwrap_or("?");
    let backend = packet
        .backend
        .map_or_else(String::new, |backend| format!(" to {backend}"));
    let mark = match packet.mark {
        0 => String::new(),
        mark => format!(", mark {mark}"),
    };
    format!(
        "{service} {} {} > {}{backend}, {} bytes on {}{mark} (1 in {})",
        packet.protocol, packet.client, packet.target, packet.length, packet.interface, packet.one_in
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn every_event_is_a_line() {
        let lines: String = samples::events()
            .iter()
            .map(|it| event(it, Paint::PLAIN))
            .collect();
        assert_eq!(lines.lines().count(), samples::events().len());
        insta::assert_snapshot!(lines);
    }
}
