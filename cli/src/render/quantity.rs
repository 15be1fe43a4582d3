//! Sizes and times for people.

/// Bytes with three or four figures: `999B`, `1.5KiB`, `20MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut unit = 0;
    // Tenths of the unit, rounded down, so that no size is shown as more than it is.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 {
        tenths /= 1024;
        unit += 1;
    }
    let whole = tenths / 10;
    if whole < 100 {
        format!("{whole}.{}{}", tenths % 10, UNITS[unit])
    } else {
        format!("{whole}{}", UNITS[unit])
    }
}

/// Seconds as the two largest units: `45s`, `3m 5s`, `2h 0m`, `12d 4h`.
pub fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A number and its noun.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_never_too_large() {
        let sizes = [
            0,
            1023,
            1024,
            1536,
            102_399,
            102_400,
            1_048_575,
            1_048_576,
            u64::MAX,
        ];
        let texts = sizes.map(bytes);
        assert_eq!(
            texts,
            [
                "0B", "1023B", "1.0KiB", "1.5KiB", "99.9KiB", "100KiB", "1023KiB", "1.0MiB", "15.9EiB"
            ]
        );
    }

    #[test]
    fn times_have_two_units() {
        let times = [0, 59, 60, 3599, 3600, 86_399, 86_400, 1_051_200].map(duration);
        assert_eq!(
            times,
            [
                "0s", "59s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "1d 0h", "12d 4h"
            ]
        );
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|n| count(n, "backend")), ["0 backends", "1 backend", "2 backends"]);
    }
}
