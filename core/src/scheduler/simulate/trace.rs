//! Recorded connections: a CSV file of `start_s,length_s,client` and, if there are several, the address asked for.

use std::collections::HashMap;
use std::net::IpAddr;

use super::time::{LONGEST, nanos};
use super::workload::{Arrival, MOST, Workload, addresses};

/// What the first line says.
const HEADER: &str = "start_s,length_s,client";

/// Why a trace cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// Something else than the names of the columns comes first.
    #[error("line {line}: the first line must be `{HEADER}` or `{HEADER},destination`, and is `{text}`")]
    Header {
        /// Which line.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A line that is no connection.
    #[error("line {line}: {what}")]
    Line {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// Nobody comes.
    #[error("it has no connections")]
    Empty,
}

/// Reads a trace. Lines that are empty or begin with `#` are left out, and connections need not be in order.
///
/// # Errors
/// The first line that cannot be read, and why.
pub fn read(text: &str) -> Result<Workload, TraceError> {
    let mut lines = text
        .lines()
        .zip(1..)
        .map(|(text, line)| (line, text.trim()))
        .filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    let (line, header) = lines.next().ok_or(TraceError::Empty)?;
    let columns = match header.strip_prefix(HEADER) {
        Some("") => 3,
        Some(",destination") => 4,
        _ => {
            let text = header.chars().take(80).collect();
            return Err(TraceError::Header { line, text });
        }
    };
    let (mut clients, mut destinations) = (Names::new(0x6440_0000), Names::new(0x0ac8_0000));
    let mut arrivals = Vec::new();
    for (line, text) in lines {
        let wrong = |what: String| TraceError::Line { line, what };
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        if fields.len() != columns {
            return Err(wrong(format!("{columns} fields are wanted, and there are {}", fields.len())));
        }
        if arrivals.len() == MOST {
            return Err(wrong(format!("more than {MOST} connections")));
        }
        let port = 1024 + (arrivals.len() % 64_512) as u16;
        arrivals.push(Arrival {
            at: time(fields[0]).map_err(wrong)?,
            length: time(fields[1]).map_err(wrong)?,
            client: clients.number(fields[2]).map_err(wrong)?,
            port,
            destination: destinations
                .number(fields.get(3).unwrap_or(&"the service"))
                .map_err(wrong)?,
        });
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    let duration = arrivals.last().ok_or(TraceError::Empty)?.at;
    Ok(Workload {
        arrivals,
        clients: clients.addresses,
        destinations: destinations.addresses,
        duration,
    })
}

fn time(field: &str) -> Result<u64, String> {
    let seconds: Option<f64> = field.parse().ok();
    seconds
        .filter(|seconds| (0.0..=LONGEST).contains(seconds))
        .map(nanos)
        .ok_or_else(|| format!("`{field}` is no time in seconds from 0 to {LONGEST}"))
}

/// Addresses by the names that a trace has for them. A name that is an address stands for itself.
struct Names {
    first: u32,
    known: HashMap<String, u32>,
    addresses: Vec<IpAddr>,
}

impl Names {
    fn new(first: u32) -> Self {
        Self {
            first,
            known: HashMap::new(),
            addresses: Vec::new(),
        }
    }

    fn number(&mut self, name: &str) -> Result<u32, String> {
        if let Some(number) = self.known.get(name) {
            return Ok(*number);
        }
        if name.is_empty() {
            return Err("a client or destination is empty".to_owned());
        }
        let number = self.addresses.len() as u32;
        let made = || addresses(self.first.wrapping_add(number), 1);
        self.addresses
            .extend(name.parse().map_or_else(|_| made(), |address| vec![address]));
        self.known.insert(name.to_owned(), number);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_in_order_of_time() {
        let text =
            "# recorded\nstart_s,length_s,client\n2.5,1,192.0.2.7\n\n0.5 , 3,somebody\n2.5,0,192.0.2.7\n";
        let read = read(text).unwrap();
        let order: Vec<_> = read
            .arrivals
            .iter()
            .map(|it| (it.at, it.length, it.client))
            .collect();
        assert_eq!(
            order,
            [
                (500_000_000, 3_000_000_000, 1),
                (2_500_000_000, 1_000_000_000, 0),
                (2_500_000_000, 0, 0)
            ]
        );
        assert_eq!(read.clients[0].to_string(), "192.0.2.7");
        assert_eq!((read.clients.len(), read.destinations.len()), (2, 1));
        assert_eq!(read.duration().as_millis(), 2500);
    }

    #[test]
    fn destinations_may_differ() {
        let read = read("start_s,length_s,client,destination\n0,1,a,x\n1,1,a,2001:db8::1\n").unwrap();
        assert_eq!(read.destinations[1].to_string(), "2001:db8::1");
        assert_eq!(read.arrivals[1].destination, 1);
    }

    #[test]
    fn faults_are_told_with_their_line() {
        for (text, said) in [
            ("", "it has no connections"),
            ("start_s,length_s,client\n", "it has no connections"),
            ("0,1,a\n", "line 1: the first line must be `start_s,length_s,client`"),
            ("#\nstart_s,length_s,client\n0,1\n", "line 3: 3 fields are wanted, and there are 2"),
            ("start_s,length_s,client\n-1,1,a\n", "line 2: `-1` is no time in seconds"),
            ("start_s,length_s,client\n0,nan,a\n", "line 2: `nan` is no time"),
            ("start_s,length_s,client\n0,1,\n", "line 2: a client or destination is empty"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
