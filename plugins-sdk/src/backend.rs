//! What a scheduler asks of a backend.

use crate::{Address, Backend, BackendState, mix};

impl Backend {
    /// Whether new connections may go to this backend: the director refuses a table that names
    /// one of weight 0, or one that is draining, down or overloaded.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.weight > 0 && self.state.is_empty()
    }

    /// [`weight`](Self::weight), or 0 if the backend is not usable.
    #[must_use]
    pub fn effective_weight(&self) -> u32 {
        if self.state.is_empty() { self.weight } else { 0 }
    }

    /// What every director knows it by, however they number their backends: its address and port.
    #[must_use]
    pub fn identity(&self) -> ([u32; 4], u16) {
        let Address { a, b, c, d } = self.address;
        ([a, b, c, d], self.port)
    }

    /// A hash of the [`identity`](Self::identity), with as many different ones as there are seeds.
    #[must_use]
    pub fn hash(&self, seed: u32) -> u32 {
        let (words, port) = self.identity();
        let hash = mix(u32::from(port) ^ seed);
        words.iter().fold(hash, |hash, word| mix(hash ^ word))
    }

    /// A backend at 192.0.2.`id`, port 80, weight 1: for tests.
    #[must_use]
    pub fn sample(id: u32) -> Self {
        Self {
            id,
            weight: 1,
            address: Address {
                a: 0,
                b: 0,
                c: 0xffff,
                d: 0xc000_0200 + id,
            },
            port: 80,
            state: BackendState::empty(),
        }
    }

    /// The same backend with another weight.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// The same backend with a state.
    #[must_use]
    pub fn state(mut self, state: BackendState) -> Self {
        self.state = state;
        self
    }
}
