//! The director's state for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wvs_core::api::{SchedulerHealth, SchedulerView, Status, TcView};
use wvs_core::scheduler::{Dispatch, HashKey};

use super::paint::Paint;
use super::quantity::duration;
use super::table::{Column, Table, Tone};
use super::text::escape;

/// Whether something is not as it should be.
pub fn is_degraded(status: &Status) -> bool {
    !status.warnings.is_empty()
        || status
            .schedulers
            .iter()
            .any(|scheduler| scheduler.health != SchedulerHealth::Running)
}

/// One screen: the director, its schedulers, and what is not as it should be.
pub fn status(status: &Status, paint: Paint) -> String {
    let edited = if status.edited {
        " (edited since it was read)"
    } else {
        ""
    };
    let facts = [
        (
            "director",
            format!("wvs {}, process {}, up {}", status.version, status.pid, duration(status.uptime)),
        ),
        ("config", format!("{}{edited}", status.config_file)),
        ("services", status.services.to_string()),
        ("backends", status.backends.to_string()),
        (
            "ruleset",
            format!("generation {}, {} sent, {} repaired", status.generation, status.commits, status.repairs),
        ),
    ];
    let mut text = String::new();
    for (name, value) in facts {
        let _ = writeln!(text, "{name:<9} {}", escape(&value));
    }
    text += &happened("refused", &status.refused);
    if let Some(tc) = &status.tc {
        text += &program(tc);
    }
    if !status.schedulers.is_empty() {
        let _ = write!(text, "\n{}", schedulers(&status.schedulers, paint));
    }
    let failed = status
        .schedulers
        .iter()
        .filter_map(|it| it.last_error.as_deref().map(|error| (it, error)));
    for (scheduler, error) in failed {
        let name = format!("{} ({})", scheduler.service, scheduler.family.nft());
        let _ = writeln!(text, "\n{} last failed: {}", escape(&name), escape(error));
    }
    for warning in &status.warnings {
        let _ = writeln!(text, "\n{} {}", paint.warning("warning:"), escape(warning));
    }
    text
}

/// How often what happened did; nothing of what did not.
fn happened(what: &str, counts: &BTreeMap<String, u64>) -> String {
    let happened = counts.iter().filter(|(_, count)| **count > 0);
    let words: Vec<_> = happened.map(|(name, count)| format!("{name} {count}")).collect();
    if words.is_empty() {
        return String::new();
    }
    format!("{what:<9} {}\n", escape(&words.join(", ")))
}

/// The tc program of direct routing and tunnels.
fn program(tc: &TcView) -> String {
    let interfaces = match tc.interfaces.as_slice() {
        [] => "attached nowhere".to_owned(),
        some => format!("attached to {}", some.join(", ")),
    };
    let line = format!("{interfaces}, {} connections, {} run out", tc.connections, tc.expired);
    let line = format!("{:<9} {}\n", "tc", escape(&line));
    line + &happened("drops", &tc.drops) + &happened("events", &tc.events)
}

fn schedulers(schedulers: &[SchedulerView], paint: Paint) -> String {
    let mut table = Table::new(&[
        Column::Left("SERVICE"),
        Column::Left("FAMILY"),
        Column::Left("SCHEDULER"),
        Column::Left("VERSION"),
        Column::Left("DISPATCH"),
        Column::Left("HEALTH"),
        Column::Right("CALLS"),
        Column::Right("FAILURES"),
    ]);
    for scheduler in schedulers {
        let (health, tone) = health(&scheduler.health);
        table.row(
            tone,
            [
                scheduler.service.clone(),
                scheduler.family.nft().to_owned(),
                scheduler.plugin.clone(),
                scheduler.version.clone(),
                dispatch(scheduler.dispatch).to_owned(),
                health,
                scheduler.calls.to_string(),
                scheduler.failures.to_string(),
            ],
        );
    }
    table.render(paint)
}

pub(super) fn health(health: &SchedulerHealth) -> (String, Tone) {
    let instead = |fallback: &bool| {
        if *fallback {
            ", built-in round robin serves"
        } else {
            ", last table serves"
        }
    };
    match health {
        SchedulerHealth::Running => ("running".to_owned(), Tone::Plain),
        SchedulerHealth::BackingOff { retry_in, fallback } => {
            (format!("retry in {}{}", duration(*retry_in), instead(fallback)), Tone::Warning)
        }
        SchedulerHealth::Refusing { fallback } => (format!("refusing{}", instead(fallback)), Tone::Warning),
        SchedulerHealth::Quarantined { fallback } => {
            (format!("quarantined{}", instead(fallback)), Tone::Error)
        }
    }
}

pub(super) fn dispatch(dispatch: Dispatch) -> &'static str {
    match dispatch {
        Dispatch::Cycle => "cycle",
        Dispatch::Flow => "flow",
        Dispatch::Hash(HashKey::Source) => "hash source",
        Dispatch::Hash(HashKey::SourceAndPort) => "hash source+port",
        Dispatch::Hash(HashKey::Destination) => "hash destination",
        Dispatch::Hash(HashKey::Both) => "hash both",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn a_healthy_director_is_short() {
        insta::assert_snapshot!(status(&samples::healthy(), Paint::PLAIN));
        assert!(!is_degraded(&samples::healthy()));
    }

    #[test]
    fn a_degraded_director_says_why() {
        insta::assert_snapshot!(status(&samples::degraded(), Paint::PLAIN));
    }

    #[test]
    fn a_warning_or_a_failing_scheduler_is_enough_to_be_degraded() {
        let mut warned = samples::healthy();
        warned.warnings.push("net.ipv4.ip_forward is 0".to_owned());
        assert!(is_degraded(&warned));
        let mut failing = samples::healthy();
        failing.schedulers[0].health = SchedulerHealth::Quarantined { fallback: false };
        assert!(is_degraded(&failing));
    }
}
