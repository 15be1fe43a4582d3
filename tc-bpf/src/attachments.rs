//! What is attached: the pins that keep it so, finding it again, and detaching it.
//!
//! A TCX link is pinned; a clsact filter stays by itself, and an empty folder says that it is ours. Their names have the
//! interface's number, because interfaces are renamed, and its name, for when it has gone.

use std::ffi::CStr;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::tc::{SchedClassifierLink, TcHandle};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};

use crate::attach::{AttachError, HANDLE, Hook, PRIORITY, has_errno};
use crate::clsact::{self, Filter};
use crate::loader::Forwarder;
use crate::{pin, sys};

/// An interface and how the program is attached there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// The interface's name, or the one it had.
    pub interface: String,
    /// Its number.
    pub ifindex: u32,
    /// How.
    pub hook: Hook,
    /// The kernel's number of the program that runs there; `None` where the interface has gone, or somebody else has
    /// detached it.
    pub program: Option<u32>,
}

/// A program at an interface's ingress, whoever's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtIngress {
    /// How it is attached.
    pub hook: Hook,
    /// Its name; of clsact filters that are no programs, their kind.
    pub name: String,
    /// The kernel's number of it.
    pub program: Option<u32>,
    /// Whether it works with our maps.
    pub ours: bool,
}

/// The attachments of one program.
#[derive(Debug)]
pub(crate) struct Hooks {
    folder: PathBuf,
    /// The pin of a map that only this program uses: by it the program is known.
    map: PathBuf,
}

impl Forwarder {
    /// What is attached by programs pinned below `root`.
    pub fn attachments(root: &Path) -> Result<Vec<Attachment>, AttachError> {
        Hooks::forwarder(root).list()
    }

    /// All programs at an interface's ingress, in the order in which packets meet them.
    pub fn at_ingress(root: &Path, interface: &str) -> Result<Vec<AtIngress>, AttachError> {
        Hooks::forwarder(root).at_ingress(interface)
    }

    /// Detaches whatever of ours is attached to an interface, also if that has gone; says whether something was.
    /// Needs no program.
    pub fn detach(root: &Path, interface: &str) -> Result<bool, AttachError> {
        Hooks::forwarder(root).detach(|attachment| attachment.interface == interface)
    }

    /// The same by the interface's number.
    pub fn detach_index(root: &Path, ifindex: u32) -> Result<bool, AttachError> {
        Hooks::forwarder(root).detach(|attachment| attachment.ifindex == ifindex)
    }

    /// Detaches everything and removes all that is pinned below `root`. Traffic to the virtual addresses is the
    /// stack's from then on. Says whether there was anything.
    pub fn teardown(root: &Path) -> Result<bool, AttachError> {
        Hooks::forwarder(root).detach(|_| true)?;
        match std::fs::remove_dir_all(pin::folder(root)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(AttachError::List {
                path: pin::folder(root),
                source,
            }),
            removed => Ok(removed.is_ok()),
        }
    }
}

impl Hook {
    /// How programs are attached on this kernel where nothing is attached yet. Needs CAP_NET_ADMIN.
    pub fn of_this_kernel() -> Result<Self, ProgramError> {
        match SchedClassifier::query_tcx("lo", TcAttachType::Ingress) {
            Ok(_) => Ok(Hook::Tcx),
            Err(error) if has_errno(&error, libc::EINVAL) => Ok(Hook::Clsact),
            Err(error) => Err(error),
        }
    }
}

impl Hooks {
    pub(crate) fn forwarder(root: &Path) -> Self {
        let folder = pin::folder(root);
        Self::of(&folder, "settings")
    }

    /// Of the program whose maps are pinned in a folder.
    pub(crate) fn of(folder: &Path, map: &str) -> Self {
        Self {
            folder: folder.join("links"),
            map: folder.join(map),
        }
    }

    /// Where an attachment is pinned.
    pub(crate) fn pin(&self, hook: Hook, ifindex: u32, interface: &str) -> PathBuf {
        self.folder
            .join(format!("{}-{ifindex}-{}", hook.word(), pin::encode(interface)))
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> AttachError + '_ {
        |source| AttachError::List {
            path: self.folder.clone(),
            source,
        }
    }

    fn is_ours(&self, program: u32) -> bool {
        let map = sys::open(&self.map);
        let program = sys::program(program);
        map.is_ok_and(|(_, map)| program.is_ok_and(|(_, maps)| maps.contains(&map.id)))
    }

