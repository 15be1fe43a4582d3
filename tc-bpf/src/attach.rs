//! Attaching the program to interfaces, so that it stays when we are gone and is exchanged without a gap.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};

use crate::attachments::{Hooks, index_of};
use crate::loader::Forwarder;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// A pinned TCX link (Linux 6.6).
    Tcx,
    /// A filter of a clsact queueing discipline (`tc filter show dev … ingress`).
    Clsact,
}

impl Hook {
    /// A word for it; the first part of a pin's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// What attaching did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// Nothing of ours was there.
    New(Hook),
    /// An older program was exchanged in place.
    Replaced(Hook),
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
    /// The folder of the attachments cannot be used, or the kernel does not list what is attached.
    #[error("the attachments in {} cannot be read or changed", path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Ours among an interface's clsact filters: the first.
pub(crate) const PRIORITY: u16 = 1;
pub(crate) const HANDLE: u32 = 1;

fn refused(interface: &str) -> impl Fn(ProgramError) -> AttachError {
    move |source| AttachError::Attach {
        interface: interface.into(),
        source: Box::new(source),
    }
}

fn unpinned(
    interface: &str,
    path: &Path,
) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> AttachError {
    move |source| AttachError::Pin {
        interface: interface.into(),
        path: path.to_owned(),
        source,
    }
}

/// Attaches one program, and keeps it attached by the pins of [`Hooks`].
pub(crate) struct Attacher<'a> {
    pub(crate) hooks: Hooks,
    pub(crate) program: &'a mut SchedClassifier,
}

impl Forwarder {
    /// Attaches the program to an interface's ingress: by TCX where the kernel has it, else by clsact. What an
    /// earlier director attached there is exchanged in place; no packet passes without one or the other.
    pub fn attach(&mut self, interface: &str) -> Result<Attached, AttachError> {
        self.attacher(interface)?.attach(interface)
    }

    /// The same by clsact, whatever the kernel has.
    pub fn attach_clsact(&mut self, interface: &str) -> Result<Attached, AttachError> {
        self.attacher(interface)?.attach_clsact(interface)
    }

    fn attacher(&mut self, interface: &str) -> Result<Attacher<'_>, AttachError> {
        let hooks = Hooks::forwarder(&self.root);
        let program = self.ingress().map_err(refused(interface))?;
        Ok(Attacher { hooks, program })
    }
}

impl Attacher<'_> {
    pub(crate) fn attach(self, interface: &str) -> Result<Attached, AttachError> {
        let ifindex = check_interface(interface)?;
        match self.hooks.living(interface, ifindex)? {
            Some((Hook::Clsact, _)) => self.attach_clsact(interface),
            Some((Hook::Tcx, path)) => self.replace_tcx(interface, &path),
            None => self.attach_tcx(interface, ifindex),
        }
    }

    fn replace_tcx(self, interface: &str, path: &Path) -> Result<Attached, AttachError> {
        let unpinned = unpinned(interface, path);
        let old = PinnedLink::from_pin(path).map_err(|error| unpinned(error.into()))?;
        let link =
            SchedClassifierLink::try_from(FdLink::from(old)).map_err(|error| unpinned(error.into()))?;
        let id = self.program.attach_to_link(link).map_err(refused(interface))?;
        // It is pinned already, and goes on without our descriptor.
        drop(self.program.take_link(id).map_err(refused(interface))?);
        Ok(Attached::Replaced(Hook::Tcx))
    }

    fn attach_tcx(self, interface: &str, ifindex: u32) -> Result<Attached, AttachError> {
        let options = TcAttachOptions::TcxOrder(LinkOrder::default());
        let id = match self
            .program
            .attach_with_options(interface, TcAttachType::Ingress, options)
        {
            Ok(id) => id,
            // Kernels without TCX know no such link.
            Err(error) if has_errno(&error, libc::EINVAL) => return self.attach_clsact(interface),
            Err(error) => return Err(refused(interface)(error)),
        };
        let link = self.program.take_link(id).map_err(refused(interface))?;
        let path = self.hooks.pin(Hook::Tcx, ifindex, interface);
        let unpinned = unpinned(interface, &path);
        let link = FdLink::try_from(link).map_err(|error| unpinned(error.into()))?;
        link.pin(&path).map_err(|error| unpinned(error.into()))?;
        Ok(Attached::New(Hook::Tcx))
    }

    pub(crate) fn attach_clsact(self, interface: &str) -> Result<Attached, AttachError> {
        let ifindex = check_interface(interface)?;
        let before = self.hooks.living(interface, ifindex)?;
        let options = NlOptions {
            priority: PRIORITY,
            handle: TcHandle::from(HANDLE),
            ..NlOptions::default()
        };
        // An error means that it is there already, or what follows fails with the same reason.
        let _ = qdisc_add_clsact(interface);
        if let Some((Hook::Clsact, _)) = before {
            let old = SchedClassifierLink::attached(
                interface,
                TcAttachType::Ingress,
                PRIORITY,
                TcHandle::from(HANDLE),
                None,
            );
            let old = old.map_err(|error| refused(interface)(error.into()))?;
            let id = self.program.attach_to_link(old).map_err(refused(interface))?;
            // Dropping it would detach.
            std::mem::forget(self.program.take_link(id).map_err(refused(interface))?);
            return Ok(Attached::Replaced(Hook::Clsact));
        }
        let options = TcAttachOptions::Netlink(options);
        let attached = self
            .program
            .attach_with_options(interface, TcAttachType::Ingress, options);
        let id = attached.map_err(refused(interface))?;
        std::mem::forget(self.program.take_link(id).map_err(refused(interface))?);
        let path = self.hooks.pin(Hook::Clsact, ifindex, interface);
        std::fs::create_dir(&path).map_err(|error| unpinned(interface, &path)(error.into()))?;
        Ok(Attached::New(Hook::Clsact))
    }
}

/// Whether some error on the way down is this one of the kernel's.
pub(crate) fn has_errno(error: &ProgramError, number: i32) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error() == Some(number);
        }
        next = error.source();
    }
    false
}

/// The interface's number, if packets there have the Ethernet headers that the program reads (SIOCGIFHWADDR:
/// ARPHRD_ETHER, ARPHRD_LOOPBACK).
fn check_interface(interface: &str) -> Result<u32, AttachError> {
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
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => {}
        _ => {
            return Err(AttachError::NotEthernet {
                interface: interface.into(),
            });
        }
    }
    index_of(interface).map_err(missing)
}
