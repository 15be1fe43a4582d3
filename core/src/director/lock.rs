//! One director for each socket and for each network namespace.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Another director is in the way, or the socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The network namespace has a director, which owns the tables.
    #[error(
        "another director runs in this network namespace and owns its tables `wvs`; stop it first, or start this \
         one in a namespace of its own"
    )]
    Namespace,
    /// The socket has a director.
    #[error("another director answers on {0}; stop it first, or give this one a --socket of its own")]
    Socket(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on {path}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Held as long as the director lives.
///
/// An abstract Unix socket belongs to its network namespace and goes with its process, also by `kill -9`: just
/// the life of the right to change the namespace's tables.
#[derive(Debug)]
pub struct NamespaceLock {
    _socket: UnixListener,
}

impl NamespaceLock {
    /// Takes the network namespace.
    pub fn take() -> Result<Self, LockError> {
        let fail = |source| LockError::Listen {
            path: "@wvs-director".into(),
            source,
        };
        let address = SocketAddr::from_abstract_name("wvs-director").map_err(fail)?;
        match UnixListener::bind_addr(&address) {
            Ok(socket) => Ok(NamespaceLock { _socket: socket }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(LockError::Namespace),
            Err(source) => Err(fail(source)),
        }
    }
}

/// Listens on the control socket, which only its owner may use. One that nobody answers on is left over from a
/// director that died, and is replaced.
pub fn listen(path: &Path) -> Result<UnixListener, LockError> {
    let fail = |source| LockError::Listen {
        path: path.into(),
        source,
    };
    if UnixStream::connect(path).is_ok() {
        return Err(LockError::Socket(path.into()));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(fail)?;
    }
    let socket = UnixListener::bind(path).map_err(fail)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    socket.set_nonblocking(true).map_err(fail)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_in_use_is_named_and_a_left_over_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/wvs.sock");
        let first = listen(&path).unwrap();
        let refused = listen(&path).unwrap_err().to_string();
        assert!(refused.contains(path.to_str().unwrap()), "{refused}");
        drop(first);
        listen(&path).unwrap();
    }
}
