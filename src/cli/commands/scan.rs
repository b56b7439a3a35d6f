//! `landfall scan`: the pins below some paths, and what is left alone and why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::files::ScanTarget;
use super::{CliError, Context, Exit, Paint, table};
use crate::model::{Digest, Pin, PinKind, Skipped, Tag, visible};
use crate::overlay::{PIN_KINDS, pin_kind};

/// From more places of one reason on they are counted, and so many of them named.
const MANY: usize = 10;
const SHOWN: usize = 3;

/// Arguments of `landfall scan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall scan .         everything below this folder, offline
  landfall scan --kind kustomize --kind container apps clusters
  landfall scan . -o json | jq -r '.pins[] | \"\\(.image) \\(.tag)\"'

Files named in .landfallignore (the syntax of .gitignore) are left alone.")]
pub(in crate::cli) struct ScanArgs {
    /// Folders or files to look through.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only pins of this kind; may be repeated.
    #[arg(long, value_name = "KIND", value_parser = parse_kind, long_help = kinds())]
    kind: Vec<PinKind>,
    /// Only this image: its name, or the last part of it.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
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
    let mut report = Report { pins: Vec::new(), skipped: Vec::new() };
    for path in &args.paths {
        let target = ScanTarget::scan(path)?;
        let pins = target.found.pins.iter().filter(|pin| args.kind.is_empty() || args.kind.contains(&pin.kind));
        let pins = pins.filter(|pin| args.image.as_ref().is_none_or(|image| pin.name.is_called(image)));
        report.pins.extend(pins.map(|pin| PinView::new(target.shown(pin.path.as_str()), pin)));
        report.skipped.extend(target.skipped());
    }
    report.pins.sort_by(|a, b| a.order().cmp(&b.order()));
    report.skipped.sort();
    context.output.data(&report, |report| text(report, context))?;
    Ok(Exit::Done)
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
