//! `landfall set-image`: writes a given version into every pin of an image.
//!
//! Exactly what was given is written: a TAG without a DIGEST also removes the digest of the old tag, as `kustomize edit
//! set image` does, since it would belong to another image. If that cannot be done in place, nothing is written
//! anywhere. All files are edited in memory first, and are written only if every edit was proved.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{ScanTarget, read_bytes, replace};
use super::scan::PinView;
use super::{CliError, Context, Exit, policies, table};
use crate::daemon::Clock;
use crate::model::{Digest, ImageName, ImageReference, Pin, RepoPath, Scheme, Skipped, Tag, Version, visible};
use crate::overlay::{self, OldDigest, PinEdit, chart_lock_of, edit_with, every_pin, relock};

/// Arguments of `landfall set-image`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall set-image apps/web ghcr.io/acme/web=:1.4.0
  landfall set-image apps ghcr.io/acme/web=:1.4.0 nginx=:1.27@sha256:<64 hex>
  landfall set-image --dry-run . ghcr.io/acme/web=quay.io/acme/web:1.4.0

Everything but the value stays byte for byte as it is. A TAG without a DIGEST removes
an old digest; with neither, only the name changes. Write `./` before a path that
contains `=`.
Exit codes: 0 done · 1 no pin of the image found · 2 error")]
pub(in crate::cli) struct SetImageArgs {
    /// Folders or files, then one or more `IMAGE=[NAME][:TAG][@DIGEST]`.
    #[arg(required = true, value_name = "PATH… IMAGE=[NAME][:TAG][@DIGEST]")]
    arguments: Vec<String>,
    /// Print what would change and write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// The new values for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    image: ImageName,
    rename: Option<String>,
    to: Version,
}

