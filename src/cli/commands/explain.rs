//! `landfall explain`: which policy is in force for a file, and which line of which file says so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::config::{self, PolicySource, RepositorySettings, load};
use crate::model::{ImageName, RepoPath, Tracked};
use crate::policy::{
    Fields, PolicyMatch, PolicySet, PromoteFrom, Rollback, SourceLocation, Sourced, Window, WindowKind,
};
use crate::select::{Direction, Order, TagPolicy};

use super::status::{self, UpdateStatus};
use super::{CliError, Context, Exit, Output, Paint, bot, remote, settings, table};

/// Arguments of `landfall explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall explain apps/web/overlays/prod/kustomization.yaml
  landfall explain apps/web/overlays/prod/kustomization.yaml ghcr.io/acme/web
  landfall explain --landing apps/web/overlays/prod/kustomization.yaml
  landfall explain --policies .landfall apps/web/overlays/prod/kustomization.yaml

The last example works offline, in a checkout. The file need not exist.
Exit codes: 0 done · 1 no policy matches · 2 error")]
pub(in crate::cli) struct ExplainArgs {
    /// The file, relative to the repository's root.
    path: String,
    /// The image; without it, policies for some images only count as matching.
    image: Option<String>,
    /// A policy file or a folder of them, in place of the configuration's.
    #[arg(long, value_name = "FILE|DIR")]
    policies: Option<PathBuf>,
    /// The repository of the configuration, where there are several.
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Also say how far what this overlay declares has come; asks registries and clusters.
    #[arg(long, conflicts_with = "policies")]
    landing: bool,
}

/// What `explain` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    path: String,
    image: Option<String>,
    policy: Option<String>,
    write: &'static str,
    capped: Option<CappedReport>,
    app: Option<String>,
    environment: Option<String>,
    overlay: String,
    captures: BTreeMap<String, String>,
    fields: Vec<FieldReport>,
    policies: Vec<PolicyReport>,
    /// With `--landing`: the rows of `landfall status` about this overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    landing: Option<Vec<UpdateStatus>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CappedReport {
    asked: &'static str,
    paths: Vec<String>,
    file: String,
    line: usize,
    column: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FieldReport {
    name: &'static str,
    value: String,
    file: String,
    line: usize,
    column: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyReport {
    name: String,
    file: String,
    line: usize,
    matched: bool,
    reason: String,
}

/// Explains one path.
pub(super) fn run(args: &ExplainArgs, context: &Context) -> Result<Exit, CliError> {
    let path = RepoPath::parse(&args.path).map_err(|error| {
        CliError::caused("cannot explain this path", &error).hint("give the file's path from the repository's root")
    })?;
    let image = match &args.image {
        None => None,
        Some(text) => {
            Some(ImageName::parse(text).map_err(|error| CliError::caused("cannot explain this image", &error))?)
        }
    };
    let set = policies(args, context)?;
    let mut report = report(&set, &path, image.as_ref());
    if args.landing {
        report.landing = Some(landing(&report.overlay, image.as_ref(), context)?);
    }
    context.output.data(&report, |report| text(report, &context.output))?;
    Ok(if report.policy.is_some() { Exit::Done } else { Exit::Negative })
}

/// How far what an overlay declares has come.
fn landing(overlay: &str, image: Option<&ImageName>, context: &Context) -> Result<Vec<UpdateStatus>, CliError> {
    let loaded = settings::load(context)?;
    let status = bot::block_on(bot::status(&loaded))?;
    let about = |row: &&Tracked| row.overlay == overlay && image.is_none_or(|image| row.image == *image);
    Ok(status.rows.iter().filter(about).map(|row| UpdateStatus::new(row.clone(), status.at)).collect())
}

/// The policies of a configured repository at the tip of its branch.
fn from_remote(
    loaded: Option<&config::Loaded>,
    repository: Option<&RepositorySettings>,
    path: &str,
    context: &Context,
) -> Result<PolicySet, CliError> {
    let (Some(loaded), Some(repository)) = (loaded, repository) else {
        return Err(CliError::new("there is no configuration").hint("name policy files with --policies"));
    };
    let hint = format!("in a checkout, say --policies {path}");
    let read = remote::read(&loaded.settings, repository).map_err(|error| error.hint(hint))?;
    for problem in &read.problems {
        let place = problem.path.as_deref().unwrap_or(path);
        context.output.message(&format!("{place}:{}: {}", problem.line.unwrap_or(1), problem.message));
    }
    match read.problems.is_empty() {
        true => Ok(read.policies),
        false => Err(CliError::new("the policies have errors").hint("correct them; `landfall check` shows them again")),
    }
}

/// The policies that were named, or those of the configuration's repository; under its caps where there is one.
fn policies(args: &ExplainArgs, context: &Context) -> Result<PolicySet, CliError> {
    let config = context.config.clone().or_else(|| match args.policies {
        Some(_) => None,
        None => config::default_path(std::path::Path::new("")),
    });
    let loaded = config.map(|path| config::load(&path)).transpose().map_err(|error| failed(&error, context))?;
    let repository = match &loaded {
        Some(loaded) => Some(choose(&loaded.settings.repositories, args.repository.as_deref())?),
        None => None,
    };
    let place = match (&args.policies, repository.map(|repository| &repository.policies)) {
        (Some(path), _) | (None, Some(PolicySource::File(path))) => path.clone(),
        (None, Some(PolicySource::InRepository { path })) => {
            return from_remote(loaded.as_ref(), repository, path.as_str(), context);
        }
        (None, None) => {
            return Err(CliError::new("there is no configuration and no --policies")
                .hint("name policy files with --policies, or a configuration with --config"));
        }
    };
    let files = load::policy_files(&place).map_err(|error| failed(&error, context))?;
    let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let (policies, diagnostics) = config::parse_policy_files(texts.clone());
    if !diagnostics.is_empty() {
        for diagnostic in &diagnostics {
            let source = texts.clone().find(|(name, _)| *name == diagnostic.file).map(|(_, text)| text);
            context.output.message(&format!("{}\n", diagnostic.render(source, context.output.color())));
        }
        return Err(CliError::new("the policies have errors").hint("correct them; `landfall check` shows them again"));
    }
    let caps = repository.map(|repository| repository.caps.clone()).unwrap_or_default();
    Ok(PolicySet::new(policies).with_caps(caps))
}

fn failed(error: &config::ConfigError, context: &Context) -> CliError {
    if !error.diagnostics().is_empty() {
        context.output.message(&error.render(context.output.color()));
    }
    match std::error::Error::source(error) {
        Some(source) => CliError::caused(error.to_string(), source),
        None => CliError::new(error.to_string()),
    }
}

fn choose<'a>(repositories: &'a [RepositorySettings], name: Option<&str>) -> Result<&'a RepositorySettings, CliError> {
    let names = || repositories.iter().map(|repository| repository.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, repositories) {
        (None, [only]) => Ok(only),
        (None, _) => Err(CliError::new("the configuration has several repositories")
            .hint(format!("choose one with --repository: {}", names()))),
        (Some(name), _) => repositories.iter().find(|repository| repository.name == name).ok_or_else(|| {
            CliError::new(format!("no repository is named `{name}`")).hint(format!("there are {}", names()))
        }),
    }
}

