//! `landfall check`: are the files valid, and do they do what was intended?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{
    self, ConfigError, DecisionKind, Diagnostic, FileKind, OwnBranch, PolicySelection, PolicySource,
    RepositorySettings, Settings, load,
};
use crate::daemon::{self, Clock, SetupError};
use crate::forge::Feature;
use crate::git::RemoteUrl;
use crate::overlay::TreeScan;
use crate::policy::{Cap, PolicySet, PullRequestFields, SourceLocation, Write};

use super::files::ScanTarget;
use super::policies::POLICY_FOLDER;
use super::{CliError, Context, Exit, Output, Paint, remote, report, table};

/// Arguments of `landfall check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall check              the configuration, and its local repositories
  landfall check --remote     and its other repositories, read from their remotes
  landfall check policies/    a folder of policy files
  landfall check .            a checkout: its .landfall/, and what it matches

Exit codes:
  0 no errors (--strict: nor warnings) · 1 errors · 2 a file cannot be read")]
pub(in crate::cli) struct CheckArgs {
    /// Configurations, policy files, folders of policy files, or checkouts of GitOps repositories; none: the
    /// configuration.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Treat warnings as errors.
    #[arg(long)]
    strict: bool,
    /// Read the configuration's repositories, too: their policies, and what these match. Repositories on this machine
    /// are always read.
    #[arg(long)]
    remote: bool,
}

/// The output of `check`.
#[derive(Debug, Default, Serialize)]
struct Report {
    diagnostics: Vec<Diagnostic>,
    /// What each policy selects, if files with images were available.
    policies: Vec<PolicySelection>,
    /// The texts of the files, for displaying lines.
    #[serde(skip)]
    texts: BTreeMap<String, String>,
    #[serde(skip)]
    files: usize,
}

/// Checks everything that was given.
pub(super) fn run(args: &CheckArgs, context: &Context) -> Result<Exit, CliError> {
    let mut report = Report::default();
    let mut settings = None;
    if context.config.is_some() || args.paths.is_empty() {
        settings = report.config(&config_path(context)?)?;
    }
    if let Some(settings) = &settings {
        for repository in &settings.repositories {
            report.repository(settings, repository, args.remote, context);
        }
    }
    for path in &args.paths {
        report.path(path, settings.as_ref())?;
    }
    context.output.data(&report, |report| report.text(&context.output))?;
    let counts = |diagnostic: &Diagnostic| args.strict || diagnostic.is_error();
    Ok(if report.diagnostics.iter().any(counts) { Exit::Negative } else { Exit::Done })
}

/// `--config`, otherwise the default files.
fn config_path(context: &Context) -> Result<PathBuf, CliError> {
    context.config.clone().or_else(|| config::default_path(Path::new(""))).ok_or_else(|| {
        CliError::new(format!("there is no configuration: neither {} exists", load::DEFAULT_PATHS.join(" nor ")))
            .hint("give one with --config FILE, or name the files to check")
    })
}

/// A file that cannot be read ends the command, because `check` cannot say anything about it.
fn unreadable(error: &ConfigError) -> CliError {
    let source = std::error::Error::source(error);
    match source {
        Some(source) => CliError::caused(error.to_string(), source),
        None => CliError::new(error.to_string()),
    }
}

impl Report {
    fn config(&mut self, path: &Path) -> Result<Option<Settings>, CliError> {
        self.files += 1;
        let name = path.to_string_lossy().into_owned();
        match config::load(path) {
            Ok(loaded) => {
                self.texts.insert(name, loaded.text);
                self.diagnostics.extend(loaded.diagnostics);
                for repository in &loaded.settings.repositories {
                    if let PolicySource::File(path) = &repository.policies {
                        drop(self.policies(path, Some(repository))?);
                    }
                }
                self.webhook_secrets(path, &loaded.settings);
                Ok(Some(loaded.settings))
            }
            Err(ConfigError::Invalid { text, diagnostics, .. }) => {
                self.texts.insert(name, text);
                self.diagnostics.extend(diagnostics);
                Ok(None)
            }
            Err(error) => Err(unreadable(&error)),
        }
    }