    /// All pins.
    fn pins(&self) -> Result<Vec<(Hook, u32, String, PathBuf)>, AttachError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(self.failed())?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(self.failed())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut parts = name.splitn(3, '-');
            let (Some(hook), Some(ifindex), Some(interface)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let hook = [Hook::Tcx, Hook::Clsact]
                .into_iter()
                .find(|known| known.word() == hook);
            if let (Some(hook), Ok(ifindex)) = (hook, ifindex.parse()) {
                let interface = pin::decode(interface);
                all.push((hook, ifindex, interface, path));
            }
        }
        Ok(all)
    }

    /// The program that a pin stands for, if it still runs.
    fn program(&self, hook: Hook, ifindex: u32, path: &Path) -> Result<Option<u32>, AttachError> {
        match hook {
            Hook::Tcx => {
                let link = sys::pinned_link(path).map_err(self.failed())?;
                Ok((link.ifindex > 0).then_some(link.program))
            }
            Hook::Clsact => {
                let filters = clsact::filters(ifindex).map_err(self.failed())?;
                let ours = |filter: &&Filter| (filter.priority, filter.handle) == (PRIORITY, HANDLE);
                let program = filters.iter().find(ours).and_then(|filter| filter.program);
                Ok(program.filter(|program| self.is_ours(*program)))
            }
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<Attachment>, AttachError> {
        let mut all = Vec::new();
        for (hook, ifindex, interface, path) in self.pins()? {
            let program = self.program(hook, ifindex, &path)?;
            let now = program.and_then(|_| name_of(ifindex));
            all.push(Attachment {
                interface: now.unwrap_or(interface),
                ifindex,
                hook,
                program,
            });
        }
        all.sort();
        Ok(all)
    }

    /// How the program is attached to an interface. Pins of that interface, or of its name, behind which nothing is
    /// any more are removed.
    pub(crate) fn living(
        &self,
        interface: &str,
        ifindex: u32,
    ) -> Result<Option<(Hook, PathBuf)>, AttachError> {
        std::fs::create_dir_all(&self.folder).map_err(self.failed())?;
        let mut living = None;
        for (hook, number, name, path) in self.pins()? {
            if number != ifindex && name != interface {
                continue;
            }
            match self.program(hook, number, &path)? {
                Some(_) if number == ifindex => living = Some((hook, path)),
                Some(_) => {}
                None => unpin(hook, &path).map_err(self.failed())?,
            }
        }
        Ok(living)
    }

    pub(crate) fn detach(&self, which: impl Fn(&Attachment) -> bool) -> Result<bool, AttachError> {
        let mut detached = false;
        let pins = self.pins()?;
        for attachment in self.list()?.into_iter().filter(which) {
            let (hook, ifindex) = (attachment.hook, attachment.ifindex);
            for (_, _, _, path) in pins.iter().filter(|pin| (pin.0, pin.1) == (hook, ifindex)) {
                match hook {
                    _ if attachment.program.is_none() => {}
                    Hook::Tcx => sys::detach_link(path).map_err(self.failed())?,
                    // The filter goes with what stands for it.
                    Hook::Clsact => drop(SchedClassifierLink::attached(
                        &attachment.interface,
                        TcAttachType::Ingress,
                        PRIORITY,
                        TcHandle::from(HANDLE),
                        None,
                    )),
                }
                unpin(hook, path).map_err(self.failed())?;
                detached = true;
            }
        }
        Ok(detached)
    }

    pub(crate) fn at_ingress(&self, interface: &str) -> Result<Vec<AtIngress>, AttachError> {
        let refused = |source: ProgramError| AttachError::Attach {
            interface: interface.into(),
            source: Box::new(source),
        };
        let missing = |source| AttachError::Missing {
            interface: interface.into(),
            source,
        };
        let ifindex = index_of(interface).map_err(missing)?;
        let links = match SchedClassifier::query_tcx(interface, TcAttachType::Ingress) {
            // Kernels without TCX.
            Err(error) if has_errno(&error, libc::EINVAL) => Vec::new(),
            links => links.map_err(refused)?.1,
        };
        let mut all: Vec<AtIngress> = links
            .iter()
            .map(|program| AtIngress {
                hook: Hook::Tcx,
                name: program.name_as_str().unwrap_or_default().into(),
                program: Some(program.id()),
                ours: self.is_ours(program.id()),
            })
            .collect();
        let filters = clsact::filters(ifindex).map_err(self.failed())?;
        all.extend(filters.into_iter().map(|filter| AtIngress {
            hook: Hook::Clsact,
            ours: filter.program.is_some_and(|program| self.is_ours(program)),
            name: filter.name,
            program: filter.program,
        }));
        Ok(all)
    }
}

fn unpin(hook: Hook, path: &Path) -> io::Result<()> {
    let removed = match hook {
        Hook::Tcx => std::fs::remove_file(path),
        Hook::Clsact => std::fs::remove_dir(path),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

pub(crate) fn index_of(interface: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(interface)?;
    // SAFETY: the name ends in NUL.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        ifindex => Ok(ifindex),
    }
}

fn name_of(ifindex: u32) -> Option<String> {
    let mut name = [0_u8; libc::IFNAMSIZ];
    // SAFETY: the buffer is as long as names may be.
    let found = unsafe { libc::if_indextoname(ifindex, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    let name = CStr::from_bytes_until_nul(&name).ok()?;
    Some(name.to_string_lossy().into())
}
