//! Plugins, for people.

use std::fmt::Write as _;

use wvs_core::scheduler::bench::Cost;
use wvs_core::scheduler::conform::{Finding, Verdict};

use crate::local::{Inspection, Parameter, Prices};

use super::paint::Paint;
use super::table::{Column, Table, Tone};
use super::text::escape;

/// One line per check, and below those that did not pass what to do.
pub fn conformance(findings: &[Finding], paint: Paint) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.check.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Passed => "ok  ".to_owned(),
            Verdict::Note => paint.warning("note"),
            Verdict::Failed => paint.error("FAIL"),
        };
        let _ = writeln!(text, "{mark}  {:<width$}  {}", finding.check, escape(&finding.detail));
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "      {:<width$}  {} {}", "", paint.bold("what to do:"), escape(fix));
        }
    }
    text
}

/// What a plugin says of itself.
pub fn inspection(found: &Inspection, paint: Paint) -> String {
    let kind = match (&found.kind, &found.fails) {
        (Some(kind), _) => kind.clone(),
        (None, None) => "unknown: it does not start with these parameters".to_owned(),
        (None, Some(failing)) => format!(
            "unknown, because it does not start with these parameters\n  {:<12} {}\n  {:<12} {}",
            "it fails",
            escape(&failing.reason),
            "what to do",
            escape(failing.fix)
        ),
    };
    let mut text = format!(
        "{} {}: {}\n",
        paint.bold(&escape(&found.name)),
        escape(&found.version),
        escape(&found.summary)
    );
    for (name, value) in [
        ("origin", format!("{}, {} bytes", escape(&found.origin), found.bytes)),
        ("contract", found.contract.to_owned()),
        ("kind", kind),
        ("interfaces", interfaces(&found.interfaces)),
    ] {
        let _ = writeln!(text, "  {name:<12} {value}");
    }
    if found.parameters.is_empty() {
        text += "  parameters   none\n";
        return text;
    }
    text.push('\n');
    let mut table = Table::new(&[
        Column::Left("PARAMETER"),
        Column::Left("VALUES"),
        Column::Left("DEFAULT"),
        Column::Left("MEANING"),
    ]);
    for parameter in &found.parameters {
        let cells = [
            parameter.key.clone(),
            values(parameter),
            parameter.default.clone(),
            parameter.help.clone(),
        ];
        table.row(Tone::Plain, cells);
    }
    text + &table.render(paint)
}

/// Each with what it is for.
fn interfaces(names: &[&'static str]) -> String {
    let explained = |name: &&'static str| match *name {
        "table" => "table (fill)",
        "flows" => "flows (pick)",
        "load" => "load (looks at connections)",
        "timer" => "timer (its tables change with time)",
        "latency" => "latency (looks at how fast backends answer)",
        other => other,
    };
    names.iter().map(explained).collect::<Vec<_>>().join(", ")
}

fn values(parameter: &Parameter) -> String {
    match (parameter.kind, parameter.min, parameter.max) {
        ("integer", Some(min), Some(max)) => format!("{min} to {max}"),
        ("choice", ..) => parameter.words.join(", "),
        ("boolean", ..) => "true, false".to_owned(),
        (other, ..) => other.to_owned(),
    }
}

/// What the start costs, and what calls cost: the fastest and the one in the middle.
pub fn prices(prices: &Prices, paint: Paint) -> String {
    let start = format!(
        "start, compiled before: {}, median {}; compiling: {}\n\n",
        milliseconds(prices.start.kept.best_ns),
        milliseconds(prices.start.kept.median_ns),
        milliseconds(prices.start.compiled.best_ns)
    );
    let prices = &prices.prices;
    let asked = prices.iter().any(|price| price.pick.is_some());
    let mut table = Table::new(&[
        Column::Right("BACKENDS"),
        Column::Right("SLOTS"),
        Column::Right(if asked { "PICK" } else { "FILL" }),
        Column::Right("MEDIAN"),
        Column::Right("UPDATE"),
        Column::Right("OBSERVE"),
    ]);
    for price in prices {
        let answer = price.pick.or(price.fill);
        let cells = [
            price.backends.to_string(),
            if asked {
                String::new()
            } else {
                price.slots.to_string()
            },
            best(answer),
            answer.map(|cost| time(cost.median_ns)).unwrap_or_default(),
            best(Some(price.update)),
            best(price.observe),
        ];
        table.row(Tone::Plain, cells);
    }
    start + &table.render(paint)
}

fn milliseconds(nanoseconds: u64) -> String {
    format!("{}.{:02} ms", nanoseconds / 1_000_000, nanoseconds / 10_000 % 100)
}

fn best(cost: Option<Cost>) -> String {
    cost.map(|cost| time(cost.best_ns)).unwrap_or_default()
}

fn time(nanoseconds: u64) -> String {
    format!("{nanoseconds} ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_is_wrong() {
        let finding = |check, verdict, detail: &str, fix: Option<&str>| Finding {
            check,
            verdict,
            detail: detail.to_owned(),
            fix: fix.map(str::to_owned),
        };
        let found = [
            finding("starts", Verdict::Passed, "its tables are walked in order", None),
            finding("one backend", Verdict::Note, "3 of 256 entries are empty", Some("name the backend")),
            finding("time", Verdict::Failed, "it took\x1b[2J forever", Some("do less")),
        ];
        insta::assert_snapshot!(conformance(&found, Paint::PLAIN), @r"
        ok    starts       its tables are walked in order
        note  one backend  3 of 256 entries are empty
                           what to do: name the backend
        FAIL  time         it took\u{1b}[2J forever
                           what to do: do less
        ");
    }

    #[test]
    fn an_inspection_explains_every_parameter() {
        let parameter = |key: &str, kind, range: Option<(i32, i32)>, words: &[&str]| Parameter {
            key: key.to_owned(),
            kind,
            min: range.map(|range| range.0),
            max: range.map(|range| range.1),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            default: "d".to_owned(),
            help: "what it does".to_owned(),
        };
        let found = Inspection {
            name: "mine".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "does it".to_owned(),
            origin: "mine.wasm".to_owned(),
            bytes: 1234,
            contract: "0.1.0",
            kind: Some("hash source".to_owned()),
            fails: None,
            looks_at_connections: true,
            interfaces: vec!["table", "load", "timer", "latency"],
            parameters: vec![
                parameter("port", "boolean", None, &[]),
                parameter("size", "integer", Some((-1, 5)), &[]),
                parameter("mode", "choice", None, &["a", "b"]),
            ],
        };
        insta::assert_snapshot!(inspection(&found, Paint::PLAIN), @r"
        mine 0.1.0: does it
          origin       mine.wasm, 1234 bytes
          contract     0.1.0
          kind         hash source
          interfaces   table (fill), load (looks at connections), timer (its tables change with time), latency (looks at how fast backends answer)

        PARAMETER  VALUES       DEFAULT  MEANING
        port       true, false  d        what it does
        size       -1 to 5      d        what it does
        mode       a, b         d        what it does
        ");
    }
}
