//! `landfall explain`: which policy applies to a file, and which line of which file says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::render::landings::{self, UpdateStatus};
use crate::config::{self, PolicySource, RepositorySettings};
use crate::message::{PolicyFieldText, policy_fields};
use crate::model::{ImageName, RepoPath, Tag, Tracked, TrackedThing};
use crate::overlay::{TreeScan, is_read};
use crate::policy::{Fields, PolicyMatch, PolicySet, SourceLocation};

use super::files::ScanTarget;
use super::policies::{self, POLICY_FOLDER};
use super::{CliError, Context, Exit, Output, Paint, bot, names, remote, report, settings, table};

/// Maximum number of places listed; the rest are counted.
const MAX_PLACES: usize = 10;

/// Arguments of `landfall explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall explain apps/web/overlays/prod/kustomization.yaml
  landfall explain apps/web/overlays/prod/kustomization.yaml ghcr.io/acme/web
  landfall explain apps/web             every image below a folder
  landfall explain web                  an app, or an image, wherever it is
  landfall explain --landing apps/web/overlays/prod

Without a configuration it works offline, in a checkout: it finds .landfall,
or takes --policies. A file need not exist.
Exit codes: 0 done · 1 no policy matches · 2 error")]
pub(in crate::cli) struct ExplainArgs {
    /// A file or folder, relative to the repository's root, or the name of an app or image.
    #[arg(value_name = "PATH|APP|IMAGE")]
    subject: String,
    /// Only this image. For a file with unknown images, policies that are for some images only count as matching.
    image: Option<String>,
    /// A policy file or a folder of them, instead of those in the configuration.
    #[arg(long, value_name = "FILE|DIR")]
    policies: Option<PathBuf>,
    /// The repository in the configuration, if there are several.
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Also show how far the images of this overlay have come; reads registries and clusters.
    #[arg(long, conflicts_with = "policies")]
    landing: bool,
}

/// The output of `explain` for several places: the first as if it were the only one, and all of them.
#[derive(Debug, Serialize)]
struct Places<'a> {
    #[serde(flatten)]
    first: Option<&'a Report>,
    subject: &'a str,
    places: &'a [Report],
}

/// The output of `explain` for one place.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    path: String,
    image: Option<String>,
    policy: Option<String>,
    write: &'static str,
    capped: Option<CappedReport>,
    /// Where a commit is asked for that is a pull request in a file of Terraform: file and line.
    #[serde(skip_serializing_if = "Option::is_none")]
    reviewed: Option<String>,
    app: Option<String>,
    environment: Option<String>,
    overlay: String,
    captures: BTreeMap<String, String>,
    /// Current tags that the policy would not choose, so that their updates are held.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    held: BTreeSet<Tag>,
    fields: Vec<FieldReport>,
    policies: Vec<PolicyReport>,
    /// With `--landing`: the rows of `landfall status` about this overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    landing: Option<Vec<UpdateStatus>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct CappedReport {
    asked: &'static str,
    paths: Vec<String>,
    file: String,
    line: usize,
    column: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FieldReport {
    name: &'static str,
    value: String,
    file: String,
    line: usize,
    column: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyReport {
    name: String,
    file: String,
    line: usize,
    matched: bool,
    reason: String,
}

/// Explains one place, or every place of a folder, app or image.
pub(super) fn run(args: &ExplainArgs, context: &Context) -> Result<Exit, CliError> {
    let subject = args.subject.trim_end_matches('/');
    // `.` is the folder in which the command runs: the repository's root where there is no other.
    let path = (subject != ".").then(|| RepoPath::parse(subject)).transpose();
    let path = path.map_err(|error| {
        CliError::caused("cannot explain this path", &error).hint("give the file's path from the repository's root")
    })?;
    if let Some(text) = &args.image {
        drop(ImageName::parse(text).map_err(|error| CliError::caused("cannot explain this image", &error))?);
    }
    let loaded = loaded(args, context)?;
    let known = known(args, loaded.as_ref(), context)?;
    let path = match path {
        Some(path) => Some(known.path(path)),
        None => RepoPath::parse(&known.below).ok(),
    };
    let targets = targets(args, path.as_ref(), &known)?;
    let mut reports: Vec<Report> = targets.iter().map(|target| report_of(&known.policies, target)).collect();
    if args.landing {
        add_landings(&mut reports, context)?;
    }
    let matched = reports.iter().any(|report| report.policy.is_some());
    match reports.as_slice() {
        [report] => context.output.data(report, |report| text(report, &context.output))?,
        places => {
            let places = Places { first: places.first(), subject: &args.subject, places };
            context.output.data(&places, |places| text_of_places(places, &context.output))?;
        }
    }
    Ok(if matched { Exit::Done } else { Exit::Negative })
}

/// Adds how far the images of the overlays have come.
fn add_landings(reports: &mut [Report], context: &Context) -> Result<(), CliError> {
    let loaded = settings::load(context)?;
    let status = bot::block_on(async { Ok(bot::status(&loaded).await?.0) })?;
    for report in reports {
        let about = |row: &&Tracked| {
            let image = report.image.as_ref().is_none_or(|image| row.image.to_string() == *image);
            row.overlay == report.overlay && row.thing == TrackedThing::Image && image
        };
        let rows = status.rows.iter().filter(about).map(|row| UpdateStatus::new(row.clone(), status.at));
        report.landing = Some(rows.collect());
    }
    Ok(())
}

/// The policies, and where the files are to which they apply.
struct Known<'a> {
    policies: PolicySet,
    files: Files<'a>,
    /// The folder, below the repository's root, in which the command runs.
    below: String,
}

