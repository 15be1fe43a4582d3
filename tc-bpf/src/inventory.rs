//! What the kernel says of the programs and the maps themselves, for those who audit them.

use std::io;

use crate::loader::Forwarder;
use crate::maps::{MapError, refused};
use crate::{pin, sys};

/// A program in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFacts {
    /// Its name.
    pub name: String,
    /// The kernel's number.
    pub id: u32,
    /// The kernel's digest of its instructions.
    pub tag: u64,
    /// Through how many instructions the verifier walked (Linux 5.16).
    pub verified_instructions: Option<u32>,
}

/// A pinned map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFacts {
    /// Its name, and that of its pin.
    pub name: String,
    /// The kernel's number.
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value; of maps per CPU, of each one's.
    pub value_size: u32,
    /// Elements it may have.
    pub max_entries: u32,
}

impl Forwarder {
    /// The programs that were loaded, the one that is attached first.
    pub fn programs(&self) -> Result<Vec<ProgramFacts>, aya::programs::ProgramError> {
        let attached = self.program()?;
        let mut all = Vec::new();
        for (name, program) in self.ebpf.programs() {
            let info = program.info()?;
            all.push(ProgramFacts {
                name: name.to_owned(),
                id: info.id(),
                tag: info.tag(),
                verified_instructions: info.verified_instruction_count(),
            });
        }
        all.sort_by(|a, b| (a.id != attached, &a.name).cmp(&(b.id != attached, &b.name)));
        Ok(all)
    }

    /// The maps that are pinned, by name.
    pub fn pinned_maps(&self) -> Result<Vec<MapFacts>, MapError> {
        let folder = pin::folder(&self.root);
        let mut all = Vec::new();
        for (name, _) in self.ebpf.maps() {
            let info = match sys::open(&folder.join(name)) {
                // One of the object's own, without a pin.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(refused(format!("opening the map {name}")))?.1,
            };
            all.push(MapFacts {
                name: name.to_owned(),
                id: info.id,
                key_size: info.key_size,
                value_size: info.value_size,
                max_entries: info.max_entries,
            });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}