    /// Secrets of webhooks that can be read here and cannot be used.
    fn webhook_secrets(&mut self, path: &Path, settings: &Settings) {
        let file = path.to_string_lossy().into_owned();
        let environment = super::settings::environment();
        for source in settings.server.iter().flat_map(|server| &server.webhooks) {
            let Err(error @ SetupError::Webhook { .. }) = daemon::webhook_source(source, &environment) else {
                continue;
            };
            let text = self.texts.get(&file).map_or("", String::as_str);
            let named = text.lines().position(|line| line.contains(&format!("name: {}", source.name)));
            let place = SourceLocation { file: file.clone(), line: named.map_or(1, |at| at + 1), column: 1 };
            let why = std::error::Error::source(&error).map_or(String::new(), |why| format!(": {why}"));
            self.diagnostics.push(Diagnostic::error(&place, format!("{error}{why}")));
        }
    }

    /// A configured repository at the tip of its branch. If it cannot be read, that is an error if it was requested,
    /// otherwise a warning: the files are still valid.
    fn repository(&mut self, settings: &Settings, repository: &RepositorySettings, asked: bool, context: &Context) {
        let here = RemoteUrl::parse(&repository.url).is_ok_and(|url| url.as_path().is_some_and(|path| path.exists()));
        if !asked && !here {
            if let PolicySource::InRepository { path } = &repository.policies {
                let name = &repository.name;
                context.output.message(&format!(
                    "the policies of {name} are in its folder {path}: not checked here; --remote reads them, or check a checkout"
                ));
            }
            return;
        }
        let origin = SourceLocation { file: repository.url.clone(), line: 1, column: 1 };
        match remote::read(settings, repository) {
            Err(error) if asked => self.diagnostics.push(Diagnostic::error(&origin, error.in_one_line())),
            Err(error) => self.diagnostics.push(Diagnostic::warning(&origin, error.in_one_line())),
            Ok(read) => {
                for problem in &read.problems {
                    let file = problem.path.clone().unwrap_or_else(|| repository.url.clone());
                    let place = SourceLocation { file, line: problem.line.unwrap_or(1), column: 1 };
                    self.diagnostics.push(Diagnostic::error(&place, problem.message.clone()));
                }
                self.diagnostics.extend(read.decisions);
                if read.problems.is_empty() {
                    self.diagnostics.extend(config::policy_warnings(&read.policies));
                    self.diagnostics.extend(beyond_forge(repository, &read.policies));
                    self.coverage(&read.policies, &read.found);
                }
            }
        }
    }

    /// Warns about policies that match nothing, pins without a policy, and pins whose updates can only be held.
    fn coverage(&mut self, policies: &PolicySet, found: &TreeScan) {
        let pins: Vec<_> = found.pins.iter().map(|pin| (pin.path.clone(), pin.name.clone(), pin.line)).collect();
        self.diagnostics.extend(config::coverage(policies, &pins, &found.skipped));
        self.diagnostics.extend(config::held_for_adoption(policies, &found.pins));
        self.policies.extend(config::selections(policies, &pins));
    }

    fn path(&mut self, path: &Path, settings: Option<&Settings>) -> Result<(), CliError> {
        if path.is_dir() {
            return match has_policy_files(path)? {
                true => self.policies(path, None).map(drop),
                false => self.checkout(path, settings),
            };
        }
        let text = load::read_text(path).map_err(|error| unreadable(&error))?;
        let named = path.file_name().is_some_and(|name| name == "landfall.yaml" || name == "landfall.yml");
        match config::kind_of(&text) {
            Some(FileKind::Config) => self.config(path).map(drop),
            None if named => self.config(path).map(drop),
            _ => self.policies(path, None).map(drop),
        }
    }

    /// A checkout of a GitOps repository: its policies, under the caps of the configuration's only repository.
    fn checkout(&mut self, root: &Path, settings: Option<&Settings>) -> Result<(), CliError> {
        let repository = settings.and_then(|settings| match settings.repositories.as_slice() {
            [only] => Some(only),
            _ => None,
        });
        let folder = match repository.map(|repository| &repository.policies) {
            Some(PolicySource::InRepository { path }) => root.join(path.as_str()),
            Some(PolicySource::File(path)) => path.clone(),
            None => root.join(POLICY_FOLDER),
        };
        if !folder.exists() {
            let message =
                format!("{} is neither a folder of policy files nor a checkout with policies", root.display());
            return Err(CliError::new(message).hint(format!("policies of a checkout are in {}", folder.display())));
        }
        let Some(set) = self.policies(&folder, repository)? else { return Ok(()) };
        self.decisions(&folder)?;
        let target = ScanTarget::scan_with(root, set.key_paths(), &|path| set.names_file(path))?;
        self.coverage(&set, &target.found);
        Ok(())
    }

