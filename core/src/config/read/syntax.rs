//! The errors of the TOML parser in our words, where its own are for implementers.

use super::section::Span;
use crate::config::fault::Fault;
use crate::config::text::quoted;

/// What the parser says, what we say, and what to do. The first that fits counts.
const WORDS: [(&str, &str, &str); 12] = [
    ("expected `\"`", "the string does not end", "close it with `\"` on the same line"),
    (
        "expected non-double-quote visible characters",
        "a string holds a control character",
        "take the character out; it may be invisible",
    ),
    (
        "missing comma between array elements",
        "the list does not go on",
        "put `,` between the elements and `]` behind the last",
    ),
    ("unclosed array table", "the header does not end", "close it with `]]`"),
    ("unclosed table", "the header does not end", "close it with `]`"),
    ("unclosed array", "the list does not end", "close it with `]`"),
    ("unclosed inline table", "the table does not end", "close it with `}`"),
    (
        "invalid unquoted key",
        "this is not a key",
        "keys are letters, digits, `_` and `-`, followed by ` = ` and a value",
    ),
    (
        "key with no value",
        "the key has no value",
        "write ` = ` and a value behind it, or take the key out",
    ),
    ("extra comma", "a comma too many", "take it out"),
    ("max recursion depth", "the values are nested too deeply", "no setting of wvs is"),
    (
        "carriage return",
        "a carriage return alone ends no line",
        "save the file with Unix or Windows line ends",
    ),
];

/// The fault of a parser's error.
pub(super) fn syntax_fault(text: &str, span: Span, error: &str) -> Fault {
    let here = text.get(span.clone()).unwrap_or_default().trim();
    if error.contains("duplicate key") {
        return Fault::new(span, format!("{} is there already", quoted(here)))
            .help("take one of the two out");
    }
    if error.contains("string values must be quoted") {
        return if here.is_empty() {
            Fault::new(span, "the value is missing").help("write a value behind the `=`, or take the key out")
        } else {
            Fault::new(span, format!("{} is not a value", quoted(here)))
                .help("strings take quotes, as in name = \"web\"")
        };
    }
    match WORDS.iter().find(|(theirs, ..)| error.contains(theirs)) {
        Some((_, ours, help)) => Fault::new(span, *ours).help(*help),
        None => Fault::new(span, format!("this is not TOML: {error}")),
    }
}
