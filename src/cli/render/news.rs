//! The events of a running bot: what it watches, what it does, and each hold and problem once when it appears and once
//! when it is over, even if times in its text change.
//!
//! For people, a line on standard error; with `--log-format json`, a structured log event.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::cli::LogFormat;
use crate::config::{Settings, Trigger};
use crate::daemon::{ActionOutcome, CycleOutcome, CycleProblem, Step};
use crate::model::{BranchName, FailureCode, ImageName, UpdateId};
use crate::plan::{Gate, Hold};

use super::output::Output;
use super::report;

/// The log target of events, which are logged at every level.
pub(in crate::cli) const TARGET: &str = "landfall::news";

/// Reports events in the requested format.
#[derive(Debug)]
pub(in crate::cli) struct News {
    format: LogFormat,
    standing: Mutex<HashMap<String, BTreeMap<Standing, Event>>>,
}

/// What identifies a hold or a problem across cycles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Hold(UpdateId, Gate),
    Problem {
        branch: Option<BranchName>,
        path: Option<String>,
        code: Option<FailureCode>,
        image: Option<ImageName>,
        /// Its text without numbers, because these may be ages and counts.
        about: String,
    },
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Action,
    Hold,
    HoldOver,
    Problem,
    ProblemOver,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Hold => "hold",
            Self::HoldOver => "hold-over",
            Self::Problem => "problem",
            Self::ProblemOver => "problem-over",
        }
    }
}

impl Standing {
    fn begins(&self) -> Kind {
        match self {
            Self::Hold(..) => Kind::Hold,
            Self::Problem { .. } => Kind::Problem,
        }
    }

    fn ends(&self) -> Kind {
        match self {
            Self::Hold(..) => Kind::HoldOver,
            Self::Problem { .. } => Kind::ProblemOver,
        }
    }

    fn of(problem: &CycleProblem) -> Self {
        let about = without_numbers(&problem.problem.message);
        Self::Problem {
            branch: problem.branch.clone(),
            path: problem.problem.path.clone(),
            code: problem.problem.code,
            image: problem.problem.image.clone(),
            about,
        }
    }
}

/// A text without its numbers. Digits of a name or a version, such as in `web1` or `1.2.0`, stay.
fn without_numbers(text: &str) -> String {
    let is_name = |c: char| c.is_alphabetic() || matches!(c, '-' | '_' | '.' | '/' | '@' | ':');
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[start..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |length| start + length);
        let in_name = rest[..start].chars().next_back().or(kept.chars().next_back()).is_some_and(is_name)
            || rest[end..].strip_prefix('.').is_some_and(|next| next.starts_with(|c: char| c.is_ascii_digit()));
        kept.push_str(if in_name { &rest[..end] } else { &rest[..start] });
        rest = &rest[end..];
    }
    kept + rest
}

/// An event. Fields that do not apply are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Event {
    text: String,
    update: Option<String>,
    app: Option<String>,
    environment: Option<String>,
    gate: Option<&'static str>,
    until: Option<Timestamp>,
    path: Option<String>,
    code: Option<String>,
    commit: Option<String>,
}

impl Event {
    fn hold(hold: &Hold, output: &Output) -> Self {
        Self {
            text: report::held(hold, output),
            update: Some(hold.update.id.to_string()),
            app: Some(hold.update.app.clone()),
            environment: hold.update.environment.clone(),
            gate: Some(hold.gate.as_str()),
            until: hold.until,
            ..Self::default()
        }
    }

    fn problem(problem: &CycleProblem, output: &Output) -> Self {
        Self {
            text: report::trouble(problem, output),
            path: problem.problem.path.clone(),
            code: problem.problem.code.and_then(word),
            ..Self::default()
        }
    }

    fn action(outcome: &ActionOutcome, output: &Output) -> Self {
        let (commit, code) = match &outcome.step {
            Step::Done(done) => (Some(done.commit.to_string()), None),
            Step::Failed(failure) => (None, Some(failure.code.cause().to_string())),
            Step::Planned { .. } => (None, None),
        };
        let environment = outcome.action.environment.clone();
        Self { text: report::told(outcome, output), environment, commit, code, ..Self::default() }
    }
}

/// A code as written in reports.
fn word(code: FailureCode) -> Option<String> {
    serde_json::to_value(code).ok()?.as_str().map(str::to_owned)
}

impl News {
    pub(in crate::cli) fn new(format: LogFormat) -> Self {
        Self { format, standing: Mutex::default() }
    }

