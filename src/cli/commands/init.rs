//! `landfall init`: proposes a configuration and policies for a checkout, and shows what the first plan would be.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use serde::Serialize;
use tokio::time::Instant;

use crate::cluster;
use crate::config::decisions::duration;
use crate::config::{self, Loaded};
use crate::daemon::Clock;
use crate::git::{self, Checkout, Stamp};
use crate::init::{
    EnvironmentLayout, Fate as NoteFate, Host, Note, Origin, PoliciesAt, Proposal, Surroundings, TOOLS, Tool,
    Translation, propose,
};
use crate::model::{BranchName, Identity, Pin, RepoPath};
use crate::overlay::IGNORE_FILE;

use super::files::{ScanTarget, contents};
use super::report::Detail;
use super::{CliError, Context, Exit, Format, bot, report, settings, table};

/// The files that are written, below the checkout's top folder.
const CONFIG: &str = "landfall.yaml";
const FOLDER: &str = ".landfall";
const POLICIES: &str = ".landfall/policies.yaml";
/// The branch of the copy that the first plan is made for.
const BRANCH: &str = "main";

/// Arguments of `landfall init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall init                 in a checkout: write the files, and show the first plan
  landfall init --dry-run       print the files instead
  landfall init --no-plan       ask no registry
  landfall init --from flux     do what Flux image automation was told, and say what has no counterpart

It writes landfall.yaml, .landfall/policies.yaml and, where there is something to leave
alone, .landfallignore, and nothing else. A file that exists is never changed. Nothing
is committed or pushed.

Exit codes:
  0 done · 2 error, such as no image version in the checkout")]
pub(in crate::cli) struct InitArgs {
    /// A folder of the checkout.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// Print the files; write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Skip the first plan, which queries registries.
    #[arg(long)]
    no_plan: bool,
    /// Translate another tool's configuration and propose only that; settings without a counterpart are listed with their line.
    #[arg(long, value_name = "TOOL", value_parser = PossibleValuesParser::new(TOOLS.iter().map(possible)))]
    from: Option<String>,
    /// How long the first plan may wait for registries.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
}

fn possible(tool: &Tool) -> PossibleValue {
    PossibleValue::new(tool.name).help(tool.summary)
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Fate {
    /// It was written.
    Written,
    /// It exists, and stays as it is.
    Kept,
    /// It would be written.
    Proposed,
}

#[derive(Debug, Serialize)]
struct Report {
    root: String,
    environments: Vec<EnvironmentRow>,
    /// Pins outside of every environment.
    rest: usize,
    files: Vec<FileRow>,
    /// What another tool was told, line by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    translated: Vec<NoteRow>,
}

#[derive(Debug, Serialize)]
struct NoteRow {
    path: String,
    line: usize,
    what: String,
    /// The policy or field that it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    into: Option<String>,
    /// Why it has no counterpart.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<&Note> for NoteRow {
    fn from(note: &Note) -> Self {
        let (into, reason) = match &note.fate {
            NoteFate::Translated(into) => (Some(into.clone()), None),
            NoteFate::Left(reason) => (None, Some(reason.clone())),
        };
        Self { path: note.path.to_string(), line: note.line, what: note.what.clone(), into, reason }
    }
}

#[derive(Debug, Serialize)]
struct EnvironmentRow {
    name: String,
    paths: Vec<String>,
    pins: usize,
}

#[derive(Debug, Serialize)]
struct FileRow {
    path: &'static str,
    fate: Fate,
    text: String,
}

/// Proposes, writes, and plans.
pub(super) fn run(args: &InitArgs, context: &Context) -> Result<Exit, CliError> {
    let checkout = Checkout::find(&args.path)
        .map_err(|error| CliError::new(error.to_string()).hint("run it in a clone of the GitOps repository"))?;
    let target = ScanTarget::scan(&checkout.root)?;
    let pins = &target.found.pins;
    if pins.is_empty() {
        let hint = "`landfall scan .` says what was left alone and why";
        return Err(CliError::new(format!("no image version was found below {}", checkout.root.display())).hint(hint));
    }
    let origin = checkout.origin.as_deref().map(|url| Origin::parse(url, checkout.branch.clone()));
    let from = args.from.as_deref().and_then(Tool::named).map(|tool| translate(&tool, &checkout, pins)).transpose()?;
    let around = Surroundings { origin, contexts: contexts(), policies: PoliciesAt::Checkout, from };
    let proposal = propose(pins, &around);
    let files = write(&proposal, &checkout.root, args.dry_run)?;
    let report = Report {
        root: checkout.root.display().to_string(),
        environments: proposal.layout.environments.iter().map(row).collect(),
        rest: proposal.layout.rest,
        files,
        translated: around.from.iter().flat_map(|from| &from.notes).map(NoteRow::from).collect(),
    };
    context.output.data(&report, |report| text(report, args.dry_run))?;
    if context.output.format() != Format::Table || args.dry_run {
        return Ok(Exit::Done);
    }
    match (args.no_plan, report.wrote(CONFIG)) {
        (true, _) => {}
        (false, true) => first_plan(pins, (&checkout, around.from), args, context)?,
        (false, false) => context.output.text(OWN)?,
    }
    context.output.text(NEXT)?;
    Ok(Exit::Done)
}

/// What the tool was told in the checkout's files.
fn translate(tool: &Tool, checkout: &Checkout, pins: &[Pin]) -> Result<Translation, CliError> {
    let cause = |error: &io::Error| CliError::caused("the files of the checkout cannot be read", error);
    let files = contents(&checkout.root).map_err(|error| cause(&error))?;
    let translation = tool.translate(&files, pins);
    if translation.notes.is_empty() {
        let what = format!("nothing of {} was found below {}", tool.name, checkout.root.display());
        return Err(
            CliError::new(what).hint(format!("it reads {}; without --from, policies are proposed", tool.summary))
        );
    }
    Ok(translation)
}

impl Report {
    fn wrote(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path && file.fate == Fate::Written)
    }
}

