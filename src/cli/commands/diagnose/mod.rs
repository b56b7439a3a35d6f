//! `landfall diagnose`: from dumps of Kubernetes objects to a verdict for each, and for the landing of one image.
//!
//! Offline: no cluster, no Git, no clock. *Now* is the newest time in the dump, so that the same dump always gives the
//! same answer. An unreadable document is a problem with its place, and the others are judged without it.

mod input;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::landing::{Git, Judgement, QueryIndex, Question, World, assess, judge};
use crate::model::observation::{Body, Object};
use crate::model::{Cause, ImageReference, Landing, Rung, State, Verdict};

use super::{CliError, Context, Exit, Output, Paint};
use input::InputProblem;

/// Arguments of `landfall diagnose`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl get deploy,rs,pods,events -n web -o yaml | landfall diagnose -f -
  landfall diagnose -f dump.yaml --image ghcr.io/acme/web:1.4.0 --revision 4371700
  landfall diagnose -f dump/ --exit-code -o json | jq '.landing'

Give it everything that belongs together: the Application, or the source and the
Kustomization, and the workloads with their ReplicaSets, Pods and Events. It does not
guess what is missing from the dump: the verdict is then `unknown`.
Exit codes: 0 done · 1 with --exit-code: something is failed or stuck · 2 error")]
pub(in crate::cli) struct DiagnoseArgs {
    /// A file or folder of objects (YAML or JSON, lists, several documents), or - for standard input; may be repeated.
    #[arg(short, long, required = true, value_name = "FILE|DIR|-")]
    filename: Vec<PathBuf>,
    /// The image as Git declares it, with a tag or digest: has it landed?
    #[arg(long, value_name = "REF")]
    image: Option<String>,
    /// The commit that carries it; a controller has it if it names it as synced, applied, or in its history.
    #[arg(long, value_name = "SHA", requires = "image")]
    revision: Option<String>,
    /// The time at which to judge, in RFC 3339 [default: the newest time in the dump].
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// List healthy objects too; by default they are only counted.
    #[arg(long)]
    all: bool,
    /// Exit with 1 if an object is failed or the landing is stuck.
    #[arg(long)]
    exit_code: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    now: Option<Timestamp>,
    image: Option<String>,
    revision: Option<String>,
    objects: Vec<ObjectView>,
    landing: Option<LandingView>,
    problems: Vec<InputProblem>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectView {
    api_version: String,
    kind: String,
    namespace: Option<String>,
    name: String,
    verdict: Verdict,
    cause: Option<Cause>,
}

#[derive(Debug, Serialize)]
struct LandingView {
    state: State,
    rung: Option<Rung>,
    cause: Option<Cause>,
    /// The versions in the live templates.
    live: Vec<String>,
    /// Assumptions that were made.
    notes: Vec<String>,
}

/// Reads, judges and prints.
pub(super) fn run(args: &DiagnoseArgs, context: &Context) -> Result<Exit, CliError> {
    let question = args.image.as_deref().map(|image| question(image, args.revision.as_deref())).transpose()?;
    let dump = input::read(&args.filename)?;
    let now = args.now.or(dump.newest);
    for problem in &dump.problems {
        context.output.message(&format!("problem: {problem}"));
    }
    let dumped: Vec<Arc<Object>> = dump.objects.into_iter().map(Arc::new).collect();
    let index = QueryIndex::of(dumped.iter().cloned());
    let world = World::new(&index, now.unwrap_or(Timestamp::UNIX_EPOCH));
    // In the order of the dump; of duplicates, the later one counts.
    let counts = |object: &&Arc<Object>| index.get(&object.key()).is_some_and(|it| std::ptr::eq(it, object.as_ref()));
    let objects: Vec<ObjectView> = dumped.iter().filter(counts).map(|object| view(&world, object)).collect();
    let landing = question.as_ref().map(|question| judge(&world, question)).map(landing_view);
    let failed = objects.iter().any(|object| object.verdict == Verdict::Failed)
        || landing.as_ref().is_some_and(|landing| landing.state == State::Stuck);
    let unreadable = objects.is_empty() && !dump.problems.is_empty();
    let report = Report {
        now,
        image: args.image.clone(),
        revision: args.revision.clone(),
        objects,
        landing,
        problems: dump.problems,
    };
    context.output.data(&report, |report| text(report, args.all, &context.output))?;
    if unreadable {
        return Err(
            CliError::new("no object could be read").hint("give the output of `kubectl get … -o yaml` or `-o json`")
        );
    }
    Ok(if args.exit_code && failed { Exit::Negative } else { Exit::Done })
}

fn question(image: &str, revision: Option<&str>) -> Result<Question, CliError> {
    let image = ImageReference::parse_any(image).map_err(|error| {
        CliError::caused("--image is not an image reference", &error).hint("for instance ghcr.io/acme/web:1.4.0")
    })?;
    let mut question = Question::new(image);
    if let Some(revision) = revision {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '@' | ':' | '/' | '.' | '-' | '_'));
        if revision.len() < 7 || revision.contains(odd) {
            return Err(CliError::new(format!("--revision `{}` is not a commit id", revision.escape_debug()))
                .hint("give the full commit id, or at least its first seven digits"));
        }
        question.git = Git::Commit(revision.to_owned());
    }
    Ok(question)
}

