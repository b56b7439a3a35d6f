//! The policies of a repository, at the revision that was read.

use std::collections::BTreeSet;

use crate::config::{PolicySource, parse_policy_files};
use crate::model::{BranchName, FailureCode};
use crate::plan::Problem;
use crate::policy::{Policy, PolicySet};

use super::Repository;

impl Repository {
    /// The policies of the main branch as last read, caps included, and what is wrong with them.
    #[must_use]
    pub fn main_policies(&self) -> (PolicySet, Vec<Problem>) {
        let (policies, problems) = self.policies();
        (self.policy_set(&self.settings.branch, &policies), problems)
    }

    pub(in crate::daemon) fn policy_folder(&self) -> Option<String> {
        match &self.settings.policies {
            PolicySource::InRepository { path } => Some(path.to_string()),
            PolicySource::File(_) => None,
        }
    }

    /// The policies at the revision that was read, and what is wrong with them.
    ///
    /// A file that cannot be read must not change what the others allow: a later file could have said `never`, so while
    /// one is broken no policy of the repository applies at all.
    pub(super) fn policies(&self) -> (Vec<Policy>, Vec<Problem>) {
        if let Some(given) = &self.given {
            return (given.clone(), Vec::new());
        }
        let problem = |path: &str, line: Option<usize>, message: &str| Problem {
            path: Some(path.to_owned()),
            line,
            message: format!("{message} (no policy applies until this is mended)"),
            code: Some(FailureCode::ConfigError),
        };
        let mut problems = Vec::new();
        let mut texts = Vec::new();
        for (path, file) in &self.policy_files {
            match file {
                Ok(bytes) => texts.push((path.as_str(), String::from_utf8_lossy(bytes))),
                Err(reason) => problems.push(problem(path, None, reason)),
            }
        }
        let (policies, diagnostics) = parse_policy_files(texts.iter().map(|(path, text)| (*path, text.as_ref())));
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
        problems.extend(errors.map(|error| problem(&error.file, Some(error.line), &error.message)));
        if self.policy_files.is_empty() {
            problems.push(Problem {
                path: self.policy_folder(),
                line: None,
                message: "the repository has no policy file here, so nothing may be written".to_owned(),
                code: Some(FailureCode::ConfigError),
            });
        }
        if problems.is_empty() { (policies, problems) } else { (Vec::new(), problems) }
    }

    pub(super) fn policy_set(&self, branch: &BranchName, policies: &[Policy]) -> PolicySet {
        let main = *branch == self.settings.branch;
        // A policy without a branch is about the main branch; on another one it only gives defaults.
        let here = policies.iter().filter(|policy| match &policy.fields.branch {
            Some(named) => named.value == *branch,
            None => main || policy.fields.write.is_none(),
        });
        PolicySet::new(here.cloned().collect()).with_caps(self.settings.caps.clone())
    }

    pub(super) fn named_branches(&self) -> BTreeSet<BranchName> {
        let (policies, _) = self.policies();
        let named = policies.iter().filter_map(|policy| policy.fields.branch.as_ref());
        named.map(|branch| branch.value.clone()).filter(|branch| *branch != self.settings.branch).collect()
    }
}
