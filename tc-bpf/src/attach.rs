//! Attaching the program to interfaces, so that it stays when we are gone and is exchanged without a gap.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};

use crate::loader::Forwarder;
use crate::pin;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// A pinned TCX link (Linux 6.6).
    Tcx,
    /// A filter of a clsact queueing discipline (`tc filter show dev … ingress`).
    Clsact,
}

/// What attaching did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// Nothing of ours was there.
    New(Hook),
    /// An older program was exchanged in place.
    Replaced(Hook),
}

/// An interface and how the program is attached there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// The interface's name.
    pub interface: String,
    /// How.
    pub hook: Hook,
}

/// The program is not attached, or not detached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such interface.
    #[error("there is no interface {interface}")]
    Missing {
        /// Its name.
        interface: String,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// Its packets have no Ethernet header.
    #[error("{interface} is no Ethernet interface: direct routing and tunnelling cannot work there")]
    NotEthernet {
        /// Its name.
        interface: String,
    },
    /// The kernel refused.
    #[error("the program cannot be attached to {interface}")]
    Attach {
        /// Its name.
        interface: String,
        /// The kernel's word.
        #[source]
        source: Box<ProgramError>,
    },
    /// The link cannot be pinned or read.
    #[error("the attachment to {interface} cannot be kept at {}", path.display())]
    Pin {
        /// The interface.
        interface: String,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder of the attachments cannot be read.
    #[error("the attachments in {} cannot be read", path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Ours among an interface's clsact filters: the first.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// Attachments of one program, and their pins. Links are pinned by the interface's name; a clsact filter stays by
/// itself, and an empty folder says that it is there.
pub(crate) struct Hooks<'a> {
    pub(crate) folder: PathBuf,
    pub(crate) program: Option<&'a mut SchedClassifier>,
}

impl Forwarder {
    /// Attaches the program to an interface's ingress: by TCX where the kernel has it, else by clsact. What an
    /// earlier director attached there is exchanged in place; no packet passes without one or the other.
    pub fn attach(&mut self, interface: &str) -> Result<Attached, AttachError> {
        self.hooks(interface)?.attach(interface)
    }

    /// The same by clsact, whatever the kernel has.
    pub fn attach_clsact(&mut self, interface: &str) -> Result<Attached, AttachError> {
        self.hooks(interface)?.attach_clsact(interface)
    }

    fn hooks(&mut self, interface: &str) -> Result<Hooks<'_>, AttachError> {
        let folder = links(&self.root);
        let program = self.ingress().map_err(|source| AttachError::Attach {
            interface: interface.into(),
            source: Box::new(source),
        })?;
        Ok(Hooks {
            folder,
            program: Some(program),
        })
    }

    /// Detaches whatever of ours is attached to an interface; says whether something was. Needs no program.
    pub fn detach(root: &Path, interface: &str) -> Result<bool, AttachError> {
        let hooks = Hooks {
            folder: links(root),
            program: None,
        };
        hooks.detach(interface)
    }

    /// What is attached by programs pinned below `root`.
    pub fn attachments(root: &Path) -> Result<Vec<Attachment>, AttachError> {
        let hooks = Hooks {
            folder: links(root),
            program: None,
        };
        hooks.list()
    }

    /// Detaches everything and removes all that is pinned below `root`. Traffic to the virtual addresses is the
    /// stack's from then on. Says whether there was anything.
    pub fn teardown(root: &Path) -> Result<bool, AttachError> {
        for attachment in Self::attachments(root)? {
            Self::detach(root, &attachment.interface)?;
        }
        match std::fs::remove_dir_all(pin::folder(root)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(AttachError::List {
                path: pin::folder(root),
                source,
            }),
            removed => Ok(removed.is_ok()),
        }
    }
}

fn links(root: &Path) -> PathBuf {
    pin::folder(root).join("links")
}

