//! What a running bot has said already: each hold and problem is told when it appears and when it is over, not every minute.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::daemon::CycleOutcome;

use super::output::Output;
use super::report;

/// The lines that stand, by repository.
#[derive(Debug, Default)]
pub(in crate::cli) struct News(Mutex<HashMap<String, BTreeSet<String>>>);

impl News {
    /// Tells what is new in an outcome, on standard error.
    pub(in crate::cli) fn tell(&self, outcome: &CycleOutcome, output: &Output) {
        for line in self.news(outcome, output) {
            output.message(&format!("{}: {line}", outcome.repository));
        }
        tracing::info!(repository = outcome.repository, "{}", report::summary(outcome));
    }

    fn news(&self, outcome: &CycleOutcome, output: &Output) -> Vec<String> {
        let mut lines: Vec<String> = outcome.actions.iter().map(|action| report::told(action, output)).collect();
        let holds = outcome.holds.iter().map(|hold| report::held(hold, output));
        let problems = outcome.problems.iter().map(|problem| report::trouble(problem, output));
        let now: BTreeSet<String> = holds.chain(problems).collect();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.insert(outcome.repository.clone(), now.clone()).unwrap_or_default();
        lines.extend(now.difference(&before).cloned());
        lines.extend(before.difference(&now).map(|line| format!("over: {line}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{ColorChoice, Format};
    use crate::plan::Problem;

    #[test]
    fn a_problem_is_told_once_and_its_end_once() {
        let output = Output::new(Format::Table, ColorChoice::Never, true, true);
        let told = News::default();
        let mut outcome = CycleOutcome::new("deploys");
        let message = "registry is down".to_owned();
        outcome.add_blocking([Problem { path: None, line: None, message, code: None }]);
        assert_eq!(told.news(&outcome, &output), ["⚠ problem registry is down"]);
        assert!(told.news(&outcome, &output).is_empty());
        outcome.problems.clear();
        assert_eq!(told.news(&outcome, &output), ["over: ⚠ problem registry is down"]);
        assert!(told.news(&outcome, &output).is_empty());
    }
}