fn report(set: &PolicySet, path: &RepoPath, image: Option<&ImageName>) -> Report {
    let effective = set.effective_for(path, image);
    let policies = set.verdicts(path, image).into_iter().map(|(policy, verdict)| {
        let (matched, reason) = match verdict {
            PolicyMatch::Matched { pattern } if image.is_none() && !policy.images.is_empty() => {
                (true, format!("path matches {pattern}; for some images only"))
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
    let mut rows = Vec::new();
    let mut row = |name: &'static str, value: Option<(String, &SourceLocation)>| {
        if let Some((value, origin)) = value {
            let SourceLocation { file, line, column } = origin.clone();
            rows.push(FieldReport { name, value, file, line, column });
        }
    };
    row("environment", shown(fields.environment.as_ref(), String::clone));
    row("write", shown(fields.write.as_ref(), ToString::to_string));
    row("branch", shown(fields.branch.as_ref(), ToString::to_string));
    row("tags", shown(fields.tags.as_ref(), tags));
    row("tags.platforms", shown(fields.platforms.as_ref(), |platforms| platforms.join(", ")));
    row("adopt", shown(fields.adopt.as_ref(), ToString::to_string));
    row("pin", shown(fields.pin.as_ref(), |pin| pin.as_str().to_owned()));
    row("group", shown(fields.group.as_ref(), |group| group.as_str().to_owned()));
    row("landWithin", shown(fields.land_within.as_ref(), duration));
    row("reviewWithin", shown(fields.review_within.as_ref(), duration));
    row("minimumReleaseAge", shown(fields.minimum_release_age.as_ref(), duration));
    row("windows", shown(fields.windows.as_ref(), |windows| windows.iter().map(window).collect::<Vec<_>>().join("; ")));
    for cap in &fields.cap_windows {
        row("windows of a cap", shown(Some(cap), |windows| windows.iter().map(window).collect::<Vec<_>>().join("; ")));
    }
    row("promoteFrom", shown(fields.promote_from.as_ref(), promotion));
    row("rate", shown(fields.rate.as_ref(), |rate| format!("{} in {}", rate.updates, duration(&rate.per))));
    row("debounce", shown(fields.debounce.as_ref(), duration));
    row("resume", shown(fields.resume.as_ref(), |resume| resume.as_str().to_owned()));
    row("rollback", shown(fields.rollback.as_ref(), rollback));
    let pull = &fields.pull_request;
    row("pullRequest.reviewers", shown(pull.reviewers.as_ref(), |reviewers| reviewers.join(", ")));
    row("pullRequest.labels", shown(pull.labels.as_ref(), |labels| labels.join(", ")));
    row("pullRequest.draft", shown(pull.draft.as_ref(), ToString::to_string));
    row("pullRequest.group", shown(pull.group.as_ref(), |group| group.as_str().to_owned()));
    row("pullRequest.automerge", shown(pull.automerge.as_ref(), ToString::to_string));
    row("pullRequest.mergeMethod", shown(pull.merge_method.as_ref(), ToString::to_string));
    row("pullRequest.approvals", shown(pull.approvals.as_ref(), ToString::to_string));
    row("pullRequest.approvalLabel", shown(pull.approval_label.as_ref(), String::clone));
    row("pullRequest.checks", shown(pull.checks.as_ref(), |checks| checks.join(", ")));
    row("pullRequest.limit", shown(pull.limit.as_ref(), ToString::to_string));
    row("pullRequest.remindAfter", shown(pull.remind_after.as_ref(), duration));
    row("pullRequest.codeOwners", shown(pull.code_owners.as_ref(), ToString::to_string));
    rows
}

fn shown<T>(field: Option<&Sourced<T>>, show: impl Fn(&T) -> String) -> Option<(String, &SourceLocation)> {
    field.map(|sourced| (show(&sourced.value), &sourced.origin))
}

fn tags(tags: &TagPolicy) -> String {
    let direction = |direction: &Direction| match direction {
        Direction::Ascending => "asc",
        Direction::Descending => "desc",
    };
    let mut parts = vec![match &tags.order {
        Order::Semver(range) => format!("semver {}", range.as_str()),
        Order::Alphabetical(order) => format!("alphabetical {}", direction(order)),
        Order::Numerical(order) => format!("numerical {}", direction(order)),
        Order::NewestBuild => "newestBuild".to_owned(),
        Order::Digest => "digest".to_owned(),
        Order::Shape => "by the current tag's shape".to_owned(),
    }];
    if let Some(filter) = &tags.filter {
        parts.push(format!("filter {}", filter.pattern()));
        parts.extend(filter.extract().map(|extract| format!("extract {extract}")));
    }
    parts.extend(tags.ignore.iter().map(|glob| format!("ignore {}", glob.as_str())));
    if tags.prereleases {
        parts.push("prereleases".to_owned());
    }
    parts.join(", ")
}

fn rollback(rollback: &Rollback) -> String {
    let write = rollback.write.map_or(String::new(), |write| format!(", written as {write}"));
    format!("after {}{write}", duration(&rollback.after))
}

fn promotion(from: &PromoteFrom) -> String {
    let mut text = format!("{} from {}", from.require.as_str(), from.upstream());
    if !from.soak_time.is_zero() {
        text.push_str(&format!(" for {}", duration(&from.soak_time)));
    }
    if !from.after.is_empty() {
        text.push_str(&format!(", after {}", from.after.join(", ")));
        if !from.after_soak_time.is_zero() {
            text.push_str(&format!(" for {}", duration(&from.after_soak_time)));
        }
    }
    if !from.checks.is_empty() {
        text.push_str(&format!(", with the checks {}", from.checks.join(", ")));
    }
    text
}

fn window(window: &Window) -> String {
    let kind = match window.kind {
        WindowKind::Allow => "",
        WindowKind::Deny => "not ",
    };
    format!("{kind}{} for {} ({})", window.opens.as_str(), duration(&window.duration), window.opens.time_zone())
}

/// A duration as it is written in policies.
fn duration(duration: &Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= seconds {
            text.push_str(&format!("{}{unit}", rest / seconds));
            rest %= seconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn text(report: &Report, output: &Output) -> String {
    let none = || "-".to_owned();
    let mut write = report.write.to_owned();
    if let Some(capped) = &report.capped {
        let place = format!("{}:{}", capped.file, capped.line);
        write = format!("{write} (asked for {}, capped for {} at {place})", capped.asked, capped.paths.join(", "));
    } else if report.policy.is_none() {
        write.push_str(" (no policy matches)");
    }
    let facts = [
        ("policy", report.policy.clone().unwrap_or_else(none)),
        ("write", write),
        ("app", report.app.clone().unwrap_or_else(none)),
        ("environment", report.environment.clone().unwrap_or_else(none)),
        ("overlay", report.overlay.clone()),
    ];
    let mut text = format!("{}\n", output.paint(Paint::Bold, &report.path));
    for (name, value) in facts {
        text.push_str(&format!("  {name:<12} {value}\n"));
    }
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
    for row in report.landing.iter().flatten() {
        text.push_str(&format!("\n{}", status::detail(row, output)));
    }
    if report.landing.as_ref().is_some_and(Vec::is_empty) {
        text.push_str("\nnothing is declared here that is tracked\n");
    }
    text
}
