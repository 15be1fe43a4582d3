//! What the doctor found, for people.

use std::fmt::Write as _;

use crate::local::Finding;

use super::paint::Paint;
use super::text::escape;

/// One line per finding, and below those that are not well what to do.
pub fn findings(findings: &[Finding], paint: Paint) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.name.chars().count())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let mark = if finding.ok {
            "ok  ".to_owned()
        } else {
            paint.error("FAIL")
        };
        let name = format!("{:<width$}", escape(&finding.name));
        let _ = writeln!(text, "{mark}  {name}  {}", escape(&finding.detail));
        if let Some(fix) = finding.fix.as_ref().filter(|_| !finding.ok) {
            let _ = writeln!(text, "      {:<width$}  {} {}", "", paint.bold("fix:"), escape(fix));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_stands_below_what_it_fixes() {
        let finding = |name: &str, ok, detail: &str, fix: Option<&str>| Finding {
            name: name.to_owned(),
            ok,
            detail: detail.to_owned(),
            fix: fix.map(str::to_owned),
        };
        let found = [
            finding("kernel", true, "6.12", Some("never shown")),
            finding("ip_forward", false, "net.ipv4.ip_forward is 0", Some("sysctl -w net.ipv4.ip_forward=1")),
            finding("capabilities", false, "CAP_NET_ADMIN is missing", None),
        ];
        insta::assert_snapshot!(findings(&found, Paint::PLAIN));
    }
}
