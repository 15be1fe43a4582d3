//! What the ruleset refuses, and which of its rules count that.

use super::Statement;

/// The chain for what asks for a port that is nobody's.
pub(super) const CLOSED: &str = "closed";

/// Refuses whatever comes here, and counts it. The counter has a rule of its own: in one with a reset, nft's language
/// does not say whether it counts other protocols than TCP.
pub(super) fn refuse() -> [Vec<Statement>; 3] {
    [Statement::Counter, Statement::RejectTcp, Statement::Reject].map(|it| vec![it])
}

/// The service whose chain it is that chooses.
pub fn service_of(chain: &str) -> Option<&str> {
    chain.strip_prefix("svc-")
}

/// Why a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No backend of its service takes new connections.
    NoBackend,
    /// Nobody listens on the port, and the address is all the services'.
    ClosedPort,
    /// Its backend is the tc program's to forward to, which it has not passed.
    NotForwarded,
    /// Its schedule names a backend that there is not.
    UnknownBackend,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 4] = [
        Refusal::NoBackend,
        Refusal::ClosedPort,
        Refusal::NotForwarded,
        Refusal::UnknownBackend,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::NoBackend => "no-backend",
            Refusal::ClosedPort => "closed-port",
            Refusal::NotForwarded => "not-forwarded",
            Refusal::UnknownBackend => "unknown-backend",
        }
    }

    /// What a chain refuses, if it counts that, and which of its rules that count does.
    pub fn counted_in(chain: &str) -> Option<(Refusal, usize)> {
        match chain {
            CLOSED => Some((Refusal::ClosedPort, 0)),
            "nat-prerouting" | "nat-output" => Some((Refusal::UnknownBackend, 0)),
            // The first one says how many connections it has scheduled.
            _ if service_of(chain).is_some() => Some((Refusal::NoBackend, 1)),
            _ if chain.starts_with("be-") => Some((Refusal::NotForwarded, 0)),
            _ => None,
        }
    }
}
