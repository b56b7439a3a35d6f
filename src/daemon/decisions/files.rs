//! Freezes and holds on the repository's main branch.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::{DecisionKind, Diagnostic, decision_warning, parse_decision};
use crate::model::{Decision, FailureCode};
use crate::plan::{Assumed, Decisions, Gate, KnownNames, Mentions, Problem, Releases, Unreadable};

use crate::daemon::repository::Reader;
use crate::daemon::repository::read::{PolicyFile, decision_kind_of};

/// Maximum number of decision files; with more, everything is held.
const MAX_FILES: usize = 1_000;

/// The decision files that were read.
#[derive(Debug, Default)]
pub(in crate::daemon) struct DecisionFiles {
    files: BTreeMap<String, Parsed>,
}

/// One file.
#[derive(Debug)]
struct Parsed {
    kind: DecisionKind,
    content: Result<Decision, Vec<Diagnostic>>,
    /// What a file that cannot be understood mentions.
    mentions: Mentions,
}

impl DecisionFiles {
    /// Applies changes; only changed files are parsed.
    pub(in crate::daemon) fn update(&mut self, folder: &str, changed: Vec<(String, Option<PolicyFile>)>) {
        for (path, file) in changed {
            let kind = decision_kind_of(&path, folder);
            match (kind, file) {
                (Some(kind), Some(file)) => {
                    let (content, mentions) = parsed(kind, &path, file);
                    drop(self.files.insert(path, Parsed { kind, content, mentions }));
                }
                _ => drop(self.files.remove(&path)),
            }
        }
    }

    pub(in crate::daemon) fn clear(&mut self) {
        self.files.clear();
    }

    /// Whether there are none, so that it does not matter what they could refer to.
    pub(in crate::daemon) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files and their decisions.
    pub(in crate::daemon) fn decisions(&self, known: &KnownNames, releases: Releases) -> Decisions {
        let mut read = Vec::new();
        let mut unreadable = Vec::new();
        for (path, file) in &self.files {
            match &file.content {
                Ok(decision) => read.push(decision.clone()),
                Err(wrong) => unreadable.extend(wrong.first().map(|first| doubt(path, file, first, known))),
            }
        }
        if self.files.len() > MAX_FILES {
            let message =
                format!("there are more than {MAX_FILES} files of freezes and holds; remove those that have ended");
            let problem =
                Problem { path: None, image: None, line: None, message, code: Some(FailureCode::ConfigError) };
            let file = "the folder of freezes and holds".to_owned();
            unreadable.push(Unreadable { file, kind: Gate::Hold, problem, holds: Assumed::Everything });
        }
        Decisions::new(read, unreadable).with_releases(releases)
    }

    /// What is wrong with the files, and which of them can be removed.
    fn diagnostics(&self, known: &KnownNames, now: Timestamp) -> Vec<Diagnostic> {
        let wrong = self.files.values().filter_map(|file| file.content.as_ref().err()).flatten().cloned();
        let read = self.files.values().filter_map(|file| file.content.as_ref().ok());
        wrong.chain(read.filter_map(|decision| decision_warning(decision, &known.environments, now))).collect()
    }

    /// The files of a kind: path, name without `.yaml`, and the decision if it can be read.
    pub(in crate::daemon) fn all(&self, kind: DecisionKind) -> impl Iterator<Item = (&str, &str, Option<&Decision>)> {
        let own = self.files.iter().filter(move |(_, file)| file.kind == kind);
        own.map(|(path, file)| (path.as_str(), stem(path), file.content.as_ref().ok()))
    }

    /// Their names.
    pub(in crate::daemon) fn names(&self, kind: DecisionKind) -> impl Iterator<Item = (String, Option<&Decision>)> {
        self.all(kind).map(|(_, name, decision)| (name.to_owned(), decision))
    }
}

fn parsed(kind: DecisionKind, path: &str, file: PolicyFile) -> (Result<Decision, Vec<Diagnostic>>, Mentions) {
    let whole = |message: &str| {
        let place = crate::policy::SourceLocation { file: path.to_owned(), line: 1, column: 1 };
        (Err(vec![Diagnostic::error(&place, message)]), Mentions::default())
    };
    let text = match file.map(String::from_utf8) {
        Err(reason) => return whole(&reason),
        Ok(Err(_)) => return whole("the file is not UTF-8 text"),
        Ok(Ok(text)) => text,
    };
    let decision = parse_decision(kind, path, &text);
    let mentions = if decision.is_err() { Mentions::of(&text) } else { Mentions::default() };
    (decision, mentions)
}

fn doubt(path: &str, file: &Parsed, diagnostic: &Diagnostic, known: &KnownNames) -> Unreadable {
    let assumed = |gate| Assumed::of(gate, stem(path), known).and_of(gate, &file.mentions, known);
    let (gate, holds) = match file.kind {
        DecisionKind::Freeze => (Gate::Freeze, assumed(Gate::Freeze)),
        DecisionKind::Hold => (Gate::Hold, assumed(Gate::Hold)),
        DecisionKind::Release => (Gate::Hold, Assumed::nothing()),
    };
    let problem = Problem {
        path: Some(path.to_owned()),
        image: None,
        line: Some(diagnostic.line),
        message: format!("column {}: {}", diagnostic.column, diagnostic.message),
        code: Some(FailureCode::ConfigError),
    };
    Unreadable { file: path.to_owned(), kind: gate, problem, holds }
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

impl Reader {
    /// What is wrong with the files of freezes and holds, and which of them can be removed.
    #[must_use]
    pub fn decision_diagnostics(&self, now: Timestamp) -> Vec<Diagnostic> {
        self.decision_files().diagnostics(&self.known(), now)
    }
}
