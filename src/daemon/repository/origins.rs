//! Which commits brought what pins hold: the history's answer to [`HistoryQuery`].

use std::collections::HashMap;

use crate::git::{GitError, History, Mirror, PinKey, ValueAt, ValueOrigin};
use crate::model::{Answer, CommitId, FailureCode, Pin};
use crate::plan::{Brought, HistoryQuery, Ledger, Origin, Writer};

/// Where what these pins of `tip` hold comes from. What cannot be read is an answer, too: it holds the update.
pub(in crate::daemon) fn origins(
    mirror: &Mirror,
    history: &mut History,
    (tip, ledger): (&CommitId, &Ledger),
    pins: &[Pin],
) -> HashMap<HistoryQuery, Answer<Origin>> {
    let found = history.follow(mirror, tip).and_then(|_| history.introduced(mirror, pins));
    let mut commits = Commits { mirror, ledger, known: HashMap::new() };
    let mut origins = HashMap::new();
    for pin in pins {
        let key = PinKey::from(pin);
        let origin = match &found {
            Ok(found) => origin(&mut commits, history, &key, found.get(&key)),
            Err(error) => Err(error.to_string()),
        };
        let fact = match origin {
            Ok(origin) => Answer::Known(origin),
            Err(message) => Answer::Failed { message, code: FailureCode::Protocol, last: None },
        };
        drop(origins.insert(HistoryQuery::from(pin), fact));
    }
    origins
}

fn origin(
    commits: &mut Commits<'_>,
    history: &mut History,
    key: &PinKey,
    found: Option<&ValueOrigin>,
) -> Result<Origin, String> {
    let introduced = match found {
        Some(ValueOrigin::Commit(introduced)) => introduced,
        Some(ValueOrigin::Older(_)) => return Ok(Origin::Older),
        None => return Err(format!("the history says nothing about {} in {}", key.key, key.path)),
    };
    let told = |error: GitError| error.to_string();
    let (wrote, arrived) = (&introduced.wrote, introduced.arrived());
    let before = match commits.get(&arrived.commit).map_err(told)?.0 {
        Some(parent) => match history.value_at(commits.mirror, &parent, key).map_err(told)? {
            ValueAt::Declared(name, version) if name == key.name => Some(version),
            ValueAt::UnknownRevision => return Ok(Origin::Older),
            _ => None,
        },
        None => None,
    };
    let writer = commits.get(&wrote.commit).map_err(told)?.1;
    let (commit, by) = (wrote.commit.clone(), wrote.author.clone());
    Ok(Origin::Commit(Brought { commit, by, at: arrived.time, before, writer }))
}

/// What a commit was made on, and who wrote it; one commit often brings many pins.
struct Commits<'m> {
    mirror: &'m Mirror,
    ledger: &'m Ledger,
    known: HashMap<CommitId, (Option<CommitId>, Writer)>,
}

impl Commits<'_> {
    fn get(&mut self, commit: &CommitId) -> Result<(Option<CommitId>, Writer), GitError> {
        if let Some(known) = self.known.get(commit) {
            return Ok(known.clone());
        }
        let entry = self.mirror.log(commit, None, 1)?.into_iter().next();
        // What a message alone says would let anybody speak as the bot.
        let writer = if self.ledger.has_made(commit) { Writer::Bot } else { Writer::Person };
        let found = (entry.and_then(|entry| entry.parents.into_iter().next()), writer);
        drop(self.known.insert(commit.clone(), found.clone()));
        Ok(found)
    }
}
