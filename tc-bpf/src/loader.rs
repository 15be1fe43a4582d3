//! Loading the program, and running it on made-up packets.

use std::io;
use std::path::{Path, PathBuf};

use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader};

use crate::layout::HALF_OPEN_WAYS;
use crate::maps::{CLOCK, INJECT, MapError, Maps, OpenError};
use crate::{pin, sys};

/// How large the maps are. Another size than that of what is pinned is refused: it would be ignored otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Listeners.
    pub listeners: u32,
    /// Services; their numbers are below this.
    pub services: u32,
    /// Backends; their ids are below this. 88 bytes each, and 24 for each CPU.
    pub backends: u32,
    /// Established connections of IPv4, 96 bytes each.
    pub flows4: u32,
    /// Of IPv6, 120 bytes each.
    pub flows6: u32,
    /// Connections of which one packet was seen, of each family: 32 bytes each of IPv4, 56 of IPv6. While as many as a
    /// quarter of it come within a round trip, 98 in 100 of them are found again; of half of it, 86.
    pub half_open: u32,
    /// Fragmented datagrams on their way.
    pub fragments: u32,
    /// Clients that keep their backends, 96 bytes each; as many again of which one packet was seen.
    pub persistent: u32,
    /// Pins; they take memory when they are set.
    pub pins: u32,
    /// What the services of groups make of each other's backends; likewise.
    pub kin: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            listeners: 16_384,
            services: 4_096,
            backends: 16_384,
            flows4: 1 << 20,
            flows6: 1 << 18,
            half_open: 1 << 17,
            fragments: 8_192,
            persistent: 1 << 16,
            pins: 1 << 16,
            kin: 1 << 16,
        }
    }
}

impl Sizes {
    /// The maps' elements, and how many entries each has.
    fn by_map(&self) -> [(&'static str, u32, u32); 16] {
        let ways = HALF_OPEN_WAYS as u32;
        [
            ("listeners", self.listeners, 1),
            ("services", self.services, 1),
            ("cycles", self.services, 1),
            ("tables", self.services, 1),
            ("service_stats", self.services, 1),
            ("backends", self.backends, 1),
            ("backend_stats", self.backends, 1),
            ("flows4", self.flows4, 1),
            ("flows6", self.flows6, 1),
            ("half_open4", self.half_open.div_ceil(ways), ways),
            ("half_open6", self.half_open.div_ceil(ways), ways),
            ("fragments", self.fragments, 1),
            ("persistent", self.persistent, 1),
            ("persistent_new", self.persistent, 1),
            ("pins", self.pins, 1),
            ("kin", self.kin, 1),
        ]
    }
}

/// The program is not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The pin directory cannot be used.
    #[error("the pin directory {} cannot be used", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is a common folder.
    #[error("{} is on no BPF file system: mount -t bpf bpf {}", path.display(), path.display())]
    NotBpffs {
        /// Which.
        path: PathBuf,
    },
    /// Another version of wvs left its state.
    #[error(
        "{} holds the state of a wvs with another layout: detach that one (wvs teardown of its version) or remove \
         the folder",
        path.display()
    )]
    OtherSchema {
        /// Which folder.
        path: PathBuf,
    },
    /// A pinned map was made with another size.
    #[error(
        "the pinned map {} has room for {found} entries, {wanted} are configured: configure {found} again, or remove \
         the folder to begin with empty tables", path.display()
    )]
    Size {
        /// Which map.
        path: PathBuf,
        /// Its size.
        found: u32,
        /// The wanted size.
        wanted: u32,
    },
    /// Something else is pinned under a map's name.
    #[error("what is pinned at {} is not our map", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// The kernel took no map or the object is damaged.
    #[error("the program's maps cannot be made")]
    Object(#[source] Box<aya::EbpfError>),
    /// The verifier refused, or loading needs rights that we have not.
    #[error("the kernel refused the program {name}")]
    Program {
        /// Which program.
        name: &'static str,
        /// Its word; the verifier's log is in it.
        #[source]
        source: Box<ProgramError>,
    },
    /// The maps are not where they were pinned.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The kernel refused the first settings.
    #[error("the program cannot be told how large its tables are")]
    Settings(#[from] MapError),
}

/// The kernel did not run the program on a made-up packet.
#[derive(Debug, thiserror::Error)]
#[error("the kernel did not run {program} on a packet of {length} bytes")]
pub struct RunError {
    program: &'static str,
    length: usize,
    #[source]
    source: Box<ProgramError>,
}

/// What a packet has besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The firewall mark.
    pub mark: u32,
    /// The priority.
    pub priority: u32,
}

