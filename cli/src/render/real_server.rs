//! How a real server is, for people.

use std::fmt::Write as _;

use wvs_core::real_server::{State, Status};

use super::paint::Paint;
use super::table::{Column, Table, Tone};
use super::text::escape;

/// A row for each item, and below the table what to do, and why if that was asked for.
pub fn real_server(status: &Status, with_reasons: bool, paint: Paint) -> String {
    let mut table = Table::new(&[
        Column::Left("ITEM"),
        Column::Left("WANTED"),
        Column::Left("IS"),
        Column::Left("STATE"),
    ]);
    for item in &status.items {
        let (tone, word) = match item.state {
            State::Ok => (Tone::Plain, "ok"),
            State::Advice => (Tone::Warning, "advice"),
            State::Missing => (Tone::Error, "missing"),
            State::Wrong => (Tone::Error, "wrong"),
        };
        let cells = [&item.name, &item.wanted, &item.is].map(Clone::clone);
        table.row(tone, cells.into_iter().chain([word.to_owned()]));
    }
    let mut text = table.render(paint);
    let is_missing = status.items.iter().any(|item| item.state == State::Missing);
    let shown = |item: &&wvs_core::real_server::Item| with_reasons || !item.ok || item.fix.is_some();
    for item in status.items.iter().filter(shown) {
        let _ = writeln!(text, "\n{}: {}", paint.bold(&escape(&item.name)), escape(&item.why));
        if let Some(fix) = &item.fix {
            let _ = writeln!(text, "  {} {}", paint.bold("fix:"), escape(fix));
        }
    }
    if is_missing {
        let command = if status.remembered {
            "once more"
        } else {
            "with the same arguments"
        };
        let _ = writeln!(text, "\nWhat is missing is brought about by `wvs real-server setup` {command}.");
    }
    text
}

/// One line each.
pub fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| escape(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let item = |name: &str, wanted: &str, is: &str, state: &str, fix: Option<&str>| {
            serde_json::json!({
                "name": name, "wanted": wanted, "is": is, "ok": matches!(state, "ok" | "advice"), "state": state,
                "why": format!("because of {name}"), "fix": fix,
            })
        };
        serde_json::from_value(serde_json::json!({
            "vips": ["10.0.0.100"], "mode": "tun", "tunnel": "ipip", "remembered": true,
            "items": [
                item("net.ipv4.conf.all.arp_ignore", "1 or 2", "1", "ok", None),
                item("device wvs-ipip", "ipip, up", "missing", "missing", None),
                item("10.0.0.100 elsewhere", "on no interface with neighbours", "/24 on eth0", "wrong",
                     Some("ip address delete 10.0.0.100/24 dev eth0")),
                item("segments of clients, IPv4", "at most 1440 bytes", "1460 bytes, MTU 1500 of eth0", "advice",
                     Some("ip route change default via 10.1.0.1 dev eth0 advmss 1440")),
            ],
        }))
        .unwrap()
    }

    #[test]
    fn what_is_not_well_is_explained_below() {
        insta::assert_snapshot!(real_server(&status(), false, Paint::PLAIN));
    }

    #[test]
    fn reasons_are_given_when_asked_for() {
        let text = real_server(&status(), true, Paint::PLAIN);
        assert!(text.contains("because of net.ipv4.conf.all.arp_ignore"), "{text}");
    }
}
