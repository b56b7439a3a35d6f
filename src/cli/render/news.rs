//! What a running bot has said already: each hold and problem is told when it appears and when it is over, not every minute.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::daemon::RepositoryReport;

use super::output::Output;
use super::report;

/// The lines that stand, by repository.
#[derive(Debug, Default)]
pub(in crate::cli) struct News(Mutex<HashMap<String, BTreeSet<String>>>);

impl News {
    /// Tells what is new in a report, on standard error.
    pub(in crate::cli) fn tell(&self, repository: &RepositoryReport, output: &Output) {
        for line in self.news(repository, output) {
            output.message(&format!("{}: {line}", repository.name));
        }
        tracing::info!(repository = repository.name, "{}", report::summary(repository));
    }

    fn news(&self, repository: &RepositoryReport, output: &Output) -> Vec<String> {
        let mut lines: Vec<String> = repository.actions.iter().map(|action| report::done(action, output)).collect();
        let holds = repository.holds.iter().map(|hold| report::held(hold, output));
        let problems = repository.problems.iter().map(|problem| report::trouble(problem, output));
        let now: BTreeSet<String> = holds.chain(problems).collect();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.insert(repository.name.clone(), now.clone()).unwrap_or_default();
        lines.extend(now.difference(&before).cloned());
        lines.extend(before.difference(&now).map(|line| format!("over: {line}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{ColorChoice, Format};
    use crate::daemon::ProblemReport;

    #[test]
    fn a_problem_is_told_once_and_its_end_once() {
        let output = Output::new(Format::Table, ColorChoice::Never, true, true);
        let told = News::default();
        let mut report = RepositoryReport::new("deploys");
        let message = "registry is down".to_owned();
        let problem = ProblemReport { branch: None, path: None, line: None, message, code: None };
        report.problems.push(problem);
        assert_eq!(told.news(&report, &output), ["⚠ problem registry is down"]);
        assert!(told.news(&report, &output).is_empty());
        report.problems.clear();
        assert_eq!(told.news(&report, &output), ["over: ⚠ problem registry is down"]);
        assert!(told.news(&report, &output).is_empty());
    }
}
