//! Opening one connection and learning who answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long a client waits for a connection, and again for the server's name.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The longest line a real server greets with.
const LONGEST_GREETING: usize = 256;

/// What a real server says when a connection opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The real server's name, `rs1`.
    pub server: String,
    /// The client, as the real server sees it.
    pub peer: SocketAddr,
    /// Where the real server was reached.
    pub local: SocketAddr,
}

impl Answer {
    pub(crate) fn greeting(&self) -> String {
        format!("{} {} {}\n", self.server, self.peer, self.local)
    }

    fn parse(line: &str) -> io::Result<Self> {
        let fault = || io::Error::new(io::ErrorKind::InvalidData, format!("not a greeting: {line:?}"));
        let mut words = line.trim_end().split(' ');
        let server = words
            .next()
            .filter(|word| !word.is_empty())
            .ok_or_else(fault)?
            .to_owned();
        let mut address = || words.next().and_then(|word| word.parse().ok()).ok_or_else(fault);
        Ok(Self {
            server,
            peer: address()?,
            local: address()?,
        })
    }
}

/// Connects, from `source` where it is of the target's family, and reads the greeting.
pub(crate) async fn open(to: SocketAddr, source: Option<IpAddr>) -> io::Result<(TcpStream, Answer)> {
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = source.filter(|source| source.is_ipv4() == to.is_ipv4()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let mut stream = within(PATIENCE, socket.connect(to)).await?;
    stream.set_nodelay(true)?;
    let line = within(PATIENCE, read_line(&mut stream)).await?;
    let answer = Answer::parse(&line)?;
    Ok((stream, answer))
}

async fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut buffer = [0; LONGEST_GREETING];
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"\n") {
        if filled == buffer.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a greeting without end"));
        }
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(String::from_utf8_lossy(&buffer[..filled]).into_owned())
}

/// Sends `payload` and reads it back.
pub(crate) async fn exchange(stream: &mut TcpStream, payload: &[u8]) -> io::Result<()> {
    let mut echo = vec![0; payload.len()];
    stream.write_all(payload).await?;
    stream.read_exact(&mut echo).await?;
    if echo != payload {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "another echo than what was sent"));
    }
    Ok(())
}

/// Bounds an operation; what takes longer is `TimedOut`.
pub(crate) async fn within<T>(bound: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(bound, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_survives_its_own_reader() -> io::Result<()> {
        let answer = Answer {
            server: "rs2".into(),
            peer: SocketAddr::from(([10, 0, 0, 10], 1234)),
            local: SocketAddr::from(([0xfd00, 0xb, 0, 0, 0, 0, 0, 0x12], 8080)),
        };
        assert_eq!(Answer::parse(&answer.greeting())?, answer);
        for wrong in ["", "\n", "rs1\n", "rs1 10.0.0.1 x\n"] {
            assert!(Answer::parse(wrong).is_err(), "{wrong:?}");
        }
        Ok(())
    }
}
