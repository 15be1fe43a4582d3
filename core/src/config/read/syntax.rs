//! The errors of the TOML parser in our words, where its own are for implementers.

use super::section::Span;
use crate::config::fault::Fault;
use crate::config::text::quoted;

/// The fault of a parser's error.
pub(super) fn syntax_fault(text: &str, span: Span, error: &str) -> Fault {
    let here = text.get(span.clone()).unwrap_or_default().trim();
    let (message, help) = if error.contains("duplicate key") {
        ("this key is there already".to_owned(), "take one of the two out")
    } else if error.contains("string values must be quoted") && here.is_empty() {
        ("the value is missing".to_owned(), "write a value behind the `=`, or take the key out")
    } else if error.contains("string values must be quoted") {
        (format!("{} is not a value", quoted(here)), "strings take quotes, as in name = \"web\"")
    } else if error.contains("invalid basic string, expected `\"`") {
        ("the string does not end".to_owned(), "close it with `\"` on the same line")
    } else if error.contains("expected non-double-quote visible characters") {
        (
            "a string holds a control character".to_owned(),
            "take the character out; it may be invisible",
        )
    } else if error.contains("missing comma between array elements") {
        (
            "the list does not go on".to_owned(),
            "put `,` between the elements and `]` behind the last",
        )
    } else if error.contains("invalid unquoted key") {
        (
            "this is not a key".to_owned(),
            "keys are letters, digits, `_` and `-`, followed by ` = ` and a value",
        )
    } else {
        (format!("this is not TOML: {error}"), "")
    };
    let fault = Fault::new(span, message);
    if help.is_empty() { fault } else { fault.help(help) }
}