/// A changed pin, with its previous values.
#[derive(Debug, Serialize)]
struct Changed {
    #[serde(flatten)]
    pin: PinView,
    from: Version,
    to: Version,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Report {
    pins: Vec<Changed>,
}

/// A file and its new content.
#[derive(Debug)]
struct Rewrite {
    path: PathBuf,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// Edits and prints.
pub(super) fn run(args: &SetImageArgs, context: &Context) -> Result<Exit, CliError> {
    let (paths, settings) = split(&args.arguments)?;
    let (mut report, mut rewrites, mut left) = (Report { pins: Vec::new() }, BTreeMap::new(), Vec::new());
    let (mut selected, mut meant) = (Vec::new(), BTreeSet::new());
    for path in &paths {
        let target = ScanTarget::scan_with(path, policies::declared_around(path, context), &|_| false)?;
        for (file, pins) in target.by_file() {
            plan(&target, file, &pins, &settings, &mut report, &mut rewrites)?;
        }
        left.extend(target.skipped());
        meant.extend(target.found.pins.iter().filter(|pin| is_meant(pin, &settings)).map(|pin| pin.name.to_string()));
        selected.extend(target.found.pins.iter().filter_map(|pin| selected_by(&target, pin, &settings)));
    }
    for line in left_alone(&left, &settings) {
        context.output.message(&line);
    }
    if !args.dry_run {
        write(&rewrites)?;
    }
    report.pins.sort_by(|a, b| a.pin.order().cmp(&b.pin.order()));
    let negative = report.pins.is_empty();
    if negative {
        context.output.message("no pin of that image was found");
        for line in selected.into_iter().chain(meant.iter().map(|image| format!("did you mean {image}?"))) {
            context.output.message(&line);
        }
    }
    context.output.data(&report, text)?;
    Ok(if negative { Exit::Negative } else { Exit::Done })
}

/// How much was left alone, and each place of the given images.
fn left_alone(left: &[Skipped], settings: &[Setting]) -> Vec<String> {
    if left.is_empty() {
        return Vec::new();
    }
    let count = format!("left alone: {} (`landfall scan` with the same paths shows which and why)", left.len());
    let asked = left.iter().filter(|skipped| settings.iter().any(|it| skipped.image.as_ref() == Some(&it.image)));
    let line = |skipped: &Skipped| {
        let place = skipped.line.map_or_else(|| skipped.path.clone(), |line| format!("{}:{line}", skipped.path));
        format!("  {}: {}", visible(&place), skipped.reason)
    };
    std::iter::once(count).chain(asked.map(line)).collect()
}

/// A hint if a setting uses the name by which a kustomization only selects the image.
fn selected_by(target: &ScanTarget, pin: &Pin, settings: &[Setting]) -> Option<String> {
    let alias = pin.alias.as_ref()?;
    let name = ImageName::parse(&alias.name).ok()?;
    settings.iter().any(|setting| setting.image == name).then(|| {
        let place = format!("{}:{}", target.shown(pin.path.as_str()), alias.line);
        let place = visible(&place);
        format!("{place} selects it by the name `{}`; the image to name is {}", alias.name, pin.image)
    })
}

/// Whether a setting names only the last part of an image's name.
fn is_meant(pin: &Pin, settings: &[Setting]) -> bool {
    settings.iter().any(|setting| ImageName::parse(pin.name.short()).is_ok_and(|short| short == setting.image))
}

/// Splits the command line into paths and settings. A setting has an image name before its first `=`.
fn split(arguments: &[String]) -> Result<(Vec<PathBuf>, Vec<Setting>), CliError> {
    let (mut paths, mut settings): (Vec<PathBuf>, Vec<Setting>) = (Vec::new(), Vec::new());
    for argument in arguments {
        let name = argument.split_once('=').map(|(image, what)| (ImageName::parse(image), what));
        let Some((Ok(image), what)) = name else {
            paths.push(PathBuf::from(argument));
            continue;
        };
        if settings.iter().any(|setting| setting.image == image) {
            return Err(CliError::new(format!("the image {image} is set twice")));
        }
        settings.push(setting(image, what, argument)?);
    }
    if paths.is_empty() {
        return Err(CliError::new("no PATH is given").hint("landfall set-image apps/web ghcr.io/acme/web=:1.4.0"));
    }
    if settings.is_empty() {
        return Err(CliError::new("no IMAGE=[NAME][:TAG][@DIGEST] is given")
            .hint("landfall set-image apps/web ghcr.io/acme/web=:1.4.0"));
    }
    Ok((paths, settings))
}

fn setting(image: ImageName, what: &str, argument: &str) -> Result<Setting, CliError> {
    let usage = |reason: String| {
        CliError::new(format!("`{argument}` is not IMAGE=[NAME][:TAG][@DIGEST]: {reason}"))
            .hint(format!("for a tag: {image}=:1.4.0"))
    };
    if what.is_empty() {
        return Err(usage("nothing follows the `=`".to_owned()));
    }
    if image.scheme() != Scheme::Image {
        return Ok(Setting { to: of_artifact(what).map_err(usage)?, image, rename: None });
    }
    if what.starts_with([':', '@']) {
        // Any name will do for parsing what follows it.
        let reference = ImageReference::parse(&format!("x{what}")).map_err(|error| usage(error.to_string()))?;
        return Ok(Setting { image, rename: None, to: reference.version });
    }
    let reference = ImageReference::parse(what).map_err(|error| usage(error.to_string()))?;
    let to = reference.version;
    if to.tag.is_none() && to.digest.is_none() && looks_like_version(what) {
        return Err(usage(format!("`{what}` would be a NAME; a tag is written with a colon, `:{what}`")));
    }
    // A name that means the same image is left as written.
    let rename = (reference.name != image).then_some(reference.written);
    if rename.is_none() && to.tag.is_none() && to.digest.is_none() {
        return Err(usage("it repeats the name and has no version".to_owned()));
    }
    Ok(Setting { image, rename, to })
}

/// The version of a chart or another artifact, whose name stays.
fn of_artifact(what: &str) -> Result<Version, String> {
    let (tag, digest) = what.split_once('@').map_or((what, None), |(tag, digest)| (tag, Some(digest)));
    let tag = match tag.strip_prefix(':') {
        Some(tag) => Some(Tag::parse(tag).map_err(|error| error.to_string())?),
        None if tag.is_empty() => None,
        None => return Err("a chart or artifact keeps its name; its version is written with a colon".to_owned()),
    };
    let digest = digest.map(Digest::parse).transpose().map_err(|error| error.to_string())?;
    Ok(Version { tag, digest })
}

/// `1.4.0`, `v2`: probably a tag given without its colon.
fn looks_like_version(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit()) && !text.contains('/')
}

/// Edits one file in memory.
fn plan(
    target: &ScanTarget,
    file: &RepoPath,
    pins: &[&Pin],
    settings: &[Setting],
    report: &mut Report,
    rewrites: &mut BTreeMap<PathBuf, Rewrite>,
) -> Result<(), CliError> {
    let mut edits = Vec::new();
    for pin in pins {
        let Some(setting) = settings.iter().find(|setting| setting.image == pin.name) else { continue };
        let only_rename = setting.to.tag.is_none() && setting.to.digest.is_none();
        let to = if only_rename { pin.version.clone() } else { setting.to.clone() };
        edits.push(PinEdit { pin, to, rename: setting.rename.as_deref() });
    }
    let path = target.on_disk(file);
    let key = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    if edits.is_empty() || rewrites.contains_key(&key) {
        return Ok(()); // Nothing to do, or a file below two of the paths.
    }
    let problem = |error: &(dyn std::error::Error + 'static)| {
        CliError::caused(format!("cannot edit {}, so nothing was written", target.shown(file.as_str())), error)
    };
    let old = read_bytes(&path).map_err(|error| problem(&error))?;
    let new = edit_with(file, &old, &edits, OldDigest::Drop).map_err(|error| problem(&error))?;
    // The report shows what a scan finds now, not what was requested.
    let beside = overlay::beside(file).into_iter();
    let beside: Vec<_> = beside.filter_map(|it| Some((it.clone(), read_bytes(&target.on_disk(&it)).ok()?))).collect();
    let after = every_pin(&target.declared, file, &new, &beside);
    for edit in &edits {
        let now = after.iter().find(|pin| pin.key == edit.pin.key).unwrap_or(edit.pin);
        let view = PinView::new(target.shown(file.as_str()), now);
        report.pins.push(Changed { pin: view, from: edit.pin.version.clone(), to: now.version.clone() });
    }
    if let Some(lock) = relocked(target, file, (&old, &new)).map_err(|error| problem(&error))? {
        let key = std::fs::canonicalize(&lock.path).unwrap_or_else(|_| lock.path.clone());
        rewrites.insert(key, lock);
    }
    rewrites.insert(key, Rewrite { path, old, new });
    Ok(())
}

/// The lock of a chart whose file changes; `None` if there is none beside it.
fn relocked(target: &ScanTarget, file: &RepoPath, (before, after): (&[u8], &[u8])) -> io::Result<Option<Rewrite>> {
    let Some(lock) = chart_lock_of(file) else { return Ok(None) };
    let path = target.on_disk(&lock);
    if std::fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let old = read_bytes(&path)?;
    let time = Clock::system().now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let new = relock((before, after), &old, &time);
    let new = new.map_err(|reason| io::Error::other(format!("{lock} cannot be kept true: {reason}")))?;
    Ok(Some(Rewrite { path, old, new }))
}

fn write(rewrites: &BTreeMap<PathBuf, Rewrite>) -> Result<(), CliError> {
    for (at, rewrite) in rewrites.values().enumerate() {
        let Rewrite { path, old, new } = rewrite;
        if old == new {
            continue;
        }
        replace(path, old, new).map_err(|error| {
            let problem = CliError::caused(format!("cannot write {}", path.display()), &error);
            let done: Vec<_> = rewrites.values().take(at).map(|rewrite| shown(&rewrite.path)).collect();
            if done.is_empty() { problem } else { problem.hint(format!("already written: {}", done.join(", "))) }
        })?;
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn text(report: &Report) -> String {
    if report.pins.is_empty() {
        return String::new();
    }
    let short = |version: &Version| {
        let tag = version.tag.as_ref().map(Tag::as_str).unwrap_or_default();
        let digest = version.digest.as_ref().map(Digest::short).map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{tag}{digest}")
    };
    let row = |changed: &Changed| {
        vec![changed.pin.place(), changed.pin.image.clone(), short(&changed.from), short(&changed.to)]
    };
    table(&["PLACE", "IMAGE", "FROM", "TO"], report.pins.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::{setting, split};
    use crate::model::{ImageName, Tag};

    #[test]
    fn settings_are_read_as_kustomize_users_write_them() {
        let hex = "a".repeat(64);
        for (what, rename, tag, digest) in [
            (":1.4.0".to_owned(), None, Some("1.4.0"), false),
            (format!(":1.4.0@sha256:{hex}"), None, Some("1.4.0"), true),
            (format!("@sha256:{hex}"), None, None, true),
            ("ghcr.io/acme/web:2".to_owned(), None, Some("2"), false),
            ("ghcr.io/acme/other:2".to_owned(), Some("ghcr.io/acme/other"), Some("2"), false),
            ("bitnami/web".to_owned(), Some("bitnami/web"), None, false),
            ("localhost:5000/web".to_owned(), Some("localhost:5000/web"), None, false),
        ] {
            let setting = setting(ImageName::parse("ghcr.io/acme/web").unwrap(), &what, &what).unwrap();
            assert_eq!(setting.rename.as_deref(), rename, "{what}");
            assert_eq!(setting.to.tag.as_ref().map(Tag::as_str), tag, "{what}");
            assert_eq!(setting.to.digest.is_some(), digest, "{what}");
        }
        let chart = || ImageName::parse("oci://ghcr.io/acme/web").unwrap();
        let to = setting(chart(), ":1.4.0+up2", "").unwrap();
        assert_eq!((to.to.to_string().as_str(), to.rename), ("1.4.0+up2", None));
        for what in ["", ":", "1.4.0", "oci://ghcr.io/acme/api:1.0.0", ":1.0.0@x"] {
            assert!(setting(chart(), what, what).is_err(), "{what}");
        }
        for what in ["", "1.4.0", "v2", ":", ":-x", ":1.4.0+up2", "@sha256:abc", "UPPER/x:1", "ghcr.io/acme/web"] {
            assert!(setting(ImageName::parse("ghcr.io/acme/web").unwrap(), what, what).is_err(), "{what}");
        }
    }

    #[test]
    fn paths_and_settings_are_told_apart() {
        let split = |arguments: &[&str]| split(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
        let (paths, settings) = split(&["apps", "web=:1", "./a=b", "/x=y/z"]).unwrap();
        assert_eq!(paths.len(), 3);
        assert_eq!(settings.len(), 1);
        assert!(split(&["apps"]).is_err());
        assert!(split(&["web=:1"]).is_err());
        assert!(split(&["apps", "web=:1", "docker.io/library/web=:2"]).is_err());
    }
}