/// Where pins are read when they are needed.
enum Files<'a> {
    /// They have been read with the policies.
    Read(TreeScan),
    /// In a checkout.
    Checkout(PathBuf),
    /// On the remote of a configured repository.
    Remote(&'a config::Settings, &'a RepositorySettings),
}

impl Known<'_> {
    /// A path from the repository's root; in a checkout it may be given relative to one of its folders.
    fn path(&self, path: RepoPath) -> RepoPath {
        let Files::Checkout(root) = &self.files else { return path };
        let here = RepoPath::parse(&format!("{}/{path}", self.below)).ok();
        here.filter(|here| root.join(here.as_str()).exists()).unwrap_or(path)
    }

    fn pins(&self) -> Result<Pins, CliError> {
        let named = |path: &RepoPath| self.policies.names_file(path);
        let of = |found: &TreeScan| {
            let mut pins = Pins::new();
            for pin in &found.pins {
                let tags = pins.entry((pin.path.clone(), pin.name.clone())).or_default();
                tags.extend(pin.version.tag.clone().filter(|tag| !tag.is_range()));
            }
            pins
        };
        Ok(match &self.files {
            Files::Read(found) => of(found),
            Files::Checkout(root) => of(&ScanTarget::scan_with(root, self.policies.key_paths(), &named)?.found),
            Files::Remote(settings, repository) => of(&remote::read(settings, repository)?.found),
        })
    }
}

/// The tags of the images in files.
type Pins = BTreeMap<(RepoPath, ImageName), BTreeSet<Tag>>;

/// What to explain: a place with its image and the tags that it has there.
type Target = (RepoPath, Option<ImageName>, BTreeSet<Tag>);

