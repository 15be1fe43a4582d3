//! Plugins as their authors see them.

pub mod simulate;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wvs_core::scheduler::bench::{Price, StartCost, StartCostError, bench as measure, start};
use wvs_core::scheduler::conform::{Finding, Promises, Report, Trial, check as examine, test as try_out};
use wvs_core::scheduler::{
    BUILTIN, CONTRACT_VERSION, CallError, Dispatch, Limits, LoadPluginError, ParamError, ParamKind, Plugin,
    PluginHost, ReadPluginError, StartHostError, builtin, read_plugin,
};

use crate::args::{PackArgs, Subject, TestPluginArgs};

/// Why nothing can be said of a plugin.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// It is neither a file nor built in.
    #[error("there is no file {name}, and no scheduler of that name is built in; built in are {}", BUILTIN.map(|it| it.0).join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Its file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReadPluginError,
    },
    /// Something is where it is to be written.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It would be written over what it is made of.
    #[error("{} is the module itself", .0.display())]
    Itself(PathBuf),
    /// What was made of it cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No plugin can be run on this machine.
    #[error(transparent)]
    Host(#[from] StartHostError),
    /// It is no scheduler for this director.
    #[error("{file} is no scheduler that a director can run")]
    Load {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: Box<LoadPluginError>,
    },
    /// It does not take these parameters.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Params(Vec<ParamError>),
    /// It fails.
    #[error("the plugin failed; `wvs plugin check` says where and what to do")]
    Call(#[from] CallError),
    /// Nothing can be simulated.
    #[error(transparent)]
    Simulate(#[from] simulate::Failure),
    /// Its start cannot be measured.
    #[error("the plugin's start cannot be measured")]
    Start(#[from] StartCostError),
}

impl PluginError {
    /// What to do about it, if that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } => source.remedy().map(Into::into),
            Self::Load { source, .. } => Some(source.remedy()),
            Self::Call(error) => Some(error.remedy().into()),
            Self::Exists(_) => Some("choose another name, or write over it with --force".into()),
            Self::Itself(_) => Some("choose another name: the module is needed to pack it again".into()),
            _ => None,
        }
    }
}

/// What a plugin says of itself, and what can be seen from outside.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Its name for itself.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// The file, or `built in`.
    pub origin: String,
    /// The size of the file.
    pub bytes: usize,
    /// The version of the contract that this wvs speaks, and that the plugin fits.
    pub contract: &'static str,
    /// How it is used with these parameters: `cycle`, `hash` with what is hashed, or `flow`. None if it does not start
    /// with them.
    pub kind: Option<String>,
    /// Why it does not start with them, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails: Option<Failing>,
    /// Whether it looks at connections.
    pub looks_at_connections: bool,
    /// What it has of the contract besides what every scheduler has: `table`, `flows`, `load`, `timer`, `latency`.
    pub interfaces: Vec<&'static str>,
    /// The parameters it takes.
    pub parameters: Vec<Parameter>,
}

/// Why a plugin does not start.
#[derive(Debug, Serialize)]
pub struct Failing {
    /// How it fails.
    pub reason: String,
    /// What its author can do.
    pub fix: &'static str,
}

/// A parameter of a plugin.
#[derive(Debug, Serialize)]
pub struct Parameter {
    /// Its name.
    pub key: String,
    /// `text`, `boolean`, `integer` or `choice`.
    pub kind: &'static str,
    /// The lowest allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i32>,
    /// The highest allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
    /// The words allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// Its value if none is given.
    pub default: String,
    /// One line.
    pub help: String,
}

/// A plugin, loaded.
struct Loaded {
    plugin: Plugin,
    params: BTreeMap<String, String>,
    origin: String,
    bytes: Vec<u8>,
}

fn load(subject: &Subject) -> Result<Loaded, PluginError> {
    let limits = Limits::default();
    let (bytes, origin) = read(&subject.file, limits.file_size)?;
    let host = PluginHost::new(limits)?;
    let plugin = host
        .load(&subject.file, &bytes)
        .map_err(|source| PluginError::Load {
            file: subject.file.clone(),
            source: source.into(),
        })?;
    Ok(Loaded {
        plugin,
        params: subject.params.iter().cloned().collect(),
        origin,
        bytes,
    })
}