impl Hooks<'_> {
    fn tcx_pin(&self, interface: &str) -> PathBuf {
        self.folder.join(format!("tcx-{}", pin::encode(interface)))
    }

    fn clsact_pin(&self, interface: &str) -> PathBuf {
        self.folder.join(format!("clsact-{}", pin::encode(interface)))
    }

    pub(crate) fn attach(self, interface: &str) -> Result<Attached, AttachError> {
        check_interface(interface)?;
        self.make_folder(interface)?;
        if self.clsact_pin(interface).exists() {
            return self.attach_clsact(interface);
        }
        let path = self.tcx_pin(interface);
        let unpinned = |source: LinkError| AttachError::Pin {
            interface: interface.into(),
            path: path.clone(),
            source: source.into(),
        };
        let refused = |source: ProgramError| AttachError::Attach {
            interface: interface.into(),
            source: Box::new(source),
        };
        let Some(program) = self.program else {
            return Err(refused(ProgramError::NotLoaded));
        };
        match PinnedLink::from_pin(&path) {
            Ok(old) => {
                let link = SchedClassifierLink::try_from(FdLink::from(old)).map_err(&unpinned)?;
                match program.attach_to_link(link) {
                    Ok(id) => {
                        // It is pinned already, and goes on without our descriptor.
                        drop(program.take_link(id).map_err(refused)?);
                        return Ok(Attached::Replaced(Hook::Tcx));
                    }
                    // The interface that it belonged to is gone, and another has its name.
                    Err(error) if has_errno(&error, libc::ENOLINK) => {
                        std::fs::remove_file(&path).map_err(|error| unpinned(as_link_error(error)))?;
                    }
                    Err(error) => return Err(refused(error)),
                }
            }
            Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unpinned(error)),
        }
        let options = TcAttachOptions::TcxOrder(LinkOrder::default());
        let id = match program.attach_with_options(interface, TcAttachType::Ingress, options) {
            Ok(id) => id,
            // Kernels without TCX know no such link.
            Err(error) if has_errno(&error, libc::EINVAL) => {
                let hooks = Hooks {
                    folder: self.folder,
                    program: Some(program),
                };
                return hooks.attach_clsact(interface);
            }
            Err(error) => return Err(refused(error)),
        };
        let link: FdLink = program
            .take_link(id)
            .map_err(refused)?
            .try_into()
            .map_err(&unpinned)?;
        link.pin(&path).map_err(|error| AttachError::Pin {
            interface: interface.into(),
            path: path.clone(),
            source: error.into(),
        })?;
        Ok(Attached::New(Hook::Tcx))
    }

    pub(crate) fn attach_clsact(self, interface: &str) -> Result<Attached, AttachError> {
        check_interface(interface)?;
        self.make_folder(interface)?;
        let path = self.clsact_pin(interface);
        let refused = |source: ProgramError| AttachError::Attach {
            interface: interface.into(),
            source: Box::new(source),
        };
        let Some(program) = self.program else {
            return Err(refused(ProgramError::NotLoaded));
        };
        // An error means that it is there already, or what follows fails with the same reason.
        let _ = qdisc_add_clsact(interface);
        let options = NlOptions {
            priority: PRIORITY,
            handle: HANDLE,
            ..NlOptions::default()
        };
        let fresh =
            program.attach_with_options(interface, TcAttachType::Ingress, TcAttachOptions::Netlink(options));
        let (id, attached) = match fresh {
            Ok(id) => (id, Attached::New(Hook::Clsact)),
            Err(error) if path.exists() => {
                let old =
                    SchedClassifierLink::attached(interface, TcAttachType::Ingress, PRIORITY, HANDLE, None)
                        .map_err(|_| refused(error))?;
                (program.attach_to_link(old).map_err(refused)?, Attached::Replaced(Hook::Clsact))
            }
            Err(error) => return Err(refused(error)),
        };
        // Dropping it would detach.
        std::mem::forget(program.take_link(id).map_err(refused)?);
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(AttachError::Pin {
                interface: interface.into(),
                path,
                source: error.into(),
            }),
            _ => Ok(attached),
        }
    }

    pub(crate) fn detach(&self, interface: &str) -> Result<bool, AttachError> {
        let failed = |path: &Path, source: io::Error| AttachError::Pin {
            interface: interface.into(),
            path: path.to_owned(),
            source: source.into(),
        };
        let mut detached = false;
        let path = self.tcx_pin(interface);
        match std::fs::remove_file(&path) {
            Ok(()) => detached = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path, error)),
        }
        let path = self.clsact_pin(interface);
        if path.exists() {
            // The filter goes with the link; if the interface has gone, so has the filter.
            if let Ok(link) =
                SchedClassifierLink::attached(interface, TcAttachType::Ingress, PRIORITY, HANDLE, None)
            {
                drop(link);
            }
            std::fs::remove_dir(&path).map_err(|error| failed(&path, error))?;
            detached = true;
        }
        Ok(detached)
    }

    pub(crate) fn list(&self) -> Result<Vec<Attachment>, AttachError> {
        let failed = |source| AttachError::List {
            path: self.folder.clone(),
            source,
        };
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            let hooks = [("tcx-", Hook::Tcx), ("clsact-", Hook::Clsact)];
            all.extend(hooks.iter().find_map(|(prefix, hook)| {
                let interface = pin::decode(name.strip_prefix(prefix)?);
                Some(Attachment {
                    interface,
                    hook: *hook,
                })
            }));
        }
        all.sort();
        Ok(all)
    }

    fn make_folder(&self, interface: &str) -> Result<(), AttachError> {
        std::fs::create_dir_all(&self.folder).map_err(|error| AttachError::Pin {
            interface: interface.into(),
            path: self.folder.clone(),
            source: error.into(),
        })
    }
}

fn as_link_error(source: io::Error) -> LinkError {
    LinkError::SyscallError(aya::sys::SyscallError {
        call: "unlink",
        io_error: source,
    })
}

/// Whether some error on the way down is this one of the kernel's.
fn has_errno(error: &ProgramError, number: i32) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error() == Some(number);
        }
        next = error.source();
    }
    false
}

/// The program reads Ethernet headers (SIOCGIFHWADDR: ARPHRD_ETHER, ARPHRD_LOOPBACK).
fn check_interface(interface: &str) -> Result<(), AttachError> {
    let missing = |source| AttachError::Missing {
        interface: interface.into(),
        source,
    };
    let name = CString::new(interface).map_err(|error| missing(error.into()))?;
    let bytes = name.as_bytes_with_nul();
    if bytes.len() > libc::IFNAMSIZ {
        return Err(missing(io::Error::from_raw_os_error(libc::ENODEV)));
    }
    // SAFETY: zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).map_err(missing)?;
    // SAFETY: the socket is open, and the request valid for the call.
    let outcome = unsafe {
        libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCGIFHWADDR, &raw mut request)
    };
    if outcome < 0 {
        return Err(missing(io::Error::last_os_error()));
    }
    // SAFETY: the kernel has filled this member in.
    match unsafe { request.ifr_ifru.ifru_hwaddr.sa_family } {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(()),
        _ => Err(AttachError::NotEthernet {
            interface: interface.into(),
        }),
    }
}
