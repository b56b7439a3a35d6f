//! The policies of a repository, at the revision that was read.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Diagnostic, OwnBranch, PolicySource, parse_policy_files};
use crate::model::{BranchName, FailureCode, KeyPaths};
use crate::plan::{KnownNames, Problem};
use crate::policy::{Cap, DeclaredBy, Policy, PolicySet};

use super::read::PolicyFile;
use super::reader::Reader;

/// The policies and what is wrong with them; parsed when their files change.
#[derive(Debug)]
pub(super) struct ReadPolicies {
    /// The folder with their files; `None`: the policies are given and never change.
    folder: Option<String>,
    files: BTreeMap<String, PolicyFile>,
    policies: Vec<Policy>,
    problems: Vec<Problem>,
    /// The caps on them.
    caps: Vec<Cap>,
    /// What the policies declare of files.
    pub(super) declared: KeyPaths,
}

impl ReadPolicies {
    pub(super) fn new(source: &PolicySource, caps: &[Cap], given: Option<Vec<Policy>>) -> Self {
        let folder = source.folder().filter(|_| given.is_none()).map(str::to_owned);
        let mut new = Self {
            folder,
            files: BTreeMap::new(),
            policies: given.unwrap_or_default(),
            problems: Vec::new(),
            caps: caps.to_vec(),
            declared: KeyPaths::default(),
        };
        new.parse();
        new.declared = new.key_paths();
        new
    }

    /// Applies the files that changed; `all`: there are no others.
    pub(super) fn update(&mut self, all: bool, changed: Vec<(String, Option<PolicyFile>)>) {
        if all {
            self.files.clear();
        }
        if all || !changed.is_empty() {
            for (path, file) in changed {
                match file {
                    Some(file) => drop(self.files.insert(path, file)),
                    None => drop(self.files.remove(&path)),
                }
            }
            self.parse();
        }
    }

    /// An unreadable file must not change what the others permit: a later file could have said `never`. So while one is
    /// broken, no policy of the repository applies at all.
    fn parse(&mut self) {
        let Some(folder) = &self.folder else { return };
        let problem = |path: &str, line: Option<usize>, message: &str| Problem {
            path: Some(path.to_owned()),
            line,
            image: None,
            message: format!("{message} (no policy applies until this is fixed)"),
            code: Some(FailureCode::ConfigError),
        };
        let mut problems = Vec::new();
        let mut texts = Vec::new();
        for (path, file) in &self.files {
            match file {
                Ok(bytes) => texts.push((path.as_str(), String::from_utf8_lossy(bytes))),
                Err(reason) => problems.push(problem(path, None, reason)),
            }
        }
        let (policies, diagnostics) = parse_policy_files(texts.iter().map(|(path, text)| (*path, text.as_ref())));
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
        problems.extend(errors.map(|error| problem(&error.file, Some(error.line), &error.message)));
        if self.files.is_empty() {
            problems.push(Problem {
                path: Some(folder.clone()),
                line: None,
                image: None,
                message: "the repository has no policy file here, so nothing may be written".to_owned(),
                code: Some(FailureCode::ConfigError),
            });
        }
        self.policies = if problems.is_empty() { policies } else { Vec::new() };
        self.declared = self.key_paths();
        self.problems = problems;
    }

    fn key_paths(&self) -> KeyPaths {
        let by = if self.folder.is_some() { DeclaredBy::Repository } else { DeclaredBy::Configuration };
        PolicySet::new(self.policies.clone()).with_caps(self.caps.clone()).declared_by(by).key_paths()
    }
}

impl Reader {
    /// The policies of the main branch, including caps, and what is wrong with them.
    #[must_use]
    pub fn main_policies(&self) -> (PolicySet, Vec<Problem>) {
        (self.policy_set(&self.settings.branch), self.policy_problems())
    }

    /// Whether a policy needs the health of images: for a promotion or an automatic rollback.
    pub(in crate::daemon) fn promotes(&self) -> bool {
        let asks = |policy: &Policy| policy.fields.promote_from.is_some() || policy.fields.rollback.is_some();
        self.policies.policies.iter().any(asks) || self.settings.caps.iter().any(|cap| cap.promote_from.is_some())
    }

    /// What is wrong with the policies, and what they request on branches that the configuration does not list.
    pub(super) fn policy_problems(&self) -> Vec<Problem> {
        let beyond = |wrong: Diagnostic| Problem {
            path: Some(wrong.file),
            line: Some(wrong.line),
            image: None,
            message: wrong.hint.map_or(wrong.message.clone(), |hint| format!("{}; {hint}", wrong.message)),
            code: Some(FailureCode::ConfigError),
        };
        let mut problems = self.policies.problems.clone();
        problems
            .extend(self.settings.beyond_branches(&self.policies.policies, OwnBranch::Known).into_iter().map(beyond));
        problems
    }

    pub(super) fn policy_set(&self, branch: &BranchName) -> PolicySet {
        let main = *branch == self.settings.branch;
        // A policy without a branch applies to the main branch; on other branches it only provides defaults.
        let here = self.policies.policies.iter().filter(|policy| match &policy.fields.branch {
            Some(named) => named.value == *branch,
            None => main || policy.fields.write.is_none(),
        });
        let by = self.settings.policies.declared_by();
        PolicySet::new(here.cloned().collect()).with_caps(self.settings.caps.clone()).declared_by(by)
    }

    /// The branches that policies name, besides the main branch.
    pub(super) fn named_branches(&self) -> BTreeSet<BranchName> {
        let named = self.policies.policies.iter().filter_map(|policy| policy.fields.branch.as_ref());
        let others = named.map(|branch| branch.value.clone()).filter(|branch| *branch != self.settings.branch);
        others.filter(|branch| self.settings.lets_write(branch)).collect()
    }

    /// Whether every branch named by a policy was read, listed in the configuration or not.
    pub(super) fn reads_every_branch(&self) -> bool {
        let mut named = self.policies.policies.iter().filter_map(|policy| policy.fields.branch.as_ref());
        named.all(|branch| self.is_read(&branch.value))
    }

    /// The environments, apps and images of every branch, and the environments that policies name.
    pub(in crate::daemon) fn known(&self) -> KnownNames {
        let mut known = KnownNames::default();
        // An environment named by a policy exists before its first file does.
        let named = self.policies.policies.iter().filter_map(|policy| policy.fields.environment.as_ref());
        known.environments.extend(named.map(|name| name.value.clone()).filter(|name| !name.contains('{')));
        for declared in self.declared() {
            known.environments.extend(declared.environment);
            known.apps.insert(declared.app);
            known.images.insert(declared.name);
        }
        known
    }
}