/// Whether there is something of this name, be it a symlink to nowhere.
fn is_there(root: &Path, path: &str) -> Result<bool, CliError> {
    match fs::symlink_metadata(root.join(path)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(CliError::caused(format!("cannot read {path}"), &error)),
    }
}

fn row(environment: &EnvironmentLayout) -> EnvironmentRow {
    let EnvironmentLayout { name, patterns, pins, .. } = environment;
    EnvironmentRow { name: name.clone(), paths: patterns.iter().cloned().collect(), pins: *pins }
}

fn text(report: &Report, dry_run: bool) -> String {
    let mut text = String::new();
    if dry_run {
        for file in &report.files {
            let kept = if file.fate == Fate::Kept { " (exists, and would stay as it is)" } else { "" };
            text.push_str(&format!("# ---- {}{kept} ----\n{}\n", file.path, file.text));
        }
        return text;
    }
    if !report.translated.is_empty() {
        let rows = report.translated.iter().map(|note| {
            let became = match (&note.into, &note.reason) {
                (Some(into), _) => format!("→ {into}"),
                (None, reason) => format!("not translated: {}", reason.as_deref().unwrap_or_default()),
            };
            vec![format!("{}:{}", note.path, note.line), note.what.clone(), became]
        });
        text.push_str(&table(&["FROM", "WHAT", "BECAME"], rows));
        text.push('\n');
    }
    let rows = report
        .environments
        .iter()
        .map(|environment| vec![environment.name.clone(), environment.pins.to_string(), environment.paths.join(" ")]);
    let elsewhere = if report.environments.is_empty() { "main (all)" } else { "shared (elsewhere)" };
    let rest = (report.rest > 0).then(|| vec![elsewhere.to_owned(), report.rest.to_string(), "**".to_owned()]);
    text.push_str(&table(&["ENVIRONMENT", "IMAGES", "PATHS"], rows.chain(rest)));
    text.push('\n');
    for file in &report.files {
        text.push_str(match file.fate {
            Fate::Written => "wrote ",
            Fate::Kept => "kept as it is: ",
            Fate::Proposed => "would write ",
        });
        text.push_str(file.path);
        text.push('\n');
    }
    text
}

/// Instead of the first plan, where the configuration is another one than the proposed.
const OWN: &str = "
landfall.yaml already existed; `landfall plan` shows what it would write.
";

/// The end of the answer for people.
const NEXT: &str = "
Nothing was committed or pushed. Next:
  landfall check          what the policies select
  landfall doctor         whether every connection works
  landfall plan --diff    what would be written
";

/// The names of the contexts of the kubeconfig, which may be several files; none if they cannot be read.
fn contexts() -> Vec<String> {
    let environment = settings::environment();
    let home = environment.get("HOME").map(|home| Path::new(&home).join(".kube/config"));
    let paths = match environment.get("KUBECONFIG") {
        Some(list) => std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => home.into_iter().collect::<Vec<_>>(),
    };
    paths.iter().flat_map(|path| cluster::contexts(path)).collect()
}

