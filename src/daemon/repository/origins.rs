//! Which commits introduced the current values of pins: the history's answer to [`HistoryQuery`].

use std::collections::HashMap;

use crate::git::{FormerPin, GitError, History, Mirror, PinKey, ValueAt, ValueOrigin};
use crate::model::{Answer, CommitId, FailureCode, Pin};
use crate::plan::{Brought, FormerPlace, HistoryQuery, Ledger, Origin, Writer};

/// Where the current values of these pins at `tip` come from. A failure to read is an answer too: it holds the update.
pub(in crate::daemon) fn origins(
    mirror: &Mirror,
    history: &mut History,
    (tip, ledger): (&CommitId, &Ledger),
    pins: &[Pin],
) -> HashMap<HistoryQuery, Answer<Origin>> {
    let found = history.follow(mirror, tip).and_then(|_| {
        let found = history.introduced(mirror, pins)?;
        let former = history.former(mirror, pins, &found)?;
        Ok((found, former))
    });
    let mut commits = Commits { mirror, ledger, known: HashMap::new() };
    let mut origins = HashMap::new();
    for pin in pins {
        let key = PinKey::from(pin);
        let origin = match &found {
            Ok((found, former)) => {
                let former = former.get(&key).map_or(&[][..], Vec::as_slice);
                origin(&mut commits, history, &key, (found.get(&key), former))
            }
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
    (found, former): (Option<&ValueOrigin>, &[FormerPin]),
) -> Result<Origin, String> {
    // If it was moved, its writer wrote it in its former place.
    let (place, origin) = former.last().map_or((key, found), |last| (&last.key, Some(&last.origin)));
    let introduced = match origin {
        Some(ValueOrigin::Commit(introduced)) => introduced,
        Some(ValueOrigin::Older(_)) => return Ok(Origin::Older),
        None => return Err(format!("the history says nothing about {} in {}", key.key, key.path)),
    };
    let sentence = |error: GitError| error.to_string();
    let (wrote, arrived) = (&introduced.wrote, introduced.arrived());
    let before = match commits.get(&arrived.commit).map_err(sentence)?.0 {
        Some(parent) => match history.value_at(commits.mirror, &parent, place).map_err(sentence)? {
            ValueAt::Declared(name, version) if name == place.name => Some(version),
            ValueAt::UnknownRevision => return Ok(Origin::Older),
            _ => None,
        },
        None => None,
    };
    let writer = commits.get(&wrote.commit).map_err(sentence)?.1;
    let (commit, by) = (wrote.commit.clone(), wrote.author.clone());
    let moved = match (former, found) {
        ([_, ..], Some(ValueOrigin::Commit(moved))) => Some(moved.arrived().time),
        _ => None,
    };
    let appeared = moved.or_else(|| before.is_none().then_some(arrived.time));
    let former =
        former.iter().map(|former| FormerPlace { path: former.key.path.clone(), name: former.key.name.clone() });
    let former = former.collect();
    Ok(Origin::Commit(Brought { commit, by, at: arrived.time, before, writer, former, appeared }))
}

/// The base of a commit, and who wrote it; one commit often introduces many pins.
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
        // Trusting a message alone would let anybody speak as the bot.
        let writer = if self.ledger.has_made(commit) { Writer::Bot } else { Writer::Person };
        let found = (entry.and_then(|entry| entry.parents.into_iter().next()), writer);
        drop(self.known.insert(commit.clone(), found.clone()));
        Ok(found)
    }
}