/// The places that a name refers to: a file, a folder (the repository's root without one), an app or an image.
fn targets(args: &ExplainArgs, path: Option<&RepoPath>, known: &Known<'_>) -> Result<Vec<Target>, CliError> {
    let image = args.image.as_deref();
    let wanted = |name: &ImageName| image.is_none_or(|image| name.is_called(image));
    if let Some(path) = path.filter(|path| is_read(&known.policies.key_paths(), path)) {
        let given = || image.and_then(|image| ImageName::parse(image).ok());
        // For a file on a remote there is no need to read the other files.
        let pins = if let Files::Remote(..) = known.files { Pins::new() } else { known.pins()? };
        let own = pins.into_iter().filter(|((file, name), _)| file == path && wanted(name));
        let own: Vec<Target> = own.map(|((file, image), tags)| (file, Some(image), tags)).collect();
        return Ok(if own.is_empty() { vec![(path.clone(), given(), BTreeSet::new())] } else { own });
    }
    let pins = known.pins()?;
    let app = |(path, image): &(RepoPath, ImageName)| known.policies.effective(path, image).app;
    let below = path.map_or_else(String::new, |path| format!("{path}/"));
    let is_below = |file: &RepoPath| file.as_str().starts_with(&below);
    let all = |about: &dyn Fn(&(RepoPath, ImageName)) -> bool| -> Vec<Target> {
        let found = pins.iter().filter(|(pin, _)| wanted(&pin.1) && about(pin));
        found.map(|((path, image), tags)| (path.clone(), Some(image.clone()), tags.clone())).collect()
    };
    let meanings = [
        all(&|pin| is_below(&pin.0)),
        all(&|pin| app(pin) == args.subject),
        all(&|pin| pin.1.is_called(&args.subject)),
    ];
    if let Some(found) = meanings.into_iter().find(|found| !found.is_empty()) {
        return Ok(found);
    }
    let mut names: Vec<String> = pins.keys().map(app).collect();
    names.extend(pins.keys().map(|(_, image)| image.short().to_owned()));
    Err(names::unknown("file, folder, app or image", &args.subject, names.iter().map(String::as_str)))
}

/// The policies of a configured repository at the tip of its branch.
fn from_remote<'a>(
    loaded: &'a config::Loaded,
    repository: &'a RepositorySettings,
    path: &str,
    context: &Context,
) -> Result<Known<'a>, CliError> {
    let hint = format!("in a checkout, use --policies {path}");
    let read = remote::read(&loaded.settings, repository).map_err(|error| error.hint(hint))?;
    for problem in &read.problems {
        let place = problem.path.as_deref().unwrap_or(path);
        context.output.message(&format!("{place}:{}: {}", problem.line.unwrap_or(1), problem.message));
    }
    match read.problems.is_empty() {
        true => Ok(Known { policies: read.policies, files: Files::Read(read.found), below: String::new() }),
        false => Err(CliError::new("the policies have errors").hint("correct them; `landfall check` shows them again")),
    }
}

/// The configuration, if one is given or in its usual place.
fn loaded(args: &ExplainArgs, context: &Context) -> Result<Option<config::Loaded>, CliError> {
    let config = context.config.clone().or_else(|| match args.policies {
        Some(_) => None,
        None => config::default_path(Path::new("")),
    });
    config.map(|path| config::load(&path)).transpose().map_err(|error| policies::failed(&error, context))
}

/// The policies that were given, otherwise those of the configuration's repository with its caps, otherwise those of
/// the surrounding checkout.
fn known<'a>(args: &ExplainArgs, loaded: Option<&'a config::Loaded>, context: &Context) -> Result<Known<'a>, CliError> {
    let chosen = match loaded {
        Some(loaded) => Some((loaded, choose(&loaded.settings.repositories, args.repository.as_deref())?)),
        None => None,
    };
    let (place, files, below) = match (&args.policies, chosen) {
        (Some(path), _) => (path.clone(), Files::Checkout(policies::checkout_of(path)), String::new()),
        (None, Some((loaded, repository))) => match &repository.policies {
            PolicySource::File(path) => (path.clone(), Files::Remote(&loaded.settings, repository), String::new()),
            PolicySource::InRepository { path } => return from_remote(loaded, repository, path.as_str(), context),
        },
        (None, None) => {
            let (root, below) = checkout()?;
            (root.join(POLICY_FOLDER), Files::Checkout(root), below)
        }
    };
    let set = policies::read(&place, chosen.map(|(_, repository)| repository), context)?;
    Ok(Known { policies: set, files, below })
}

