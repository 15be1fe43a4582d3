//! Connections to come: made by chance from a few numbers, or recorded ones.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::ser::SerializeStruct as _;

use super::random::Random;
use super::time::{Nanos, nanos, of, parse_time, seconds};

/// More connections than this are not simulated.
pub const MOST: usize = 20_000_000;

/// A connection that will be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub(super) at: Nanos,
    pub(super) length: Nanos,
    /// Number of its client in the workload.
    pub(super) client: u32,
    /// The client's port.
    pub(super) port: u16,
    /// Number of the address that is asked for.
    pub(super) destination: u32,
}

/// The connections that will be asked for, in order of time, and who takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    pub(super) arrivals: Vec<Arrival>,
    pub(super) clients: Vec<IpAddr>,
    pub(super) destinations: Vec<IpAddr>,
    pub(super) duration: Nanos,
}

impl Workload {
    /// How many connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Whether nobody comes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// How long it is looked at.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration)
    }

    /// Ends it earlier or later.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.duration = of(duration);
        self.arrivals
            .retain(|arrival| arrival.at <= nanos(duration.as_secs_f64()));
        self
    }

    pub(super) fn ends(&self, arrival: &Arrival) -> (SocketAddr, SocketAddr) {
        let client = self.clients[arrival.client as usize];
        let destination = self.destinations[arrival.destination as usize];
        ((client, arrival.port).into(), (destination, 80).into())
    }
}

/// How many connections come in a time, on average: `1000/s`, `90/m`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Rate(f64);

/// How long connections last: `exp:5s`, `fixed:2s`, `pareto:5s` or `pareto:5s:1.2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// All alike.
    Fixed(f64),
    /// Exponentially distributed, with this mean.
    Exponential(f64),
    /// Few are very long: Pareto's distribution.
    Pareto {
        /// The mean in seconds.
        mean: f64,
        /// The smaller, the longer the few; above 1.
        shape: f64,
    },
}

/// How many take part, and how often each: `1000`, or `zipf:1000`, `zipf:1000:0.8`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Crowd {
    number: u32,
    /// The k-th comes in proportion to k to the power of minus this; all equally often with 0.
    exponent: f64,
}

impl Crowd {
    /// So many, each as often.
    #[must_use]
    pub fn even(number: u32) -> Self {
        Self {
            number: number.max(1),
            exponent: 0.0,
        }
    }
}

/// A text that does not describe a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: write {expected}")]
pub struct WorkloadTextError {
    text: String,
    what: &'static str,
    expected: &'static str,
}

impl FromStr for Rate {
    type Err = WorkloadTextError;

    fn from_str(text: &str) -> Result<Self, WorkloadTextError> {
        let per = |number: &str, seconds: f64| number.parse().ok().map(|number: f64| number / seconds);
        let rate = match text.split_once('/') {
            Some((number, "s")) => per(number, 1.0),
            Some((number, "m")) => per(number, 60.0),
            Some((number, "h")) => per(number, 3600.0),
            _ => None,
        };
        match rate {
            Some(rate) if rate > 0.0 && rate <= 1e7 => Ok(Rate(rate)),
            _ => Err(WorkloadTextError {
                text: text.to_owned(),
                what: "rate",
                expected: "a number above 0 and `/s`, `/m` or `/h`, as in `1000/s`",
            }),
        }
    }
}

impl FromStr for Length {
    type Err = WorkloadTextError;

    fn from_str(text: &str) -> Result<Self, WorkloadTextError> {
        let time = |text: &str| parse_time(text).ok().map(|time| time.as_secs_f64());
        let words: Vec<&str> = text.split(':').collect();
        let length = match *words.as_slice() {
            ["fixed", length] => time(length).map(Length::Fixed),
            ["exp", mean] => time(mean).map(Length::Exponential),
            ["pareto", mean] => time(mean).map(|mean| Length::Pareto { mean, shape: 1.5 }),
            ["pareto", mean, shape] => {
                let shape = shape.parse().ok().filter(|shape| *shape > 1.0 && *shape <= 100.0);
                time(mean)
                    .zip(shape)
                    .map(|(mean, shape)| Length::Pareto { mean, shape })
            }
            _ => None,
        };
        length.ok_or_else(|| WorkloadTextError {
            text: text.to_owned(),
            what: "distribution of lengths",
            expected: "`exp:5s`, `fixed:2s`, `pareto:5s` or `pareto:5s:1.2` with the mean, and for `pareto` a shape \
                       above 1",
        })
    }
}

