//! Many bytes over one connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::clients::Client;
use crate::connection::{open, within};

/// How long a transfer may stand still.
const PATIENCE: Duration = Duration::from_secs(20);
const BLOCK: usize = 65_536;

impl Client {
    /// Sends so many bytes, has them sent back, and compares. Says who did.
    ///
    /// # Errors
    /// As [`Client::ask`]; `TimedOut` when nothing comes for 20 s; `InvalidData` for other bytes than were sent.
    pub fn transfer(&self, to: SocketAddr, bytes: u64) -> io::Result<String> {
        let source = self.source();
        self.namespace().block_on(move || async move {
            let (stream, answer) = open(to, source).await?;
            let (mut from, mut into) = stream.into_split();
            let send = async move {
                for (number, length) in blocks(bytes) {
                    within(PATIENCE, into.write_all(&block(number)[..length])).await?;
                }
                // What is not read yet keeps coming.
                Ok(into)
            };
            let take = async move {
                let mut taken = vec![0; BLOCK];
                for (number, length) in blocks(bytes) {
                    within(PATIENCE, from.read_exact(&mut taken[..length])).await?;
                    if taken[..length] != block(number)[..length] {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes than were sent"));
                    }
                }
                Ok(())
            };
            let (sent, ()) = tokio::try_join!(send, take)?;
            drop(sent);
            Ok(answer.server)
        })
    }
}

/// The numbers and lengths of the blocks of so many bytes.
fn blocks(bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    let whole = bytes / BLOCK as u64;
    let rest = (bytes % BLOCK as u64) as usize;
    (0..whole)
        .map(|n| (n, BLOCK))
        .chain((rest > 0).then_some((whole, rest)))
}

/// A block like no other.
fn block(number: u64) -> Vec<u8> {
    let mut block = vec![number as u8; BLOCK];
    for (at, word) in block.chunks_exact_mut(512).enumerate() {
        word[..8].copy_from_slice(&(number << 8 | at as u64).to_be_bytes());
    }
    block
}
