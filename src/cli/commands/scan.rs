//! `landfall scan`: the pins below some paths, and what is left alone and why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::ScanTarget;
use super::policies::{self, POLICY_FOLDER};
use super::{CliError, Context, Exit, ImageFilters, Paint, table};
use crate::model::{Digest, ImageName, Pin, PinKind, RepoPath, Skipped, Tag, visible};
use crate::overlay::{PIN_KINDS, pin_kind};
use crate::plan::KnownNames;
use crate::policy::PolicySet;

/// From more places of one reason on they are counted, and so many of them named.
const MANY: usize = 10;
const SHOWN: usize = 3;

/// Arguments of `landfall scan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall scan .         everything below this folder, offline
  landfall scan --kind kustomize --kind container apps clusters
  landfall scan . --app web -e prod    what the checkout's policies call so
  landfall scan . -o json | jq -r '.pins[] | \"\\(.image) \\(.tag)\"'

Files named in .landfallignore (the syntax of .gitignore) are left alone.")]
pub(in crate::cli) struct ScanArgs {
    /// Folders or files to look through.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only pins of this kind; may be repeated.
    #[arg(long, value_name = "KIND", value_parser = parse_kind, long_help = kinds())]
    kind: Vec<PinKind>,
    /// A policy file or a folder of them that says which app and environment a file is of, instead of .landfall in the
    /// checkout.
    #[arg(long, value_name = "FILE|DIR")]
    policies: Option<PathBuf>,
    #[command(flatten)]
    filters: ImageFilters,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Report {
    pins: Vec<PinView>,
    skipped: Vec<Skipped>,
}

/// A pin as printed.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PinView {
    path: String,
    line: usize,
    column: usize,
    kind: PinKind,
    key: String,
    /// The repository as written.
    pub(super) image: String,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl PinView {
    /// The view of a pin whose file is shown as `path`.
    pub(super) fn new(path: &str, pin: &Pin) -> Self {
        Self {
            path: path.to_owned(),
            line: pin.line,
            column: pin.column,
            kind: pin.kind,
            key: pin.key.clone(),
            image: pin.image.clone(),
            tag: pin.version.tag.clone(),
            digest: pin.version.digest.clone(),
        }
    }

    /// The sort key of pins.
    pub(super) fn order(&self) -> (&str, usize, usize) {
        (&self.path, self.line, self.column)
    }

    /// `path:line:column`, as editors and terminals recognise it.
    pub(super) fn place(&self) -> String {
        format!("{}:{}:{}", visible(&self.path), self.line, self.column)
    }
}

/// The help of `--kind`.
fn kinds() -> String {
    let kinds = PIN_KINDS.iter().map(|kind| format!("\n- {}: {}", kind.name, kind.summary));
    format!("Only pins of this kind; may be repeated:{}", kinds.collect::<String>())
}

fn parse_kind(text: &str) -> Result<PinKind, String> {
    pin_kind(text).ok_or_else(|| {
        let known: Vec<_> = PIN_KINDS.iter().map(|kind| kind.as_str()).collect();
        format!("the kinds are {}", known.join(", "))
    })
}

/// Scans and prints.
pub(super) fn run(args: &ScanArgs, context: &Context) -> Result<Exit, CliError> {
    let filters = &args.filters;
    let mut report = Report { pins: Vec::new(), skipped: Vec::new() };
    let mut known = KnownNames::default();
    for path in &args.paths {
        let named = if filters.names_place() { Some(Named::new(args, path, context)?) } else { None };
        let target = match &named {
            Some(named) => ScanTarget::scan_with(path, named.policies.key_paths().below(&named.below), &|path| {
                named.path(path.as_str()).is_some_and(|path| named.policies.names_file(&path))
            })?,
            None => ScanTarget::scan_with(path, policies::declared_around(path, context), &|_| false)?,
        };
        if let Some(named) = &named {
            // An environment that a policy names exists before its first file does.
            let all = named.policies.policies().iter().filter_map(|policy| policy.fields.environment.as_ref());
            known.environments.extend(all.map(|it| it.value.clone()).filter(|name| !name.contains('{')));
        }
        let wanted = |path: &str, image: Option<&ImageName>| {
            image.is_none_or(|image| filters.wants_image(image))
                && named.as_ref().is_none_or(|it| it.wants(filters, path, image))
        };
        for pin in &target.found.pins {
            known.images.insert(pin.name.clone());
            if let Some(named) = &named {
                named.add_to(&mut known, pin);
            }
            if (args.kind.is_empty() || args.kind.contains(&pin.kind)) && wanted(pin.path.as_str(), Some(&pin.name)) {
                report.pins.push(PinView::new(target.shown(pin.path.as_str()), pin));
            }
        }
        // What has no name may be what was asked for.
        let left = target.found.skipped.iter().zip(target.skipped());
        known.images.extend(target.found.skipped.iter().filter_map(|skipped| skipped.image.clone()));
        report.skipped.extend(left.filter(|(it, _)| wanted(&it.path, it.image.as_ref())).map(|(_, shown)| shown));
    }
    filters.check(&known)?;
    report.pins.sort_by(|a, b| a.order().cmp(&b.order()));
    report.skipped.sort();
    context.output.data(&report, |report| text(report, context))?;
    Ok(Exit::Done)
}

/// Which app and environment the files below a PATH are of.
struct Named {
    policies: PolicySet,
    /// Where the PATH is in the checkout; empty for its root.
    below: String,
}

impl Named {
    fn new(args: &ScanArgs, path: &Path, context: &Context) -> Result<Self, CliError> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let around = policies::checkout_around(folder)?;
        let (place, below) = match (&args.policies, around) {
            (Some(given), around) => (given.clone(), around.map(|(_, below)| below).unwrap_or_default()),
            (None, Some((root, below))) => (root.join(POLICY_FOLDER), below),
            (None, None) => {
                let message = format!("there is no {POLICY_FOLDER} in {} or above it", folder.display());
                return Err(CliError::new(message).hint(
                    "apps and environments are named by policies: name their files with --policies, or leave out --app and -e",
                ));
            }
        };
        Ok(Self { policies: policies::read(&place, None, context)?, below })
    }

