//! What a test of a plugin found, for people.

use std::fmt::Write as _;

use wvs_core::scheduler::conform::{Report, Reproduction, Verdict};

use super::paint::Paint;
use super::text::escape;

/// One line per invariant, and below those that do not hold how to see it and what to do.
pub fn report(report: &Report, paint: Paint) -> String {
    let held = &report.invariants;
    let width = held
        .iter()
        .map(|held| held.invariant.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for held in held {
        let mark = match held.verdict {
            Verdict::Passed => "ok  ".to_owned(),
            Verdict::Note => paint.warning("note"),
            Verdict::Failed => paint.error("FAIL"),
        };
        let _ = writeln!(text, "{mark}  {:<width$}  {}", held.invariant, escape(&held.detail));
        let mut below = |what: &str, it: &str| {
            let _ = writeln!(text, "      {:<width$}  {} {}", "", paint.bold(what), escape(it));
        };
        if let Some(reproduction) = &held.reproduction {
            below("how to see it:", &way(reproduction));
        }
        if let Some(fix) = &held.fix {
            below("what to do:", fix);
        }
    }
    if !report.untested.is_empty() {
        let _ = writeln!(
            text,
            "{}  not tested, because of this: {}",
            paint.warning("note"),
            report.untested.join(", ")
        );
    }
    let _ = writeln!(text, "{} sequences, {} events, seed {}", report.sequences, report.events, report.seed);
    text
}

fn way(reproduction: &Reproduction) -> String {
    let events = match reproduction.events.as_slice() {
        [] => "it is started".to_owned(),
        events => events.join("; "),
    };
    format!("{events} ({} slots, sequence {})", reproduction.slots, reproduction.sequence)
}

#[cfg(test)]
mod tests {
    use wvs_core::scheduler::conform::Held;

    use super::*;

    #[test]
    fn what_does_not_hold_is_shown_with_the_way_there() {
        let held = |invariant, verdict, detail: &str| Held {
            invariant,
            verdict,
            detail: detail.to_owned(),
            fix: None,
            reproduction: None,
        };
        let failed = Held {
            fix: Some("leave it out".to_owned()),
            reproduction: Some(Reproduction {
                sequence: 17,
                slots: 16,
                events: vec!["add b1 3".to_owned(), "drain b1".to_owned()],
                then: "slot 0 holds backend 1".to_owned(),
            }),
            ..held("usable backends only", Verdict::Failed, "slot 0 holds backend 1")
        };
        let found = Report {
            seed: 1,
            sequences: 200,
            events: 4321,
            untested: vec!["memory stays"],
            invariants: vec![held("answers", Verdict::Passed, "4321 events"), failed],
        };
        insta::assert_snapshot!(report(&found, Paint::PLAIN), @r"
        ok    answers               4321 events
        FAIL  usable backends only  slot 0 holds backend 1
                                    how to see it: add b1 3; drain b1 (16 slots, sequence 17)
                                    what to do: leave it out
        note  not tested, because of this: memory stays
        200 sequences, 4321 events, seed 1
        ");
    }
}
