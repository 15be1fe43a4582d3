//! Why a change was not made.

use super::pools::StartError;
use super::store::StoreError;
use crate::edit::EditError;
use crate::ids::TooManyBackends;
use crate::kernel::tc::TcError;
use crate::kernel::{AddressError, ConntrackError, NftError};
use crate::tc::TooManyServices;

/// Why a change was not made. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The configuration has faults; they are rendered.
    #[error("the configuration has faults; the running one stays")]
    Faults(String),
    /// The edit does not fit.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The mark is too narrow.
    #[error(transparent)]
    Ids(#[from] TooManyBackends),
    /// A scheduler does not start.
    #[error(transparent)]
    Scheduler(#[from] StartError),
    /// The kernel refused.
    #[error("the kernel did not take the change; all is as it was")]
    Kernel(#[from] NftError),
    /// The tc program, its maps or its attachments refused.
    #[error("direct routing and tunnels did not take the change; all is as it was")]
    Tc(#[from] TcError),
    /// There is no room for so many services.
    #[error(transparent)]
    Services(#[from] TooManyServices),
    /// The kernel did not say where backends are.
    #[error("cannot look up routes and interfaces")]
    Facts(#[source] std::io::Error),
    /// An interface that is named is not there.
    #[error("there is no interface {missing}, which director.interfaces names; there are {present}")]
    NoInterface {
        /// The missing ones.
        missing: String,
        /// Those that there are.
        present: String,
    },
    /// A virtual address could not be managed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Metrics cannot be told where they should be.
    #[error(transparent)]
    Metrics(#[from] super::metrics::AddressError),
    /// The state directory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change was made, but connections could not be cut.
    #[error("the change was made, but its connections could not be cut")]
    Cut(#[source] ConntrackError),
    /// The connections that the tc program has to know could not be read.
    #[error("the connections of NAT that the tc program has to know cannot be read")]
    Connections(#[source] ConntrackError),
    /// Somebody else kept changing the ruleset.
    #[error("the ruleset changed under each of {0} attempts; is another program rewriting it all the time?")]
    Contended(usize),
}