/// What the program made of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// TC_ACT_*.
    pub verdict: i32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// Its mark afterwards; of [`Forwarder::explain`] the backend's id.
    pub mark: u32,
    /// Its priority afterwards: with [`crate::layout::PRIORITY_TAG`], what nftables is to do with it.
    pub priority: u32,
}

/// The program and its maps, in the kernel and pinned.
#[derive(Debug)]
pub struct Forwarder {
    pub(crate) root: PathBuf,
    pub(crate) ebpf: Ebpf,
    maps: Maps,
}

const INGRESS: &str = "wvs_ingress";
const EXPLAIN: &str = "wvs_explain";
const TIME: &str = "wvs_clock";
const INJECTOR: &str = "wvs_inject";

impl Forwarder {
    /// Loads the program with the maps pinned below `root` (on a BPF file system), or makes and pins them.
    /// Nothing is attached yet, and what is attached goes on. Who means to change anything takes the
    /// [`crate::PinLock`] first. Linux 5.12.
    pub fn load(root: &Path, sizes: &Sizes) -> Result<Self, LoadError> {
        let folder = prepare(root)?;
        check_sizes(&folder, sizes)?;
        let mut loader = EbpfLoader::new();
        loader.default_map_pin_directory(&folder);
        for (map, size, _) in sizes.by_map() {
            loader.map_max_entries(map, size);
        }
        let mut ebpf = loader
            .load(crate::OBJECT)
            .map_err(|error| LoadError::Object(Box::new(error)))?;
        for name in [INGRESS, EXPLAIN, TIME, INJECTOR] {
            load_program(&mut ebpf, name)?;
        }
        pin_program(&mut ebpf, TIME, &folder.join(CLOCK))?;
        pin_program(&mut ebpf, INJECTOR, &folder.join(INJECT))?;
        let maps = Maps::open(root)?;
        maps.begin_half_open()?;
        Ok(Self {
            root: root.to_owned(),
            ebpf,
            maps,
        })
    }

    /// The maps.
    #[must_use]
    pub const fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Instructions that the verifier walked through for the program that is attached (Linux 5.16).
    #[must_use]
    pub fn verified_instructions(&self) -> Option<u32> {
        let mut all = self.verified_programs();
        Some(all.find(|(name, _)| *name == INGRESS)?.1)
    }

    /// The same for each program.
    pub fn verified_programs(&self) -> impl Iterator<Item = (&str, u32)> {
        self.ebpf
            .programs()
            .filter_map(|(name, program)| Some((name, program.info().ok()?.verified_instruction_count()?)))
    }

    /// The kernel's number of the program that is attached: [`crate::Attachment`] has it.
    pub fn program(&self) -> Result<u32, ProgramError> {
        let program = self.ebpf.program(INGRESS);
        Ok(program.ok_or(ProgramError::UnexpectedProgramType)?.info()?.id())
    }

    pub(crate) fn ingress(&mut self) -> Result<&mut SchedClassifier, ProgramError> {
        classifier(&mut self.ebpf, INGRESS)
    }

    /// Runs the program on a packet as if it had arrived (BPF_PROG_TEST_RUN), with all that follows for the tables.
    pub fn run(&self, packet: &[u8], mark: u32) -> Result<RunOutcome, RunError> {
        run(&self.ebpf, INGRESS, packet, Meta { mark, priority: 0 })
    }

    /// The same with what programs before ours may have set.
    pub fn run_with(&self, packet: &[u8], meta: Meta) -> Result<RunOutcome, RunError> {
        run(&self.ebpf, INGRESS, packet, meta)
    }

    /// Asks which backend a packet would go to, without consequences. The mark of the answer is its id; 0 is none, and
    /// then the priority is [`crate::layout::PRIORITY_TAG`] if a service refuses it.
    pub fn explain(&self, packet: &[u8], mark: u32) -> Result<RunOutcome, RunError> {
        run(&self.ebpf, EXPLAIN, packet, Meta { mark, priority: 0 })
    }
}