fn texts(proposal: &Proposal) -> Vec<(&'static str, &str)> {
    let ignore = proposal.ignore.as_deref().map(|text| (IGNORE_FILE, text));
    [(CONFIG, proposal.config.as_str()), (POLICIES, &proposal.policies)].into_iter().chain(ignore).collect()
}

/// Writes what is not there yet.
fn write(proposal: &Proposal, root: &Path, dry_run: bool) -> Result<Vec<FileRow>, CliError> {
    let mut rows = Vec::new();
    // A folder with policies has its own idea; another file in it would apply beside them.
    let governed = is_there(root, FOLDER)?;
    for (path, text) in texts(proposal) {
        let (path, fate) = if path == POLICIES && governed {
            (FOLDER, Fate::Kept)
        } else if dry_run {
            (path, if is_there(root, path)? { Fate::Kept } else { Fate::Proposed })
        } else {
            let created = create(&root.join(path), text);
            (path, created.map_err(|error| CliError::caused(format!("cannot write {path}"), &error))?)
        };
        rows.push(FileRow { path, fate, text: text.to_owned() });
    }
    Ok(rows)
}

/// Creates a file, unless there is something of its name.
fn create(file: &Path, text: &str) -> io::Result<Fate> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::File::create_new(file) {
        Ok(mut created) => created.write_all(text.as_bytes()).map(|()| Fate::Written),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Fate::Kept),
        Err(error) => Err(error),
    }
}

/// Plans with the proposed files on a copy of the checkout's files, so that it needs no remote and shows what is there now.
fn first_plan(
    pins: &[Pin],
    (checkout, from): (&Checkout, Option<Translation>),
    args: &InitArgs,
    context: &Context,
) -> Result<(), CliError> {
    let folder = tempfile::tempdir().map_err(|error| no_plan(&error))?;
    let loaded = copy(pins, (checkout, from), folder.path())?;
    context.output.text("\nThe first plan (nothing is written):\n")?;
    let outcomes = bot::block_on(async {
        let mut bot = bot::open(&loaded).await?.until(Instant::now() + args.timeout);
        Ok(bot.plan(false).await)
    })?;
    context.output.text(&report::text(&outcomes, Detail::Grouped, &context.output))
}

fn no_plan(error: &(dyn std::error::Error + 'static)) -> CliError {
    CliError::caused("the first plan cannot be made", error)
}

/// A repository with the checkout's files and the proposed ones, and a configuration for it.
fn copy(pins: &[Pin], (checkout, from): (&Checkout, Option<Translation>), folder: &Path) -> Result<Loaded, CliError> {
    let bare = folder.join("repository.git");
    let name = Origin::parse(checkout.origin.as_deref().unwrap_or_default(), None).repository;
    let origin = Origin {
        url: bare.display().to_string(),
        branch: Some(BRANCH.to_owned()),
        host: Host::Other,
        repository: name,
    };
    let around = Surroundings { origin: Some(origin), contexts: Vec::new(), policies: PoliciesAt::Repository, from };
    let proposal = propose(pins, &around);
    let mut files = contents(&checkout.root).map_err(|error| no_plan(&error))?;
    let mut add = |path: &str, text: &str| -> Result<(), CliError> {
        let path = RepoPath::parse(path).map_err(|error| no_plan(&error))?;
        if !files.iter().any(|(other, _)| *other == path) {
            files.push((path, text.as_bytes().to_vec()));
        }
        Ok(())
    };
    // Written a moment ago, or of the repository's own.
    if !is_there(&checkout.root, FOLDER)? {
        add(POLICIES, &proposal.policies)?;
    }
    if let Some(ignore) = &proposal.ignore {
        let own = fs::read_to_string(checkout.root.join(IGNORE_FILE)).unwrap_or_else(|_| ignore.clone());
        add(IGNORE_FILE, &own)?;
    }
    let identity = Identity { name: "landfall init".to_owned(), email: "landfall@localhost".to_owned() };
    let stamp = Stamp { author: identity.clone(), committer: identity, time: Clock::system().now() };
    let branch = BranchName::parse(BRANCH).map_err(|error| no_plan(&error))?;
    drop(git::create_bare(&bare, &branch, &files, &stamp).map_err(|error| no_plan(&error))?);
    fs::write(folder.join(CONFIG), format!("stateDir: state\n{}", proposal.config)).map_err(|error| no_plan(&error))?;
    config::load(&folder.join(CONFIG)).map_err(|error| no_plan(&error))
}
