//! Reading a text with the places of its parts: keys of tables, and what is wrong with them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::shapes::{SHAPES, Shape};
use super::syntax::syntax_fault;
use crate::config::Config;
use crate::config::check::Problem;
use crate::config::fault::{Fault, Faults, Lines, MOST_FAULTS, Related};
use crate::config::place::{BackendKey, DirectorKey, Place, ServiceKey, service_words};
use crate::config::text::quoted;

/// A place in the text.
pub(super) type Span = Range<usize>;
/// A value with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A text on its way to a configuration.
pub(super) struct Reader<'i> {
    pub(super) text: &'i str,
    pub(super) root: DeTable<'i>,
    faults: Vec<Fault>,
    /// How many of the faults cost a part of the configuration.
    losses: usize,
    /// Where the parser lost its way.
    syntax: Vec<Fault>,
    /// How many more times it did.
    omitted: usize,
    /// Where the parts of the configuration are.
    spans: HashMap<Place, Span>,
    /// Places that have a fault already.
    faulty: HashSet<Place>,
    /// Services of which something could not be read.
    incomplete: HashSet<usize>,
}

/// A table that is being read.
pub(super) struct Section<'r, 'i> {
    pub(super) table: &'r DeTable<'i>,
    pub(super) shape: &'static Shape,
    pub(super) header: Span,
}

impl<'i> Reader<'i> {
    /// Parses a text as far as it goes.
    pub(super) fn parse(text: &'i str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut syntax = Vec::new();
        let mut omitted = 0;
        let mut lines_with_errors = BTreeSet::new();
        let lines = Lines::of(if errors.is_empty() { "" } else { text });
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            if syntax.len() == MOST_FAULTS {
                omitted += 1;
            } else if lines_with_errors.insert(lines.line(span.start)) {
                // A second error on a line is mostly an echo of the first.
                syntax.push(syntax_fault(text, span, error.message()));
            }
        }
        Reader {
            text,
            root: root.into_inner(),
            faults: Vec::new(),
            losses: 0,
            syntax,
            omitted,
            spans: HashMap::new(),
            faulty: HashSet::new(),
            incomplete: HashSet::new(),
        }
    }

    /// All faults, if there are any. Those that may only follow from a syntax error are left out.
    pub(super) fn finish(self) -> Option<Faults> {
        let Reader {
            mut faults,
            syntax,
            text,
            omitted,
            ..
        } = self;
        if !syntax.is_empty() {
            let lines = Lines::of(text);
            let line = |fault: &Fault| fault.span.as_ref().map(|span| lines.line(span.start));
            let wrong: BTreeSet<usize> = syntax.iter().filter_map(line).collect();
            faults.retain(|fault| line(fault).is_none_or(|line| !wrong.contains(&line)));
            faults.extend(syntax);
        }
        (!faults.is_empty()).then(|| Faults::new(faults, omitted, text))
    }

    /// Notes a fault that costs a part of the configuration.
    pub(super) fn report(&mut self, fault: Fault) {
        self.faults.push(fault);
        self.losses += 1;
    }

    /// Whether the parser lost its way somewhere.
    pub(super) fn has_syntax_faults(&self) -> bool {
        !self.syntax.is_empty()
    }

    /// How many faults so far have cost a part of the configuration.
    pub(super) fn losses(&self) -> usize {
        self.losses
    }

    /// Notes where a part of the configuration is.
    pub(super) fn locate(&mut self, place: Place, span: Span) {
        self.spans.insert(place, span);
    }

    /// Notes that a part of the configuration has a fault already.
    pub(super) fn spoil(&mut self, place: Place) {
        self.faulty.insert(place);
    }

    /// Notes that something of a service could not be read.
    pub(super) fn leave_incomplete(&mut self, service: usize) {
        self.incomplete.insert(service);
    }

    /// The span of a place, or of the nearest larger place that is in the text.
    fn span_of(&self, place: &Place) -> Option<Span> {
        let mut place = place.clone();
        loop {
            if let Some(span) = self.spans.get(&place) {
                return Some(span.clone());
            }
            place = place.around()?;
        }
    }

    /// Takes over what the rules found, but for what other faults of the file explain.
    pub(super) fn problems(&mut self, config: &Config, problems: Vec<Problem>) {
        for problem in problems {
            let unread = problem
                .place
                .service()
                .is_some_and(|service| self.incomplete.contains(&service));
            let explained = problem.from_absence && (unread || !self.syntax.is_empty());
            if explained || self.faulty.contains(&problem.place) {
                continue;
            }
            let related = problem.related.and_then(|place| {
                let label = related_words(&place, config);
                Some(Related {
                    span: self.span_of(&place)?,
                    position: None,
                    label,
                })
            });
            let fault = Fault {
                span: self.span_of(&problem.place),
                position: None,
                message: problem.message,
                label: None,
                help: problem.help,
                related,
            };
            self.faults.push(fault);
        }
    }

    /// Notes the keys of a table that have no business there.
    pub(super) fn unknown_keys(&mut self, section: &Section<'_, 'i>) {
        for (key, _) in section.table {
            let name: &str = key.get_ref();
            let shape = section.shape;
            if shape.keys.contains(&name) {
                continue;
            }
            let fault = if SHAPES.iter().any(|shape| shape.later.contains(&name)) {
                Fault::new(key.span(), format!("`{name}` is not supported by this version of wvs"))
                    .label("not supported")
                    .help(format!("leave `{name}` out"))
            } else {
                Fault::new(key.span(), format!("unknown key {} in {}", quoted(name), shape.name))
                    .label("unknown key")
                    .help(suggestion(name, shape))
            };
            self.faults.push(fault);
            // A key that was meant to be one of ours is missing elsewhere; others cost nothing.
            self.losses += usize::from(nearest(name, shape.keys).is_some());
        }
    }

    /// The value of a key, unless the parser put a stand-in for a value that it did not find.
    pub(super) fn get<'r>(&self, section: &Section<'r, 'i>, key: &str) -> Option<&'r Value<'i>> {
        let value = section.table.get(key)?;
        (!self.is_stand_in(value)).then_some(value)
    }

    pub(super) fn is_stand_in(&self, value: &Value<'i>) -> bool {
        value.span().is_empty() && !self.syntax.is_empty()
    }

    /// The value of a key that must be there.
    pub(super) fn require<'r>(
        &mut self,
        section: &Section<'r, 'i>,
        key: &str,
        example: &str,
    ) -> Option<&'r Value<'i>> {
        let value = self.get(section, key);
        if value.is_none() && self.syntax.is_empty() {
            let fault = Fault::new(section.header.clone(), format!("{} has no `{key}`", section.shape.name))
                .label(format!("`{key}` is missing"))
                .help(format!("add {key} = {example}"));
            self.report(fault);
        }
        value
    }
}

