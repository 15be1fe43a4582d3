//! What lies beside compiled code and says what it is.

use std::hash::{Hash as _, Hasher};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

use crate::file::{Stamp, digest, hex};
use crate::scheduler::{CONTRACT, Description};

/// What code was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// SHA-256 of the plugin's file.
    pub(super) plugin: String,
    /// SHA-256 of all that the engine's code depends on.
    pub(super) engine: String,
}

impl Key {
    pub(super) fn new(engine: &Engine, plugin: [u8; 32]) -> Self {
        let mut digest = Digest(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut digest);
        // A plugin is compiled after it has been vetted, so what is kept depends on the rules, too.
        digest.write(env!("CARGO_PKG_VERSION").as_bytes());
        digest.write(CONTRACT.as_bytes());
        Self {
            plugin: hex(&plugin),
            engine: hex(&digest.0.finalize()),
        }
    }
}

/// What is known of a file with compiled code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    key: Key,
    /// SHA-256 of the code.
    digest: String,
    /// The file for which that was found to be true.
    verified: Stamp,
    /// What the plugin says of itself.
    pub(super) description: Description,
}

impl Seal {
    pub(super) fn new(key: Key, code: &[u8], file: Stamp, description: Description) -> Self {
        Self {
            key,
            digest: digest(code),
            verified: file,
            description,
        }
    }

    /// Whether it is about this.
    pub(super) fn check(&self, key: &Key) -> Result<(), String> {
        if self.key != *key {
            return Err("it was made from another plugin, or for another engine".into());
        }
        Ok(())
    }

    /// Whether the code in this file was verified.
    pub(super) fn knows(&self, file: &Stamp) -> bool {
        self.verified == *file
    }

    /// Verifies the code in this file.
    pub(super) fn verify(&mut self, code: &[u8], file: Stamp) -> Result<(), String> {
        if digest(code) != self.digest {
            return Err("it is damaged".into());
        }
        self.verified = file;
        Ok(())
    }
}

/// All of a hash, not 64 bits of it.
struct Digest(Sha256);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
