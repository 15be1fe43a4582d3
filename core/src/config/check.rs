//! The rules of a configuration that no type can hold, with or without a file.
//!
//! They are pure and run on every configuration that is about to be used: one read from a file, and the
//! running one after a change by the command line. All problems are reported, not only the first.

mod backends;
mod clients;
mod director;
mod listens;
mod tunnels;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::place::{Place, ServiceKey, service_words};
use super::text::quoted;
use super::{Config, DirectorSettings, Forward, SchedulerSpec, Service};

/// The fewest slots of a dispatch table.
pub const FEWEST_SLOTS: u32 = 16;
/// The most slots of a dispatch table.
pub const MOST_SLOTS: u32 = 4096;
/// The fewest bits of the conntrack mark that can hold useful backend ids.
pub const FEWEST_MARK_BITS: u32 = 8;
/// The most bits of the conntrack mark that a backend id fills.
pub const MOST_MARK_BITS: u32 = 16;
/// The most addresses of one source pool.
pub const MOST_SOURCES: u128 = 256;
/// The fewest connections that the tc tables can be made for.
pub const FEWEST_FLOWS: u32 = 1 << 10;
/// The most connections that the tc tables can be made for: 2 GB of kernel memory and more.
pub const MOST_FLOWS: u32 = 1 << 24;
/// The shortest time that anything is remembered.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time that anything is remembered, as ipvsadm's.
pub const LONGEST: Duration = Duration::from_secs(31 * 86_400);
/// The longest name of a service, or of a group of them.
pub const LONGEST_NAME: usize = 64;
/// The longest name of a network interface, `IFNAMSIZ` without its NUL.
pub const LONGEST_INTERFACE: usize = 15;

/// A rule that a configuration breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// Where, in words.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The other place of a conflict.
    pub related: Option<Place>,
    /// Whether something missing is the cause: where a file has other faults, those may be why.
    pub(super) from_absence: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for Problem {}

/// Knows which parameters a plugin takes.
pub trait Plugins {
    /// Checks that a plugin exists for a director with these settings, and takes the parameters.
    fn check(&self, director: &DirectorSettings, spec: &SchedulerSpec) -> Result<(), Vec<PluginProblem>>;
}

/// What a plugin has against its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginProblem {
    /// The parameter it is about, or `None` for the plugin itself.
    pub param: Option<String>,
    /// What is wrong, in words that name the plugin or the parameter: the place is not always shown.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Takes every plugin and parameter: for checks without a plugin directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyPlugin;

impl Plugins for AnyPlugin {
    fn check(&self, _: &DirectorSettings, _: &SchedulerSpec) -> Result<(), Vec<PluginProblem>> {
        Ok(())
    }
}

/// Checks all rules but those of the plugins.
pub fn check(config: &Config) -> Vec<Problem> {
    check_with(config, &AnyPlugin)
}

/// Checks all rules, those of the plugins too. The problems come in the order of their places.
pub fn check_with(config: &Config, plugins: &dyn Plugins) -> Vec<Problem> {
    let mut checker = Checker {
        config,
        problems: Vec::new(),
    };
    director::check(&mut checker);
    checker.names();
    for (index, service) in config.services.iter().enumerate() {
        checker.sources(index, service);
        checker.slots(index, service);
        checker.manage_vip(index, service);
        checker.scheduler(index, service, plugins);
        tunnels::check(&mut checker, index, service);
    }
    listens::check(&mut checker);
    clients::check(&mut checker);
    backends::check(&mut checker);
    checker.problems.sort_by(|one, other| one.place.cmp(&other.place));
    checker.problems
}