/// The nearest parent folder with policies, and our position in it.
fn checkout() -> Result<(PathBuf, String), CliError> {
    policies::checkout_around(Path::new(""))?.ok_or_else(|| {
        CliError::new(format!("there is no configuration, and no {POLICY_FOLDER} in this folder or above it"))
            .hint("name policy files with --policies, or a configuration with --config")
    })
}

fn choose<'a>(all: &'a [RepositorySettings], name: Option<&str>) -> Result<&'a RepositorySettings, CliError> {
    let wanted = names::chosen(name, all.iter().map(|repository| repository.name.as_str()))?;
    let found = all.iter().find(|repository| repository.name == wanted);
    found.ok_or_else(|| names::unknown("repository", wanted, all.iter().map(|repository| repository.name.as_str())))
}

fn report_of(set: &PolicySet, (path, image, tags): &Target) -> Report {
    let image = image.as_ref();
    let effective = set.effective_for(path, image);
    let policies = set.verdicts(path, image).into_iter().map(|(policy, verdict)| {
        let (matched, reason) = match verdict {
            PolicyMatch::Matched { pattern } if image.is_none() && !policy.images.is_empty() => {
                (true, format!("path matches {pattern}; only for some images"))
            }
            PolicyMatch::Matched { pattern } => (true, format!("path matches {pattern}")),
            PolicyMatch::OtherPath => (false, "no path matches".to_owned()),
            PolicyMatch::OtherImage => (false, "the path matches, but no image pattern".to_owned()),
        };
        let SourceLocation { file, line, .. } = policy.name.origin.clone();
        PolicyReport { name: policy.name.value.clone(), file, line, matched, reason }
    });
    let policies = policies.collect();
    let capped = effective.capped.as_ref().map(|capped| CappedReport {
        asked: capped.asked.as_str(),
        paths: capped.paths.clone(),
        file: capped.cap.file.clone(),
        line: capped.cap.line,
        column: capped.cap.column,
    });
    Report {
        path: path.to_string(),
        image: image.map(ToString::to_string),
        write: effective.write.as_str(),
        capped,
        held: tags.iter().filter(|tag| config::passing_over(&effective, tag).is_some()).cloned().collect(),
        reviewed: effective.reviewed.as_ref().map(|it| format!("{}:{}", it.file, it.line)),
        fields: field_reports(&effective.fields),
        policies,
        app: Some(effective.app.clone()).filter(|app| !app.is_empty()),
        policy: effective.policy,
        environment: effective.environment,
        overlay: effective.overlay,
        captures: effective.captures,
        landing: None,
    }
}

fn field_reports(fields: &Fields) -> Vec<FieldReport> {
    let report = |field: PolicyFieldText<'_>| {
        let SourceLocation { file, line, column } = field.origin.clone();
        FieldReport { name: field.name, value: field.value, file, line, column }
    };
    policy_fields(fields).into_iter().map(report).collect()
}

fn text(report: &Report, output: &Output) -> String {
    let title = match &report.image {
        Some(image) => format!("{} ({image})", report.path),
        None => report.path.clone(),
    };
    let mut text = format!("{}\n", output.paint(Paint::Bold, &title));
    let none = || "-".to_owned();
    text.push_str(&facts(&[
        ("policy", report.policy.clone().unwrap_or_else(none)),
        ("write", write_of(report)),
        ("app", report.app.clone().unwrap_or_else(none)),
        ("environment", report.environment.clone().unwrap_or_else(none)),
        ("overlay", report.overlay.clone()),
    ]));
    text.push_str(&held(report));
    text.push_str(&tables(report));
    for row in report.landing.iter().flatten() {
        text.push_str(&format!("\n{}", landings::detail(row, output)));
    }
    if report.landing.as_ref().is_some_and(Vec::is_empty) {
        text.push_str("\nno tracked image is declared here\n");
    }
    text
}

