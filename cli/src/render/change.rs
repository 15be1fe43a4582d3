//! Changes for people.

use std::fmt::Write as _;

use wvs_core::api::{Applied, Torn};

use super::quantity::count;
use super::text::{escape, escape_block};

/// A change as an nft script; what happens to addresses stands in its comments.
pub fn plan(applied: &Applied) -> String {
    let mut text = escape_block(&applied.plan);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for address in &applied.addresses {
        let _ = writeln!(text, "# {}", escape(address));
    }
    text
}

/// A change in one line.
pub fn summary(applied: &Applied) -> String {
    if applied.plan.is_empty() && applied.addresses.is_empty() && applied.cut + applied.forgotten == 0 {
        // Such as a weight of the only backend that is up: the configuration changed, the ruleset did not.
        let nothing = if applied.dry_run {
            "nothing differs"
        } else {
            "done; the kernel needs no change"
        };
        return nothing.to_owned();
    }
    let mut parts = Vec::new();
    let lines = applied
        .plan
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count();
    if lines > 0 {
        parts.push(count(lines, "line") + " of nft");
    }
    if !applied.addresses.is_empty() {
        parts.push(count(applied.addresses.len(), "address change"));
    }
    if applied.cut > 0 {
        parts.push(count(applied.cut, "connection") + " cut");
    }
    if applied.forgotten > 0 {
        parts.push(count(applied.forgotten, "persistent client") + " forgotten");
    }
    let verb = if applied.dry_run {
        "would change"
    } else {
        "changed"
    };
    format!("{verb}: {}", parts.join(", "))
}

/// What a teardown removed, one line each.
pub fn torn(torn: &Torn) -> String {
    let mut text = String::new();
    if torn.tables {
        text += "removed the nftables tables\n";
    }
    for address in &torn.addresses {
        let _ = writeln!(text, "removed address {}", escape(address));
    }
    if text.is_empty() {
        text += "there was nothing to remove\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn a_plan_is_an_nft_script() {
        insta::assert_snapshot!(plan(&samples::applied()), @r#"
        add element ip wvs web-slots { 0 : 1 }
        delete element ip wvs web-slots { 1 }
        # add 10.0.0.100/32 to eth0
        "#);
    }

    #[test]
    fn a_summary_is_one_line() {
        let mut applied = samples::applied();
        assert_eq!(summary(&applied), "changed: 2 lines of nft, 1 address change, 3 connections cut");
        applied.dry_run = true;
        applied
            .addresses
            .push("remove 10.0.0.101/32 from eth0".to_owned());
        applied.cut = 0;
        applied.forgotten = 1;
        assert_eq!(
            summary(&applied),
            "would change: 2 lines of nft, 2 address changes, 1 persistent client forgotten"
        );
        let mut nothing = Applied::default();
        assert_eq!(summary(&nothing), "done; the kernel needs no change");
        nothing.dry_run = true;
        assert_eq!(summary(&nothing), "nothing differs");
    }

    #[test]
    fn a_teardown_says_what_is_gone() {
        let gone = Torn {
            tables: true,
            addresses: vec!["10.0.0.100/32 from eth0".to_owned()],
        };
        assert_eq!(torn(&gone), "removed the nftables tables\nremoved address 10.0.0.100/32 from eth0\n");
        assert_eq!(torn(&Torn::default()), "there was nothing to remove\n");
    }
}