/// Collects problems.
struct Checker<'c> {
    config: &'c Config,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn report(&mut self, place: Place, message: String) -> &mut Problem {
        let path = place.describe(self.config);
        self.problems.push(Problem {
            place,
            path,
            message,
            help: None,
            related: None,
            from_absence: false,
        });
        self.problems.last_mut().expect("it was just pushed")
    }

    fn at(&mut self, service: usize, key: ServiceKey, message: impl Into<String>) -> &mut Problem {
        self.report(Place::Service(service, key), message.into())
    }

    fn names(&mut self) {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, service) in self.config.services.iter().enumerate() {
            if let Some(message) = name_fault(&service.name) {
                self.at(index, ServiceKey::Name, message).help(name_help());
            } else if let Some(&earlier) = first.get(service.name.as_str()) {
                let problem =
                    self.at(index, ServiceKey::Name, format!("the name {:?} is taken", service.name));
                problem.help("every service needs a name of its own");
                problem.related = Some(Place::Service(earlier, ServiceKey::Name));
            } else {
                first.insert(&service.name, index);
            }
        }
    }

    fn sources(&mut self, index: usize, service: &Service) {
        let full_nat = service.forward == Forward::FullNat
            || service
                .backends
                .iter()
                .any(|b| b.forward == Some(Forward::FullNat));
        if !service.source.is_empty() && !full_nat {
            let problem = self.at(
                index,
                ServiceKey::Sources,
                format!("`source` is for full NAT, and the service forwards by `{}`", service.forward),
            );
            problem.help("set forward = \"full-nat\", or leave `source` out");
            problem.from_absence = true;
        }
        let mut first = BTreeMap::new();
        for (number, pool) in service.source.iter().enumerate() {
            let key = ServiceKey::Source(number);
            if let Some(message) = pool.fault() {
                self.at(index, key, message)
                    .help("write the lower address first, as in \"10.0.0.1-10.0.0.8\"");
                continue;
            }
            if let Some(kind) = listens::senseless(pool.first).or(listens::senseless(pool.last)) {
                self.at(index, key, format!("{pool} cannot be a source: it is {kind}"))
                    .help("use addresses of the director that the backends route back to it");
                continue;
            }
            if pool.size() > MOST_SOURCES {
                let size = pool.size();
                self.at(
                    index,
                    key.clone(),
                    format!("the pool has {size} addresses; {MOST_SOURCES} are the most"),
                )
                .help("each address carries about 64,000 connections to one backend port");
            }
            if let Some(&earlier) = first.get(&pool.family()) {
                let problem = self.at(index, key, format!("a second source for {}", pool.family()));
                problem.help("give one address or one pool per family, such as \"10.0.0.1-10.0.0.8\"");
                problem.related = Some(Place::Service(index, ServiceKey::Source(earlier)));
            } else {
                first.insert(pool.family(), number);
            }
        }
    }

    fn slots(&mut self, index: usize, service: &Service) {
        let slots = service.slots;
        if !slots.is_power_of_two() || !(FEWEST_SLOTS..=MOST_SLOTS).contains(&slots) {
            let near = slots.clamp(FEWEST_SLOTS, MOST_SLOTS);
            let near = near
                .checked_next_power_of_two()
                .map_or(MOST_SLOTS, |near| near.min(MOST_SLOTS));
            let message = format!("{slots} is not a power of two from {FEWEST_SLOTS} to {MOST_SLOTS}");
            self.at(index, ServiceKey::Slots, message)
                .help(format!("the next that is: {near}"));
        }
    }

    fn manage_vip(&mut self, index: usize, service: &Service) {
        let Some(manage) = &service.manage_vip else {
            return;
        };
        if let Some(message) = interface_fault(&manage.interface) {
            self.at(index, ServiceKey::Interface, message)
                .help(interface_help());
        }
        if !service.listen.is_empty() && service.listen.iter().all(|listen| listen.address().is_none()) {
            let problem = self.at(
                index,
                ServiceKey::ManageVip,
                "there is no address to manage: the service listens on firewall marks only",
            );
            problem.help("leave `manage_vip` out, or add a listen with an address");
            problem.from_absence = true;
        }
    }

    fn scheduler(&mut self, index: usize, service: &Service, plugins: &dyn Plugins) {
        let plugin = &service.scheduler.plugin;
        let message = if plugin.is_empty() {
            Some("the scheduler's name is empty".to_owned())
        } else if plugin.chars().any(char::is_control) {
            Some(format!("{} has control characters in it", quoted(plugin)))
        } else if plugin.ends_with('/') {
            Some(format!("{} is a directory, not a plugin", quoted(plugin)))
        } else {
            None
        };
        if let Some(message) = message {
            self.at(index, ServiceKey::Scheduler, message)
                .help("name a plugin, as in \"rr\", or a file with a path, as in \"/etc/wvs/mine.wasm\"");
            return;
        }
        for problem in plugins
            .check(&self.config.director, &service.scheduler)
            .err()
            .unwrap_or_default()
        {
            let key = problem.param.map_or(ServiceKey::Scheduler, ServiceKey::Param);
            self.at(index, key, problem.message).help = problem.help;
        }
    }

    fn service_words(&self, index: usize) -> String {
        service_words(self.config, index)
    }
}

impl Problem {
    fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }
}

fn name_help() -> String {
    format!(
        "a name has 1 to {LONGEST_NAME} letters, digits, `.`, `_` and `-`, and begins with a letter or digit"
    )
}

fn interface_help() -> String {
    format!(
        "an interface's name has 1 to {LONGEST_INTERFACE} bytes, without blanks, `/` and `:`, as in \"eth0\""
    )
}

fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the name is empty".to_owned());
    }
    if name.len() > LONGEST_NAME {
        return Some(format!("the name is {} bytes long", name.len()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let strange: BTreeSet<char> = name.chars().filter(|c| !allowed(*c)).collect();
    if let Some(strange) = strange.first() {
        return Some(format!(
            "{} is not a name: it has {} in it",
            quoted(name),
            quoted(&strange.to_string())
        ));
    }
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    (!begins_well).then(|| format!("{} does not begin with a letter or digit", quoted(name)))
}

/// What the kernel's `dev_valid_name` has against an interface's name.
fn interface_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the interface's name is empty".to_owned());
    }
    if name.len() > LONGEST_INTERFACE {
        return Some(format!("the interface's name {} is {} bytes long", quoted(name), name.len()));
    }
    let refused = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    let bad = name == "." || name == ".." || name.contains(refused);
    bad.then(|| format!("{} is not an interface's name", quoted(name)))
}