fn view(world: &World<'_>, object: &Object) -> ObjectView {
    let found = assess(world, object);
    ObjectView {
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        verdict: found.verdict,
        // An event cannot be healthy or unhealthy; it is evidence for others.
        cause: found.cause.filter(|_| !matches!(object.body, Body::Event(_))),
    }
}

fn landing_view(judged: Judgement) -> LandingView {
    let Landing { state, rung, cause } = judged.landing;
    LandingView { state, rung, cause, live: judged.live.iter().map(ToString::to_string).collect(), notes: judged.notes }
}

/// The urgency of a verdict; the first is shown first.
fn urgency(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Failed => 0,
        Verdict::Unknown => 1,
        Verdict::Terminating => 2,
        Verdict::Paused => 3,
        Verdict::Progressing => 4,
        Verdict::Current => 5,
    }
}

/// The number of objects per verdict, the most urgent first.
fn summary(objects: &[&ObjectView]) -> String {
    let mut counts: BTreeMap<u8, (Verdict, usize)> = BTreeMap::new();
    for object in objects {
        counts.entry(urgency(object.verdict)).or_insert((object.verdict, 0)).1 += 1;
    }
    let counts: Vec<String> = counts.values().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    match objects.len() {
        0 => "no objects found".to_owned(),
        1 => format!("1 object: {}", counts.join(", ")),
        many => format!("{many} objects: {}", counts.join(", ")),
    }
}

fn text(report: &Report, all: bool, output: &Output) -> String {
    let mut shown: Vec<&ObjectView> = report.objects.iter().filter(|object| object.kind != "Event").collect();
    let mut out = format!("{}\n", output.paint(Paint::Bold, &summary(&shown)));
    shown.sort_by_key(|object| urgency(object.verdict));
    if !all && shown.first().is_some_and(|object| object.verdict != Verdict::Current) {
        shown.retain(|object| object.verdict != Verdict::Current);
    }
    let names: Vec<String> = shown.iter().map(|object| name(object)).collect();
    let kinds = shown.iter().map(|object| object.kind.chars().count()).max().unwrap_or(0);
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(60);
    let mut told: Vec<&Cause> = Vec::new();
    for (object, name) in shown.iter().zip(&names) {
        let verdict = output.paint(paint(object.verdict), &format!("{:<11}", object.verdict.to_string()));
        let code = object.cause.as_ref().map_or_else(String::new, |cause| cause.code.to_string());
        let line = format!("{verdict}  {:<kinds$}  {name:<width$}  {code}", object.kind);
        put(&mut out, line.trim_end());
        if let Some(cause) = object.cause.as_ref().filter(|_| object.verdict != Verdict::Current) {
            // The cause of a pod is also that of its owners; it is shown once.
            if !told.iter().any(|other| other.evidence == cause.evidence && other.next == cause.next) {
                details(&mut out, cause, output);
                told.push(cause);
            }
        }
    }
    if let (Some(landing), Some(image)) = (&report.landing, &report.image) {
        let at = landing.rung.map_or_else(String::new, |rung| format!(", not yet {rung}"));
        let code = landing.cause.as_ref().map_or_else(String::new, |cause| format!(" ({})", cause.code));
        let head = output.paint(state_paint(landing.state), &format!("{}{at}{code}", landing.state));
        put(&mut out, &format!("\n{}: {head}", output.paint(Paint::Bold, image)));
        if let Some(cause) = &landing.cause {
            let short = told.iter().any(|other| other.evidence == cause.evidence);
            details(
                &mut out,
                &Cause { evidence: if short { Vec::new() } else { cause.evidence.clone() }, ..cause.clone() },
                output,
            );
        }
        for note in &landing.notes {
            put(&mut out, &format!("    note  {note}"));
        }
    }
    out
}

fn name(object: &ObjectView) -> String {
    object.namespace.as_ref().map_or_else(|| object.name.clone(), |namespace| format!("{namespace}/{}", object.name))
}

fn details(out: &mut String, cause: &Cause, output: &Output) {
    put(out, &format!("    {}", cause.message));
    for line in &cause.evidence {
        put(out, &output.paint(Paint::Dim, &format!("    seen  {line}")));
    }
    put(out, &format!("    next  {}", cause.next));
}

fn paint(verdict: Verdict) -> Paint {
    match verdict {
        Verdict::Current => Paint::Good,
        Verdict::Failed => Paint::Bad,
        Verdict::Progressing | Verdict::Paused | Verdict::Terminating | Verdict::Unknown => Paint::Warn,
    }
}

fn state_paint(state: State) -> Paint {
    match state {
        State::Landed => Paint::Good,
        State::Stuck | State::RolledBack | State::Drifted | State::Shadowed | State::Orphan | State::Rejected => {
            Paint::Bad
        }
        State::Pending | State::Paused | State::Superseded | State::Unknown => Paint::Warn,
    }
}

fn put(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}
