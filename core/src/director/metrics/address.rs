//! Where metrics are told on TCP, and how that moves.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The listeners to serve from now on, one instead of the other.
pub type Moves = UnboundedReceiver<Option<TcpListener>>;

/// How many connections may wait.
const BACKLOG: i32 = 16;

/// Why nobody can listen at an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell metrics at {address}, which director.metrics names: {hint}")]
pub struct AddressError {
    address: SocketAddr,
    hint: String,
    #[source]
    source: io::Error,
}

/// The address in use, and the way to who serves it.
#[derive(Debug, Default)]
pub struct Addresses {
    current: Option<(SocketAddr, TcpListener)>,
    server: Option<UnboundedSender<Option<TcpListener>>>,
}

/// A move that can be made and cannot fail any more.
#[derive(Debug)]
pub enum Move {
    /// All stays.
    Stay,
    /// Somewhere else, where it listens already; or nowhere.
    To(Option<Listening>),
}

/// A listener, and the same for who serves it.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    ours: TcpListener,
    served: TcpListener,
}

impl Addresses {
    /// None yet, and where those to come are served.
    pub fn new() -> (Self, Moves) {
        let (server, moves) = unbounded_channel();
        let addresses = Addresses {
            current: None,
            server: Some(server),
        };
        (addresses, moves)
    }

    /// Listens at another address, beside the one in use. What comes of it is dropped, or [made](Self::make).
    pub fn prepare(&self, wanted: Option<SocketAddr>) -> Result<Move, AddressError> {
        let in_use = self.current.as_ref().map(|(address, _)| *address);
        if wanted == in_use {
            return Ok(Move::Stay);
        }
        let Some(address) = wanted else {
            return Ok(Move::To(None));
        };
        let twice = |ours: TcpListener| Ok((ours.try_clone()?, ours));
        let (ours, served) = self
            .listen(address)
            .and_then(twice)
            .map_err(|source| AddressError {
                address,
                hint: hint(address, &source),
                source,
            })?;
        Ok(Move::To(Some(Listening {
            address,
            ours,
            served,
        })))
    }

    /// Leaves the address in use for another one.
    pub fn make(&mut self, prepared: Move) {
        let Move::To(next) = prepared else {
            return;
        };
        match &next {
            Some(Listening { address, .. }) => tracing::info!("metrics are told at http://{address}/metrics"),
            None => tracing::info!("metrics are told at the control socket only"),
        }
        let (current, served) = next.map(|it| ((it.address, it.ours), it.served)).unzip();
        self.current = current;
        if let Some(server) = &self.server {
            // Nobody takes it where the director is stopping.
            let _ = server.send(served);
        }
    }

    fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        match listen(address, false) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                // Perhaps by ourselves: 0.0.0.0 overlaps with every address of the same port.
                let ours = self
                    .current
                    .as_ref()
                    .filter(|(it, _)| it.port() == address.port());
                let Some((_, ours)) = ours else {
                    return Err(error);
                };
                let ours = socket2::SockRef::from(ours);
                ours.set_reuse_port(true)?;
                let beside = listen(address, true);
                ours.set_reuse_port(false)?;
                beside.map_err(|_| error)
            }
            other => other,
        }
    }
}

/// Listens; with `shared`, beside another one of ours that allows it just now.
fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a director before this one may not quite be over.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_reuse_port(false)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn hint(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program listens there (`ss -ltnp sport = :{}` names it); choose another port",
            address.port()
        ),
        ErrorKind::AddrNotAvailable => {
            "this host does not have the address; name one that `ip address` shows".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one".to_owned()
        }
        _ => "choose another address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(address: &str) -> SocketAddr {
        let probe = TcpListener::bind(format!("{address}:0")).unwrap();
        probe.local_addr().unwrap()
    }

    #[test]
    fn what_is_prepared_and_dropped_leaves_all_as_it_was() {
        let (mut addresses, mut moves) = Addresses::new();
        let one = free("127.0.0.1");
        drop(addresses.prepare(Some(one)).unwrap());
        let first = addresses.prepare(Some(one)).unwrap();
        addresses.make(first);
        assert!(matches!(addresses.prepare(Some(one)), Ok(Move::Stay)));
        assert_eq!(moves.try_recv().unwrap().unwrap().local_addr().unwrap(), one);
        assert!(moves.try_recv().is_err());
    }

    #[test]
    fn an_address_in_use_is_named_and_an_overlapping_one_of_our_own_is_not() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut addresses, mut moves) = Addresses::new();
        let error = addresses.prepare(Some(taken.local_addr().unwrap())).unwrap_err();
        assert!(error.to_string().contains("another program listens there"), "{error}");
        let one = free("127.0.0.1");
        let first = addresses.prepare(Some(one)).unwrap();
        addresses.make(first);
        let all = SocketAddr::new([0, 0, 0, 0].into(), one.port());
        let next = addresses.prepare(Some(all)).unwrap();
        addresses.make(next);
        assert!(listen(one, false).is_err(), "nobody else gets in");
        drop((moves.try_recv(), moves.try_recv()));
        let last = addresses.prepare(None).unwrap();
        addresses.make(last);
        drop(listen(all, false).unwrap());
    }
}