    /// A path below the PATH, from the checkout's root.
    fn path(&self, path: &str) -> Option<RepoPath> {
        let whole = if self.below.is_empty() { path.to_owned() } else { format!("{}/{path}", self.below) };
        RepoPath::parse(&whole).ok()
    }

    /// Whether something in a file is wanted; what has no place may be.
    fn wants(&self, filters: &ImageFilters, path: &str, image: Option<&ImageName>) -> bool {
        self.path(path).is_none_or(|path| {
            let effective = self.policies.effective_for(&path, image);
            filters.wants_place(&effective.app, effective.environment.as_deref())
        })
    }

    fn add_to(&self, known: &mut KnownNames, pin: &Pin) {
        let Some(path) = self.path(pin.path.as_str()) else { return };
        let effective = self.policies.effective(&path, &pin.name);
        known.apps.insert(effective.app);
        known.environments.extend(effective.environment);
    }
}

fn text(report: &Report, context: &Context) -> String {
    let row = |pin: &PinView| {
        let tag = pin.tag.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let digest = pin.digest.as_ref().map_or_else(|| "-".to_owned(), |digest| digest.short().to_owned());
        vec![pin.place(), pin.kind.as_str().to_owned(), pin.image.clone(), tag, digest]
    };
    let mut text = String::new();
    if report.pins.is_empty() {
        text.push_str("no pins found\n");
    } else {
        text.push_str(&table(&["PLACE", "KIND", "IMAGE", "TAG", "DIGEST"], report.pins.iter().map(row)));
    }
    if !report.skipped.is_empty() {
        text.push_str(&context.output.paint(Paint::Warn, &format!("\nleft alone: {}\n", report.skipped.len())));
        let place = |skipped: &Skipped| match skipped.line {
            Some(line) => format!("{}:{line}", visible(&skipped.path)),
            None => visible(&skipped.path).into_owned(),
        };
        let mut by_reason: BTreeMap<String, Vec<&Skipped>> = BTreeMap::new();
        for skipped in &report.skipped {
            by_reason.entry(skipped.reason.to_string()).or_default().push(skipped);
        }
        // Of one reason the first places are enough to see what it is about; JSON has all.
        let rows = by_reason.iter().flat_map(|(reason, all)| {
            let shown = if all.len() > MANY { SHOWN } else { all.len() };
            let more = all.len() - shown;
            let rest = (more > 0).then(|| vec![format!("and {more} more"), reason.clone()]);
            all.iter().take(shown).map(|skipped| vec![place(skipped), reason.clone()]).chain(rest)
        });
        text.push_str(&table(&["PLACE", "REASON"], rows));
    }
    text
}