/// What the other place of a conflict is.
fn related_words(place: &Place, config: &Config) -> String {
    match place {
        Place::Director(DirectorKey::CtMarkMask) => "the mask".to_owned(),
        Place::Service(service, ServiceKey::Listen(_)) => {
            format!("{} listens here", service_words(config, *service))
        }
        Place::Service(_, ServiceKey::Backend(_, BackendKey::MaxConnections)) => "the limit".to_owned(),
        _ => "the first one".to_owned(),
    }
}

/// What an unknown key may have been meant to be.
fn suggestion(name: &str, shape: &Shape) -> String {
    if let Some(key) = nearest(name, shape.keys) {
        return format!("did you mean `{key}`?");
    }
    if name == "backend" {
        return "write [[service.backend]], below its [[service]]".to_owned();
    }
    if let Some(other) = SHAPES.iter().find(|other| other.keys.contains(&name)) {
        return format!("`{name}` belongs in {}", other.name);
    }
    let keys: Vec<String> = shape.keys.iter().map(|key| format!("`{key}`")).collect();
    format!("known keys are {}", keys.join(", "))
}

/// The key that is a few typing errors away.
fn nearest(name: &str, keys: &[&'static str]) -> Option<&'static str> {
    const LONGEST: usize = 40;
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    let distance = |key: &str| strsim::damerau_levenshtein(&name, key);
    let key = keys.iter().copied().min_by_key(|key| distance(key))?;
    (distance(key) <= (key.len() / 3).max(1)).then_some(key)
}
