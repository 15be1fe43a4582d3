//! What a scheduler is told of a connection.

use crate::{Address, Flow};

impl Flow {
    /// A TCP connection from 198.51.100.1 to port 80 of 203.0.113.`n`: for tests.
    #[must_use]
    pub fn sample(n: u32) -> Self {
        let v4 = |d| Address {
            a: 0,
            b: 0,
            c: 0xffff,
            d,
        };
        Self {
            src: v4(0xc633_6401),
            dst: v4(0xcb00_7100 + n),
            src_port: 40_000,
            dst_port: 80,
            protocol: 6,
            mark: 0,
            hash: crate::mix(n),
        }
    }
}
