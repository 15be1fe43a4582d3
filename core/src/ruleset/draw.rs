//! How the data path draws a slot, for both planes: nftables' `numgen` and `jhash`, and the tc program's own.

use std::net::{IpAddr, SocketAddr};

use crate::api::Draw;
use crate::jhash::{jhash, reciprocal_scale};
use crate::scheduler::{Dispatch, HashKey};

/// The slot that a new connection draws from a table of `slots`. `position` is how many were drawn from it before;
/// only a walk asks for it. None where there is no slot.
pub fn draw<E>(
    dispatch: Dispatch,
    slots: u32,
    seed: u32,
    (client, target): (SocketAddr, SocketAddr),
    position: impl FnOnce() -> Result<u64, E>,
) -> Result<Option<Draw>, E> {
    if slots == 0 {
        return Ok(None);
    }
    Ok(Some(match dispatch {
        Dispatch::Cycle => {
            let position = position()?;
            Draw::Cycle {
                position,
                slot: (position % u64::from(slots)) as u32,
                slots,
            }
        }
        Dispatch::Hash(_) | Dispatch::Flow => {
            // Where the scheduler of such a table does not answer, the tc program goes by this.
            let key = match dispatch {
                Dispatch::Hash(key) => key,
                _ => HashKey::SourceAndPort,
            };
            let hash = jhash(&bytes(key, client, target), seed);
            Draw::Hash {
                key,
                hash,
                slot: reciprocal_scale(hash, slots),
                slots,
            }
        }
    }))
}

/// What is hashed: the registers as they are loaded, each field padded with zeros to four bytes.
fn bytes(key: HashKey, client: SocketAddr, target: SocketAddr) -> Vec<u8> {
    let address = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let port = |port: u16| [port.to_be_bytes(), [0; 2]].concat();
    let (source, destination) = (address(client.ip()), address(target.ip()));
    match key {
        HashKey::Source => source,
        HashKey::SourceAndPort => [source, port(client.port())].concat(),
        HashKey::Destination => destination,
        HashKey::Both => [source, port(client.port()), destination, port(target.port())].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_laid_out_as_registers() {
        let ends = |client: &str, target: &str| (client.parse().unwrap(), target.parse().unwrap());
        let (client, target) = ends("192.0.2.7:258", "10.0.0.100:80");
        assert_eq!(bytes(HashKey::Source, client, target), [192, 0, 2, 7]);
        assert_eq!(
            bytes(HashKey::Both, client, target),
            [192, 0, 2, 7, 1, 2, 0, 0, 10, 0, 0, 100, 0, 80, 0, 0]
        );
        let (client, target) = ends("[2001:db8::7]:258", "[2001:db8::64]:80");
        assert_eq!(bytes(HashKey::SourceAndPort, client, target).len(), 20);
        assert_eq!(bytes(HashKey::Both, client, target).len(), 40);
        assert_eq!(bytes(HashKey::Destination, client, target)[15], 0x64);
    }

    #[test]
    fn a_walk_goes_on_where_it_was_and_an_empty_table_has_no_slot() {
        let ends = ("192.0.2.7:1".parse().unwrap(), "10.0.0.100:80".parse().unwrap());
        let drawn = |dispatch, slots| draw(dispatch, slots, 7, ends, || Ok::<_, ()>(257)).unwrap();
        assert_eq!(drawn(Dispatch::Cycle, 256).unwrap().slot(), 1);
        assert_eq!(drawn(Dispatch::Cycle, 0), None);
        let Some(Draw::Hash { hash, slot, .. }) = drawn(Dispatch::Hash(HashKey::Source), 256) else {
            panic!("a hash")
        };
        assert_eq!((hash, slot), (jhash(&[192, 0, 2, 7], 7), hash >> 24));
    }
}