impl FromStr for Crowd {
    type Err = WorkloadTextError;

    fn from_str(text: &str) -> Result<Self, WorkloadTextError> {
        let words: Vec<&str> = text.split(':').collect();
        let (number, exponent) = match *words.as_slice() {
            [number] => (number, Some(0.0)),
            ["zipf", number] => (number, Some(1.0)),
            ["zipf", number, exponent] => (number, exponent.parse().ok()),
            _ => ("", None),
        };
        let number = number
            .parse()
            .ok()
            .filter(|number| (1..=1_000_000).contains(number));
        let exponent = exponent.filter(|exponent| (0.0..=10.0).contains(exponent));
        match (number, exponent) {
            (Some(number), Some(exponent)) => Ok(Crowd { number, exponent }),
            _ => Err(WorkloadTextError {
                text: text.to_owned(),
                what: "number of them",
                expected: "a number from 1 to 1000000, `zipf:1000` or `zipf:1000:0.8`",
            }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl serde::Serialize for Length {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (distribution, mean, shape) = match *self {
            Length::Fixed(length) => ("fixed", length, None),
            Length::Exponential(mean) => ("exp", mean, None),
            Length::Pareto { mean, shape } => ("pareto", mean, Some(shape)),
        };
        let mut fields = serializer.serialize_struct("Length", 2 + usize::from(shape.is_some()))?;
        fields.serialize_field("distribution", distribution)?;
        fields.serialize_field("mean_s", &mean)?;
        match shape {
            Some(shape) => fields.serialize_field("shape", &shape)?,
            None => fields.skip_field("shape")?,
        }
        fields.end()
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::Fixed(length) => write!(f, "fixed:{length}s"),
            Length::Exponential(mean) => write!(f, "exp:{mean}s"),
            Length::Pareto { mean, shape } => write!(f, "pareto:{mean}s:{shape}"),
        }
    }
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exponent > 0.0 {
            write!(f, "zipf:{}:{}", self.number, self.exponent)
        } else {
            write!(f, "{}", self.number)
        }
    }
}

/// A workload as a few numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Synthetic {
    /// How many connections come; each by itself, so that they come in clusters (Poisson's process).
    pub rate: Rate,
    /// For how long.
    pub duration: Duration,
    /// How long connections last.
    pub length: Length,
    /// Who comes.
    pub clients: Crowd,
    /// Which addresses are asked for.
    pub destinations: Crowd,
    /// The same seed makes the same connections.
    pub seed: u64,
}

/// More connections than can be simulated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "{rate} for {seconds:.0} s would be some {connections:.0} connections, and at most {MOST} can be simulated"
)]
pub struct TooManyError {
    rate: Rate,
    seconds: f64,
    connections: f64,
}

impl Synthetic {
    /// Makes the connections.
    ///
    /// # Errors
    /// If there would be too many.
    pub fn workload(&self) -> Result<Workload, TooManyError> {
        let duration = of(self.duration);
        let expected = self.rate.0 * seconds(duration);
        if expected > MOST as f64 {
            return Err(TooManyError {
                rate: self.rate,
                seconds: seconds(duration),
                connections: expected,
            });
        }
        let stream = |number| Random::new(self.seed, number);
        let (mut times, mut lengths, mut ports) = (stream(1), stream(2), stream(3));
        let mut clients = Draws::new(self.clients, stream(4));
        let mut destinations = Draws::new(self.destinations, stream(5));
        let mut arrivals = Vec::with_capacity(expected as usize);
        let mut at = 0.0;
        loop {
            at += times.exponential(1.0 / self.rate.0);
            if nanos(at) > duration || arrivals.len() == 2 * MOST {
                break;
            }
            arrivals.push(Arrival {
                at: nanos(at),
                length: nanos(self.length.draw(&mut lengths)),
                client: clients.draw(),
                port: 1024 + ports.below(64_512) as u16,
                destination: destinations.draw(),
            });
        }
        Ok(Workload {
            arrivals,
            clients: addresses(0x6440_0000, self.clients.number),
            destinations: addresses(0x0ac8_0000, self.destinations.number),
            duration,
        })
    }
}