    /// The freezes and holds in a checkout.
    fn decisions(&mut self, folder: &Path) -> Result<(), CliError> {
        let now = Clock::system().now();
        for kind in DecisionKind::ALL {
            let place = folder.join(kind.folder());
            if !place.is_dir() {
                continue;
            }
            for (name, text) in load::policy_files(&place).map_err(|error| unreadable(&error))? {
                self.files += 1;
                match config::parse_decision(kind, &name, &text) {
                    Ok(decision) => {
                        // The environments are known only once the repository is read.
                        self.diagnostics.extend(config::decision_warning(&decision, &BTreeSet::new(), now));
                    }
                    Err(wrong) => self.diagnostics.extend(wrong),
                }
                self.texts.insert(name, text);
            }
        }
        Ok(())
    }

    /// Reads policy files; returns the policies if all of them are valid.
    fn policies(
        &mut self,
        path: &Path,
        repository: Option<&RepositorySettings>,
    ) -> Result<Option<PolicySet>, CliError> {
        let files = load::policy_files(path).map_err(|error| unreadable(&error))?;
        if files.is_empty() {
            return Err(CliError::new(format!("{} has no policy files (*.yaml or *.yml)", path.display())));
        }
        self.files += files.len();
        let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let (policies, diagnostics) = config::parse_policy_files(texts);
        let caps: Vec<Cap> = repository.map(|repository| repository.caps.clone()).unwrap_or_default();
        let beyond = |repository: &RepositorySettings| {
            let own = if repository.branch_given { OwnBranch::Known } else { OwnBranch::Assumed };
            repository.beyond_branches(&policies, own)
        };
        self.diagnostics.extend(repository.into_iter().flat_map(beyond));
        let by = repository.map(|repository| repository.policies.declared_by()).unwrap_or_default();
        let set = PolicySet::new(policies).with_caps(caps).declared_by(by);
        self.texts.extend(files);
        let valid = !diagnostics.iter().any(Diagnostic::is_error);
        self.diagnostics.extend(diagnostics);
        self.diagnostics.extend(config::policy_warnings(&set));
        self.diagnostics.extend(repository.into_iter().flat_map(|repository| beyond_forge(repository, &set)));
        Ok(valid.then_some(set))
    }

    fn text(&self, output: &Output) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            let source = self.texts.get(&diagnostic.file).map(String::as_str);
            text.push_str(&diagnostic.render(source, output.color()));
            text.push_str("\n\n");
        }
        if !self.policies.is_empty() {
            let rows = self.policies.iter().map(|policy| {
                let names = |names: &BTreeSet<String>| match names.is_empty() {
                    true => "-".to_owned(),
                    false => report::some_of(names.iter().map(String::as_str).collect()),
                };
                vec![
                    policy.policy.clone(),
                    names(&policy.write),
                    names(&policy.environments),
                    names(&policy.apps),
                    policy.images.to_string(),
                ]
            });
            text.push_str(&table(&["POLICY", "WRITE", "ENVIRONMENTS", "APPS", "IMAGES"], rows));
            text.push('\n');
        }
        let errors = self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        let warnings = self.diagnostics.len() - errors;
        let paint = match (errors, warnings) {
            (0, 0) => Paint::Good,
            (0, _) => Paint::Warn,
            _ => Paint::Bad,
        };
        let counted = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let summary = format!(
            "{}, {} in {}",
            counted(errors, "error"),
            counted(warnings, "warning"),
            counted(self.files, "file")
        );
        text.push_str(&output.paint(paint, &summary));
        text
    }
}

/// Whether a folder itself holds policy files.
fn has_policy_files(path: &Path) -> Result<bool, CliError> {
    let files = load::policy_files(path).map_err(|error| unreadable(&error))?;
    Ok(files.iter().any(|(_, text)| config::kind_of(text) == Some(FileKind::Policy)))
}

/// What policies ask for and the repository's forge has not.
fn beyond_forge(repository: &RepositorySettings, set: &PolicySet) -> Vec<Diagnostic> {
    let lacks = repository.forge.lacks().iter().flat_map(|feature| lacking(repository, set, *feature));
    without_forge(repository, set).into_iter().chain(unproved_approvals(repository, set)).chain(lacks).collect()
}