    /// Reports what the bot watches from now on.
    pub(in crate::cli) fn start(&self, settings: &Settings, output: &Output) {
        let branches = settings.repositories.iter().map(|it| match it.branch_given {
            true => format!("{} ({})", it.name, it.branch),
            false => format!("{} (its default branch)", it.name),
        });
        let branches: Vec<String> = branches.collect();
        let clusters: Vec<&str> = settings.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let clusters = if clusters.is_empty() { "no cluster".to_owned() } else { clusters.join(", ") };
        let pace = match &settings.interval {
            Trigger::Every(interval) => format!("every {} s", interval.as_secs()),
            Trigger::Cron(_) => "on its schedule".to_owned(),
        };
        let text = format!("watching {} and {clusters}; a cycle {pace}", branches.join(", "));
        match self.format {
            LogFormat::Text => output.message(&text),
            LogFormat::Json => tracing::info!(target: TARGET, event = "start", "{text}"),
        }
    }

    /// Reports what is new in an outcome.
    pub(in crate::cli) fn tell(&self, outcome: &CycleOutcome, output: &Output) {
        for (kind, event) in self.news(outcome, output) {
            match self.format {
                LogFormat::Text => output.message(&format!("{}: {}", outcome.repository, line(kind, &event))),
                LogFormat::Json => log(kind, &event, &outcome.repository),
            }
        }
        tracing::info!(repository = outcome.repository, "{}", report::summary(outcome));
    }

    fn news(&self, outcome: &CycleOutcome, output: &Output) -> Vec<(Kind, Event)> {
        let actions = outcome.actions.iter().map(|action| (Kind::Action, Event::action(action, output)));
        let holds =
            outcome.holds.iter().map(|it| (Standing::Hold(it.update.id.clone(), it.gate), Event::hold(it, output)));
        let problems = outcome.problems.iter().map(|it| (Standing::of(it), Event::problem(it, output)));
        let now: BTreeMap<Standing, Event> = holds.chain(problems).collect();
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = standing.insert(outcome.repository.clone(), now.clone()).unwrap_or_default();
        let begins =
            now.iter().filter(|(it, _)| !before.contains_key(it)).map(|(it, event)| (it.begins(), event.clone()));
        let ends = before.iter().filter(|(it, _)| !now.contains_key(it)).map(|(it, event)| (it.ends(), event.clone()));
        actions.chain(begins).chain(ends).collect()
    }
}

fn line(kind: Kind, event: &Event) -> String {
    match kind {
        Kind::HoldOver | Kind::ProblemOver => format!("over: {}", event.text),
        Kind::Action | Kind::Hold | Kind::Problem => event.text.clone(),
    }
}

fn log(kind: Kind, event: &Event, repository: &str) {
    let until = event.until.map(|until| until.to_string());
    tracing::info!(
        target: TARGET,
        event = kind.as_str(),
        repository,
        update = event.update,
        app = event.app,
        environment = event.environment,
        gate = event.gate,
        until,
        path = event.path,
        code = event.code,
        commit = event.commit,
        "{}",
        event.text
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{ColorChoice, Format};
    use crate::plan::Problem;

    #[test]
    fn numbers_are_left_out_and_names_with_digits_are_not() {
        for (text, kept) in [
            ("no answer for 12 s, 3 of 4 tries", "no answer for  s,  of  tries"),
            ("web1 1.2.0 is held since 17m.", "web1 1.2.0 is held since m."),
            ("10.0.0.1:5000/a/web-2:v3 was asked 12.", "10.0.0.1:5000/a/web-2:v3 was asked ."),
            ("2026", ""),
        ] {
            assert_eq!(without_numbers(text), kept);
        }
    }

    #[test]
    fn a_problem_is_told_once_and_its_end_once() {
        let output = Output::new(Format::Table, ColorChoice::Never, true, true);
        let news = News::new(LogFormat::Text);
        let told = |outcome: &CycleOutcome| {
            let lines = news.news(outcome, &output).into_iter().map(|(kind, event)| line(kind, &event));
            lines.collect::<Vec<_>>()
        };
        let mut outcome = CycleOutcome::new("deploys");
        let problem = |age: u32| Problem {
            path: None,
            image: None,
            line: None,
            message: format!("registry is down; using the answer of {age} s ago"),
            code: None,
        };
        outcome.add_blocking([problem(30)]);
        assert_eq!(told(&outcome), ["⚠ problem registry is down; using the answer of 30 s ago"]);
        outcome.problems.clear();
        outcome.add_blocking([problem(90)]);
        assert!(told(&outcome).is_empty(), "only time has passed");
        outcome.problems.clear();
        assert_eq!(told(&outcome), ["over: ⚠ problem registry is down; using the answer of 90 s ago"]);
        assert!(told(&outcome).is_empty());
    }
}
