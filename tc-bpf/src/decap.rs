//! The decapsulator, for real servers whose kernel has no tunnel devices.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aya::{Ebpf, EbpfLoader};

use crate::attach::{AttachError, Attached, Attacher};
use crate::attachments::{Attachment, Hooks};
use crate::layout::Plain;
use crate::loader::{LoadError, Meta, RunError, RunOutcome, classifier, load_program, run};
use crate::pin;
use crate::sys::Map;
use crate::target::octets;

const PROGRAM: &str = "wvs_decap";
const LOCALS: &str = "decap_locals";

/// The kernel refused an address.
#[derive(Debug, thiserror::Error)]
#[error("the tunnel end {address} cannot be set; there may be 64")]
pub struct DecapError {
    address: IpAddr,
    #[source]
    source: std::io::Error,
}

/// An address where tunnels end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Local([u8; 16]);

// SAFETY: bytes.
unsafe impl Plain for Local {}

impl Local {
    fn address(self) -> IpAddr {
        std::net::Ipv6Addr::from(self.0).to_canonical()
    }
}

/// The decapsulator, loaded and pinned: takes the outer headers off what is tunnelled to its
/// addresses.
#[derive(Debug)]
pub struct Decapsulator {
    folder: PathBuf,
    ebpf: Ebpf,
    locals: Map<Local, u32>,
}

impl Decapsulator {
    /// Loads it, with the addresses that are pinned below `root` (on a BPF file system).
    pub fn load(root: &Path) -> Result<Self, LoadError> {
        let folder = root.join("decap");
        let unusable = |source| LoadError::Folder {
            path: folder.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(unusable)?;
        if !pin::is_bpffs(&folder).map_err(unusable)? {
            return Err(LoadError::NotBpffs {
                path: root.to_owned(),
            });
        }
        let mut ebpf = EbpfLoader::new()
            .default_map_pin_directory(&folder)
            .load(crate::DECAP_OBJECT)
            .map_err(|error| LoadError::Object(Box::new(error)))?;
        load_program(&mut ebpf, PROGRAM)?;
        let path = folder.join(LOCALS);
        let locals = Map::open(&path).map_err(|source| LoadError::Foreign { path, source })?;
        Ok(Self { folder, ebpf, locals })
    }

    /// Ends tunnels of IP in IP and GRE at an address of this machine.
    pub fn add(&self, address: IpAddr) -> Result<(), DecapError> {
        self.add_with_gue(address, 0)
    }

    /// And those of GUE to a port.
    pub fn add_with_gue(&self, address: IpAddr, port: u16) -> Result<(), DecapError> {
        self.locals
            .set(&Local(octets(address)), &u32::from(port.to_be()))
            .map_err(|source| DecapError { address, source })
    }

    /// Ends them no more; says whether it did.
    pub fn remove(&self, address: IpAddr) -> Result<bool, DecapError> {
        self.locals
            .delete(&Local(octets(address)))
            .map_err(|source| DecapError { address, source })
    }

    /// Attaches it to an interface's ingress, or exchanges what is attached there.
    pub fn attach(&mut self, interface: &str) -> Result<Attached, AttachError> {
        let program = classifier(&mut self.ebpf, PROGRAM).map_err(|source| AttachError::Attach {
            interface: interface.into(),
            source: Box::new(source),
        })?;
        let hooks = Hooks::of(&self.folder, LOCALS);
        Attacher { hooks, program }.attach(interface)
    }

    fn hooks(root: &Path) -> Hooks {
        Hooks::of(&root.join("decap"), LOCALS)
    }

    /// What is attached.
    pub fn attachments(root: &Path) -> Result<Vec<Attachment>, AttachError> {
        Self::hooks(root).list()
    }

    /// Detaches it from an interface; says whether it was attached.
    pub fn detach(root: &Path, interface: &str) -> Result<bool, AttachError> {
        Self::hooks(root).detach(|attachment| attachment.interface == interface)
    }

    /// The addresses where tunnels end.
    pub fn addresses(root: &Path) -> std::io::Result<Vec<IpAddr>> {
        let locals = match Self::locals(root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            locals => locals?,
        };
        Ok(locals.keys()?.into_iter().map(|local| local.address()).collect())
    }

    /// Ends tunnels at an address no more, without loading anything; says whether it did.
    pub fn forget(root: &Path, address: IpAddr) -> Result<bool, DecapError> {
        match Self::locals(root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            locals => locals
                .and_then(|locals| locals.delete(&Local(octets(address))))
                .map_err(|source| DecapError { address, source }),
        }
    }

    /// Removes what is pinned, if it is attached nowhere and no tunnels end.
    pub fn sweep(root: &Path) -> Result<(), AttachError> {
        let path = root.join("decap");
        let failed = |source| AttachError::List {
            path: path.clone(),
            source,
        };
        if !Self::attachments(root)?.is_empty() || !Self::addresses(root).map_err(failed)?.is_empty() {
            return Ok(());
        }
        match std::fs::remove_dir_all(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(failed(source)),
            _ => Ok(()),
        }
    }

    fn locals(root: &Path) -> std::io::Result<Map<Local, u32>> {
        Map::open(&root.join("decap").join(LOCALS))
    }

    /// Runs it on a made-up packet.
    pub fn run(&self, packet: &[u8]) -> Result<RunOutcome, RunError> {
        run(&self.ebpf, PROGRAM, packet, Meta::default())
    }
}