/// Several places: those with the same policy for the same reasons are grouped.
fn text_of_places(report: &Places<'_>, output: &Output) -> String {
    let mut groups: Vec<Vec<&Report>> = Vec::new();
    for place in report.places {
        let same = |other: &Report| {
            (&other.policy, other.write, &other.capped, &other.environment, &other.held)
                == (&place.policy, place.write, &place.capped, &place.environment, &place.held)
                && other.fields == place.fields
                && other.policies == place.policies
        };
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| same(first))) {
            Some(group) => group.push(place),
            None => groups.push(vec![place]),
        }
    }
    let mut text = String::new();
    for group in &groups {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&group_text(group, output));
    }
    text
}

/// Places that differ only in file, image and app.
fn group_text(group: &[&Report], output: &Output) -> String {
    let [first, _, ..] = group else { return group.first().map_or_else(String::new, |only| text(only, output)) };
    let mut text = String::new();
    for place in group.iter().take(MAX_PLACES) {
        let image = place.image.as_deref().unwrap_or("any image");
        text.push_str(&format!("{} ({image})\n", output.paint(Paint::Bold, &place.path)));
    }
    if let Some(more) = group.len().checked_sub(MAX_PLACES).filter(|more| *more > 0) {
        text.push_str(&format!("and {more} more; -o json lists all\n"));
    }
    let apps: BTreeSet<&str> = group.iter().filter_map(|place| place.app.as_deref()).collect();
    let none = || "-".to_owned();
    text.push_str(&facts(&[
        ("policy", first.policy.clone().unwrap_or_else(none)),
        ("write", write_of(first)),
        ("apps", report::some_of(apps.into_iter().collect())),
        ("environment", first.environment.clone().unwrap_or_else(none)),
    ]));
    text.push_str(&held(first));
    text.push_str(&tables(first));
    for row in group.iter().filter_map(|place| place.landing.as_ref()).flatten() {
        text.push_str(&format!("\n{}", landings::detail(row, output)));
    }
    text
}

fn write_of(report: &Report) -> String {
    match &report.capped {
        Some(capped) => {
            let place = format!("{}:{}", capped.file, capped.line);
            let paths = capped.paths.join(", ");
            format!("{} (asked for {}, capped for {paths} at {place})", report.write, capped.asked)
        }
        None if let Some(place) = &report.reviewed => {
            let word = "as Terraform's changes are reviewed unless `paths` name its files, such as `infra/**/*.tf`";
            format!("{} (asked for commit at {place}; {word})", report.write)
        }
        None if report.policy.is_none() => format!("{} (no policy matches)", report.write),
        None => report.write.to_owned(),
    }
}

/// The current tags that are waited for to be adopted.
fn held(report: &Report) -> String {
    let tags: Vec<&str> = report.held.iter().map(Tag::as_str).collect();
    let (is, it) = match tags.as_slice() {
        [] => return String::new(),
        [_] => ("is no tag", "its"),
        _ => ("are no tags", "their"),
    };
    let tags = report::some_of(tags);
    let why = format!("{tags} {is} that this policy would choose, so {it} updates are held");
    format!(
        "{}{:15}set `adopt: true` in the policy to take what it chooses, or write the first version by hand\n",
        facts(&[("held", why)]),
        ""
    )
}

fn facts(facts: &[(&str, String)]) -> String {
    facts.iter().map(|(name, value)| format!("  {name:<12} {value}\n")).collect()
}

/// The effective fields and the policies, each with its place.
fn tables(report: &Report) -> String {
    let mut text = String::new();
    if !report.fields.is_empty() {
        let rows = report
            .fields
            .iter()
            .map(|field| vec![field.name.to_owned(), field.value.clone(), format!("{}:{}", field.file, field.line)]);
        text.push_str(&format!("\n{}", table(&["FIELD", "VALUE", "FROM"], rows)));
    }
    if !report.policies.is_empty() {
        let rows = report.policies.iter().map(|policy| {
            let applies = if policy.matched { "yes" } else { "no" };
            let place = format!("{}:{}", policy.file, policy.line);
            vec![policy.name.clone(), applies.to_owned(), policy.reason.clone(), place]
        });
        text.push_str(&format!("\n{}", table(&["POLICY", "APPLIES", "WHY", "FROM"], rows)));
    }
    text
}
