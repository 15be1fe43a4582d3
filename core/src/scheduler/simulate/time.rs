//! Virtual time: whole nanoseconds, so that equal moments are equal.

use std::time::Duration;

/// Nanoseconds since the simulation began.
pub(super) type Nanos = u64;

/// The longest time that can be simulated, and that a connection can last: a year.
pub(super) const LONGEST: f64 = 31_536_000.0;

const UNITS: [(&str, f64); 5] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no length of time: write a number and its unit, as in `100ms`, `2.5s` or `1m`")]
pub struct TimeTextError {
    text: String,
}

/// Reads a length of time: `100ms`, `2.5s`, `1m`.
///
/// # Errors
/// If it is none, or longer than a year.
pub fn parse_time(text: &str) -> Result<Duration, TimeTextError> {
    let refused = || TimeTextError {
        text: text.to_owned(),
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = UNITS.iter().find(|(unit, _)| *unit == &text[digits.len()..]);
    let number: f64 = digits.parse().map_err(|_| refused())?;
    let seconds = number * unit.ok_or_else(refused)?.1;
    if (0.0..=LONGEST).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(refused())
    }
}

pub(super) fn nanos(seconds: f64) -> Nanos {
    (seconds.clamp(0.0, LONGEST) * 1e9) as Nanos
}

pub(super) fn of(duration: Duration) -> Nanos {
    nanos(duration.as_secs_f64())
}

pub(super) fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read() {
        for (text, millis) in [
            ("100ms", 100),
            ("2.5s", 2500),
            ("1m", 60_000),
            ("0s", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "5", "s", "-1s", "1y", "nans", "400d", "1 s", "infs"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