/// Addresses one after the other.
pub(super) fn addresses(first: u32, number: u32) -> Vec<IpAddr> {
    (0..number)
        .map(|n| Ipv4Addr::from(first.wrapping_add(n)).into())
        .collect()
}

impl Length {
    fn draw(self, random: &mut Random) -> f64 {
        match self {
            Length::Fixed(length) => length,
            Length::Exponential(mean) => random.exponential(mean),
            Length::Pareto { mean, shape } => mean * (shape - 1.0) / shape * random.unit().powf(-1.0 / shape),
        }
    }
}

/// Draws members of a crowd.
struct Draws {
    /// Of each, the sum of the shares up to it; empty where all shares are the same.
    sums: Vec<f64>,
    number: u32,
    random: Random,
}

impl Draws {
    fn new(crowd: Crowd, random: Random) -> Self {
        let mut sums = Vec::new();
        if crowd.exponent > 0.0 {
            let mut sum = 0.0;
            sums.extend((1..=crowd.number).map(|k| {
                sum += f64::from(k).powf(-crowd.exponent);
                sum
            }));
        }
        Self {
            sums,
            number: crowd.number,
            random,
        }
    }

    fn draw(&mut self) -> u32 {
        let Some(all) = self.sums.last() else {
            return self.random.below(self.number);
        };
        let drawn = self.random.unit() * all;
        let place = self.sums.partition_point(|sum| *sum < drawn);
        (place as u32).min(self.number - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synthetic() -> Synthetic {
        Synthetic {
            rate: "100/s".parse().unwrap(),
            duration: Duration::from_secs(100),
            length: Length::Exponential(2.0),
            clients: Crowd::even(10),
            destinations: Crowd::even(1),
            seed: 7,
        }
    }

    #[test]
    fn a_workload_is_what_was_asked_for() {
        for length in ["exp:2s", "fixed:2s", "pareto:2s:3"] {
            let wanted = Synthetic {
                length: length.parse().unwrap(),
                ..synthetic()
            };
            let made = wanted.workload().unwrap();
            assert!(made.len().abs_diff(10_000) < 300, "{}", made.len());
            assert!(made.arrivals.is_sorted_by_key(|arrival| arrival.at));
            let mean = made.arrivals.iter().map(|it| seconds(it.length)).sum::<f64>() / made.len() as f64;
            assert!((mean - 2.0).abs() < 0.1, "{length}: {mean}");
            assert_eq!(wanted.workload().unwrap(), made);
            assert_eq!(wanted.length.to_string().parse(), Ok(wanted.length));
        }
    }

    #[test]
    fn few_clients_come_often() {
        let wanted = Synthetic {
            clients: "zipf:1000".parse().unwrap(),
            ..synthetic()
        };
        let made = wanted.workload().unwrap();
        let of = |client| made.arrivals.iter().filter(|it| it.client == client).count();
        // The harmonic number of 1,000 is 7.49.
        assert!(of(0).abs_diff(1336) < 150, "{}", of(0));
        assert!(of(9).abs_diff(134) < 60, "{}", of(9));
    }

    #[test]
    fn more_than_can_be_simulated_is_refused() {
        let wanted = Synthetic {
            rate: "10000000/s".parse().unwrap(),
            ..synthetic()
        };
        let error = wanted.workload().unwrap_err().to_string();
        assert!(error.contains("some 1000000000 connections"), "{error}");
    }

    #[test]
    fn what_is_no_workload_is_refused() {
        for text in ["1000", "0/s", "-1/s", "x/s", "1/d", "inf/s", "nan/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["5s", "exp", "exp:5", "pareto:5s:1", "pareto:5s:x", "normal:5s"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
        for text in ["0", "x", "zipf", "zipf:0", "zipf:5:-1", "zipf:5:nan", "1000001"] {
            assert!(text.parse::<Crowd>().is_err(), "{text}");
        }
        assert_eq!("90/m".parse::<Rate>().unwrap().to_string(), "1.5/s");
    }
}