/// A file, or the scheduler of that name which is built in. As in a configuration, what has a slash is a path; a name is
/// that of a file first, and nothing but a file takes it from what is built in.
fn read(name: &str, limit: usize) -> Result<(Vec<u8>, String), PluginError> {
    let path = Path::new(name);
    if !name.contains('/')
        && !path.is_file()
        && let Some(bytes) = builtin(name)
    {
        return Ok((bytes.to_vec(), "built in".to_owned()));
    }
    match read_plugin(path, limit) {
        Ok(bytes) => Ok((bytes, name.to_owned())),
        Err(ReadPluginError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err(PluginError::Unknown {
                name: name.to_owned(),
            })
        }
        Err(source) => Err(PluginError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Makes a component of a module, and says how many bytes it has.
pub fn pack(args: &PackArgs) -> Result<usize, PluginError> {
    let PackArgs { module, file, force } = args;
    let there = file.symlink_metadata().is_ok();
    // Also by another name of it.
    let id = |path: &Path| path.metadata().map(|it| (it.dev(), it.ino())).ok();
    if there && id(file).is_some_and(|target| Some(target) == id(module)) {
        return Err(PluginError::Itself(file.clone()));
    }
    let name = module.display().to_string();
    let bytes = read_plugin(module, Limits::default().file_size).map_err(|source| PluginError::Read {
        path: module.clone(),
        source,
    })?;
    if there && !force {
        return Err(PluginError::Exists(file.clone()));
    }
    let packed = wvs_core::scheduler::pack(&name, &bytes).map_err(|source| PluginError::Load {
        file: name,
        source: source.into(),
    })?;
    std::fs::write(file, &packed).map_err(|source| PluginError::Write {
        path: file.clone(),
        source,
    })?;
    Ok(packed.len())
}

/// Checks a plugin as the conformance suite does.
pub fn check(subject: &Subject, proportional: Option<u32>) -> Result<Vec<Finding>, PluginError> {
    let loaded = load(subject)?;
    let promises = Promises {
        proportional,
        ..Promises::default()
    };
    examine(&loaded.plugin, &loaded.params, promises).map_err(PluginError::Params)
}

/// Leads a plugin through events at random.
pub fn test(args: &TestPluginArgs) -> Result<Report, PluginError> {
    let loaded = load(&args.subject)?;
    let trial = Trial {
        sequences: args.sequences,
        seed: args.seed,
        promises: Promises {
            proportional: args.proportional,
            everybody: args.no_starvation,
        },
    };
    try_out(&loaded.plugin, &loaded.params, trial).map_err(PluginError::Params)
}

/// What a plugin says of itself.
pub fn inspect(subject: &Subject) -> Result<Inspection, PluginError> {
    let loaded = load(subject)?;
    let plugin = &loaded.plugin;
    let params = plugin.check_params(&loaded.params).map_err(PluginError::Params)?;
    let description = plugin.describe().clone();
    let started = plugin.start(&params, 1);
    Ok(Inspection {
        name: description.name,
        version: description.version,
        summary: description.summary,
        origin: loaded.origin,
        bytes: loaded.bytes.len(),
        contract: CONTRACT_VERSION,
        kind: started.as_ref().ok().map(|instance| kind(instance.dispatch())),
        fails: started.err().map(|error| Failing {
            reason: error.to_string(),
            fix: error.remedy(),
        }),
        looks_at_connections: plugin.wants_load(),
        interfaces: plugin.interfaces(),
        parameters: description.params.into_iter().map(Parameter::from).collect(),
    })
}

fn kind(dispatch: Dispatch) -> String {
    use wvs_core::scheduler::HashKey;
    let key = match dispatch {
        Dispatch::Cycle => return "cycle".to_owned(),
        Dispatch::Flow => return "flow".to_owned(),
        Dispatch::Hash(HashKey::Source) => "source",
        Dispatch::Hash(HashKey::SourceAndPort) => "source-and-port",
        Dispatch::Hash(HashKey::Destination) => "destination",
        Dispatch::Hash(HashKey::Both) => "both",
    };
    format!("hash {key}")
}

impl From<wvs_core::scheduler::ParamSpec> for Parameter {
    fn from(spec: wvs_core::scheduler::ParamSpec) -> Self {
        let (kind, range, words) = match spec.kind {
            ParamKind::Text => ("text", None, Vec::new()),
            ParamKind::Boolean => ("boolean", None, Vec::new()),
            ParamKind::Integer { min, max } => ("integer", Some((min, max)), Vec::new()),
            ParamKind::Choice(words) => ("choice", None, words),
        };
        Parameter {
            key: spec.key,
            kind,
            min: range.map(|range| range.0),
            max: range.map(|range| range.1),
            words,
            default: spec.default,
            help: spec.help,
        }
    }
}

/// What a plugin costs.
#[derive(Debug, Serialize)]
pub struct Prices {
    /// Its start.
    pub start: StartCost,
    /// Its calls, by the size of the service.
    pub prices: Vec<Price>,
}

/// What a plugin costs.
pub fn bench(subject: &Subject, slots: u32) -> Result<Prices, PluginError> {
    let loaded = load(subject)?;
    let params = loaded
        .plugin
        .check_params(&loaded.params)
        .map_err(PluginError::Params)?;
    let scratch = Scratch::new();
    let file = Some(Path::new(&subject.file)).filter(|path| path.is_file());
    Ok(Prices {
        start: start(&subject.file, &loaded.bytes, file, &params, &scratch.0)?,
        prices: measure(&loaded.plugin, &params, slots)?,
    })
}

/// A directory for compiled plugins, which goes with the measurement. Whoever else has it already makes that fail.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("wvs-bench-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