/// The first policy that uses each field for which this forge lacks the feature.
fn lacking(repository: &RepositorySettings, set: &PolicySet, feature: Feature) -> Vec<Diagnostic> {
    let mut told: BTreeMap<&str, Diagnostic> = BTreeMap::new();
    for policy in set.policies() {
        for Lack { field, origin, why, hint } in lacks_of(&policy.fields.pull_request, feature) {
            let warning = || {
                Diagnostic::warning(origin, format!("{field} on repository `{}`, {why}", repository.name))
                    .with_hint(hint)
            };
            told.entry(field).or_insert_with(warning);
        }
    }
    told.into_values().collect()
}

/// A field of a policy that a forge cannot do.
struct Lack<'p> {
    field: &'static str,
    origin: &'p SourceLocation,
    why: &'static str,
    hint: &'static str,
}

fn lacks_of(fields: &PullRequestFields, feature: Feature) -> Vec<Lack<'_>> {
    const UNSUPPORTED: &str = "but its forge does not support that";
    let lack = |field, origin, hint| Some(Lack { field, origin, why: UNSUPPORTED, hint });
    let automerge = fields.automerge.as_ref().filter(|automerge| automerge.value);
    let found = match feature {
        Feature::TeamReviewers => [
            fields.reviewers.as_ref().filter(|names| names.value.iter().any(|name| name.contains('/'))).and_then(|it| {
                lack("a team among `reviewers`", &it.origin, "name people: there, teams cannot be asked to review")
            }),
            None,
        ],
        Feature::Checks => [
            fields.checks.as_ref().and_then(|it| {
                lack("`checks`", &it.origin, "remove them: the bot never merges what waits for them")
            }),
            None,
        ],
        Feature::Comments => [
            fields.remind_after.as_ref().and_then(|it| {
                lack("`remindAfter`", &it.origin, "leave it out: there are no comments to remind anybody in")
            }),
            None,
        ],
        Feature::Labels => [
            fields.approval_label.as_ref().and_then(|it| {
                lack("`approvalLabel`", &it.origin, "remove it: the bot never merges what waits for a label")
            }),
            fields.labels.as_ref().filter(|labels| !labels.value.is_empty()).and_then(|it| {
                lack("`labels`", &it.origin, "leave them out: there, pull requests have no labels")
            }),
        ],
        Feature::MergeAtCommit => [
            automerge.map(|it| Lack {
                field: "`automerge`",
                origin: &it.origin,
                why: "whose kind of forge cannot be told which commit to merge",
                hint: "let only the bot push to its branches: a commit pushed during a merge is merged too, and is reported only afterwards",
            }),
            None,
        ],
        Feature::ApprovalsOfWriters => [
            fields.approvals.as_ref().filter(|it| it.value > 0 && automerge.is_some()).map(|it| Lack {
                field: "`approvals` with `automerge`",
                origin: &it.origin,
                why: "where whoever may contribute to pull requests may vote, Readers included unless denied",
                hint: "deny Readers `Contribute to pull requests`, or require reviewers by a policy of the branch, which the bot's merges obey",
            }),
            None,
        ],
    };
    found.into_iter().flatten().collect()
}

/// On the local forge, anybody with push access can write any name as an approval, so it does not prove a second
/// person.
fn unproved_approvals(repository: &RepositorySettings, set: &PolicySet) -> Option<Diagnostic> {
    if repository.forge.proves_approvals() {
        return None;
    }
    let asked = set.policies().iter().find_map(|policy| policy.fields.pull_request.approvals.as_ref());
    asked.filter(|approvals| approvals.value > 0).map(|approvals| {
        let message = format!(
            "`approvals` on repository `{}`, whose forge is local: anybody who may push can write any name there",
            repository.name
        );
        Diagnostic::warning(&approvals.origin, message)
            .with_hint("to prove a review by a second person, use a forge with accounts")
    })
}

/// A pull request needs a forge; without one the updates of such a policy can never be written.
fn without_forge(repository: &RepositorySettings, set: &PolicySet) -> Option<Diagnostic> {
    let asks = |write: Write| write == Write::PullRequest;
    let policy = set.policies().iter().find_map(|policy| policy.fields.write.as_ref().filter(|w| asks(w.value)))?;
    (!repository.forge.has_pulls()).then(|| {
        let message = format!("`write: pull-request`, but repository `{}` has no forge to create one", repository.name);
        Diagnostic::warning(&policy.origin, message)
            .with_hint("add `forge` to the repository; `{ kind: local }` needs no server")
    })
}
