//! What the values that are written as strings have in common, and the smaller ones of them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Forward, SchedulerSpec};

/// Why a text is not the value it should be: what is wrong with it, and how a right one looks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (expected {expected})")]
pub struct TextError {
    /// What is wrong.
    pub message: String,
    /// The part of the text that is wrong; empty for all of it.
    pub part: String,
    /// What was expected, by example.
    pub expected: &'static str,
}

impl TextError {
    /// An error about a part of the text.
    pub(super) fn new(message: impl Into<String>, part: &str, expected: &'static str) -> Self {
        TextError {
            message: message.into(),
            part: part.to_owned(),
            expected,
        }
    }
}

/// Quotes what an operator wrote, in one line and not at length.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{}`", shown.replace("\\'", "'").replace("\\\"", "\""))
}

/// Reads a 32-bit number, decimal or hexadecimal with `0x`.
pub fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // from_str_radix alone would take a sign.
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        u32::from_str_radix(digits, radix).ok()
    } else {
        None
    }
}

impl FromStr for Forward {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Forward::ALL
            .into_iter()
            .find(|forward| forward.to_string() == text)
            .ok_or_else(|| TextError {
                message: format!("{} is not a forwarding method", quoted(text)),
                part: String::new(),
                expected: "`nat`, `full-nat`, `dr` or `tun`",
            })
    }
}

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
const DURATION: &str = "a number and its unit, `s`, `m`, `h` or `d`, as in `90s`, `6m` or `1h`";

/// Reads a length of time: `90s`, `6m`, `1h`, `2d`.
pub fn parse_duration(text: &str) -> Result<Duration, TextError> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let unit = UNITS.iter().find(|(unit, _)| *unit == &text[digits.len()..]);
    let message = match unit {
        _ if text.is_empty() => "the length of time is empty".to_owned(),
        _ if !plain => format!("{} is not a length of time", quoted(text)),
        None if digits == text => format!("{} has no unit", quoted(text)),
        None => format!("{} is not a unit of time", quoted(&text[digits.len()..])),
        Some((_, seconds)) => match digits.parse().ok().and_then(|n: u64| n.checked_mul(*seconds)) {
            Some(seconds) => return Ok(Duration::from_secs(seconds)),
            None => format!("{} is out of range", quoted(text)),
        },
    };
    Err(TextError::new(message, "", DURATION))
}

/// Writes a length of time in its largest unit without a remainder; less than a second is left out.
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let whole = |(_, unit): &&(&str, u64)| seconds >= *unit && seconds.is_multiple_of(*unit);
    match UNITS.iter().find(whole) {
        Some((name, unit)) => format!("{}{name}", seconds / unit),
        None => "0s".to_owned(),
    }
}

/// Lengths of time as `"6m"`.
pub mod duration {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a length of time.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::duration_text(*duration))
    }

    /// Reads a length of time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(D::Error::custom)
    }
}

/// The two ways to write a scheduler: a name, or a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SchedulerText {
    /// `"wlc"`
    Name(String),
    /// `{ plugin = "wlc", params = { key = "value" } }`
    Table(SchedulerTable),
}

/// A scheduler as a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerTable {
    /// The plugin's name or path.
    pub plugin: String,
    /// Its parameters.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

impl From<SchedulerText> for SchedulerSpec {
    fn from(text: SchedulerText) -> Self {
        match text {
            SchedulerText::Name(plugin) => SchedulerSpec {
                plugin,
                params: BTreeMap::new(),
            },
            SchedulerText::Table(SchedulerTable { plugin, params }) => SchedulerSpec { plugin, params },
        }
    }
}

impl From<SchedulerSpec> for SchedulerText {
    fn from(SchedulerSpec { plugin, params }: SchedulerSpec) -> Self {
        if params.is_empty() {
            SchedulerText::Name(plugin)
        } else {
            SchedulerText::Table(SchedulerTable { plugin, params })
        }
    }
}

/// Bit masks as `"0xffff0000"`; plain numbers are taken too.
pub mod hex {
    use std::fmt;

    use serde::de::{Error, Unexpected, Visitor};
    use serde::{Deserializer, Serializer};

    /// Writes a mask.
    pub fn serialize<S: Serializer>(mask: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{mask:#010x}"))
    }

    /// Reads a mask.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_any(Mask)
    }

    struct Mask;

    impl Visitor<'_> for Mask {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("32 bits such as \"0xffff0000\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u32, E> {
            super::number(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u32, E> {
            u32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<u32, E> {
            u32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
        }
    }
}