pub(crate) fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<&'a mut SchedClassifier, ProgramError> {
    match ebpf.program_mut(name) {
        Some(program) => program.try_into(),
        None => Err(ProgramError::UnexpectedProgramType),
    }
}

pub(crate) fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<(), LoadError> {
    classifier(ebpf, name)
        .and_then(SchedClassifier::load)
        .map_err(|source| LoadError::Program {
            name,
            source: Box::new(source),
        })
}

/// Pins a program that user space runs, in place of an older one.
fn pin_program(ebpf: &mut Ebpf, name: &'static str, path: &Path) -> Result<(), LoadError> {
    let unusable = |source: io::Error| LoadError::Folder {
        path: path.to_owned(),
        source,
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    classifier(ebpf, name)
        .and_then(|program| program.pin(path).map_err(|error| unpinnable(&error)))
        .map_err(|source| LoadError::Program {
            name,
            source: Box::new(source),
        })
}

fn unpinnable(error: &aya::pin::PinError) -> ProgramError {
    ProgramError::IOError(io::Error::other(error.to_string()))
}

/// Makes our folder, and sees that nobody else's state is beside it.
fn prepare(root: &Path) -> Result<PathBuf, LoadError> {
    let folder = pin::folder(root);
    let unusable = |path: &Path| {
        let path = path.to_owned();
        |source| LoadError::Folder { path, source }
    };
    std::fs::create_dir_all(root).map_err(unusable(root))?;
    if !pin::is_bpffs(root).map_err(unusable(root))? {
        return Err(LoadError::NotBpffs {
            path: root.to_owned(),
        });
    }
    if let Some(path) = pin::other_schemas(root).map_err(unusable(root))?.pop() {
        return Err(LoadError::OtherSchema { path });
    }
    std::fs::create_dir_all(&folder).map_err(unusable(&folder))?;
    Ok(folder)
}

/// The loader takes a pinned map as it is: here its size is compared.
fn check_sizes(folder: &Path, sizes: &Sizes) -> Result<(), LoadError> {
    for (map, wanted, entries) in sizes.by_map() {
        let path = folder.join(map);
        match sys::open(&path) {
            Ok((_, info)) if info.max_entries == wanted => {}
            Ok((_, info)) => {
                return Err(LoadError::Size {
                    path,
                    found: info.max_entries * entries,
                    wanted: wanted * entries,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LoadError::Foreign { path, source }),
        }
    }
    Ok(())
}

/// `struct __sk_buff`, and where it has the fields that a made-up packet may have.
const CONTEXT: usize = 192;
const MARK_AT: usize = 8;
const PRIORITY_AT: usize = 32;

fn word(context: &[u8; CONTEXT], at: usize) -> u32 {
    let bytes = context.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

pub(crate) fn run(
    ebpf: &Ebpf,
    program: &'static str,
    packet: &[u8],
    meta: Meta,
) -> Result<RunOutcome, RunError> {
    let failed = |source| RunError {
        program,
        length: packet.len(),
        source: Box::new(source),
    };
    let classifier: &SchedClassifier = match ebpf.program(program) {
        Some(program) => program.try_into().map_err(failed)?,
        None => return Err(failed(ProgramError::UnexpectedProgramType)),
    };
    let mut context = [0; CONTEXT];
    context[MARK_AT..MARK_AT + 4].copy_from_slice(&meta.mark.to_ne_bytes());
    context[PRIORITY_AT..PRIORITY_AT + 4].copy_from_slice(&meta.priority.to_ne_bytes());
    let mut after = [0; CONTEXT];
    let mut out = vec![0; packet.len() + 256];
    let result = classifier
        .test_run(TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ctx_out: Some(&mut after),
            ..TestRunOptions::default()
        })
        .map_err(failed)?;
    out.truncate(result.data_size_out as usize);
    Ok(RunOutcome {
        verdict: result.return_value as i32,
        packet: out,
        mark: word(&after, MARK_AT),
        priority: word(&after, PRIORITY_AT),
    })
}
