//! What the ledger trusts in a commit message.
//!
//! Anybody whose change is merged can write any trailer. So a record of an update counts only if the commit really
//! moved an image of that overlay to that version and the id is that of exactly this move; a rollback only if the
//! version it claims to revert is the one that was there before. A release moves nothing, so it counts only by its
//! position in the history.

use std::collections::BTreeMap;

use crate::model::wildcard::Steps;
use crate::model::{BranchName, ImageName, RepoPath, UpdateId, Version};

use super::{Record, RecordKind};

/// What a commit changed relative to its first parent, read from the trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitProof {
    /// The images whose declared version changed.
    pub moved: Vec<MovedPin>,
    /// Whether a release recorded in it counts.
    pub releases: ReleaseAuthority,
}

/// An image whose declared version changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedPin {
    /// The file.
    pub path: RepoPath,
    /// The image.
    pub name: ImageName,
    /// The previously declared version; `None` if there was none.
    pub from: Option<Version>,
    /// The version declared now.
    pub to: Version,
}

/// Whether the releases in a commit count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseAuthority {
    /// The bot pushed it onto the branch itself: it is on the branch's own line, was committed by the bot, and changes
    /// nothing but decision files.
    Bot,
    /// It came with a merge, is from somebody else, or changes something else as well.
    Nobody,
}

/// The moves of a commit by image and path, so that each record is compared only with those of its image and overlay.
pub(super) struct Moves<'p> {
    moved: BTreeMap<(String, &'p str), Vec<&'p MovedPin>>,
    releases: ReleaseAuthority,
}

impl<'p> Moves<'p> {
    pub(super) fn of(proof: &'p CommitProof) -> Self {
        let mut moved: BTreeMap<(String, &str), Vec<&MovedPin>> = BTreeMap::new();
        for pin in &proof.moved {
            moved.entry((pin.name.to_string(), pin.path.as_str())).or_default().push(pin);
        }
        Self { moved, releases: proof.releases }
    }

    /// Whether the commit did what the record says, on this branch. Without steps, it did not.
    pub(super) fn bear_out(&self, branch: &BranchName, record: &Record, steps: &mut Steps) -> bool {
        let place = &record.place;
        match record.kind {
            RecordKind::Release => self.releases == ReleaseAuthority::Bot,
            RecordKind::Update => self
                .moved
                .range((place.image.clone(), place.overlay.as_str())..)
                .take_while(|((image, path), _)| *image == place.image && path.starts_with(&place.overlay))
                .flat_map(|(_, moved)| moved)
                .take_while(|_| steps.take(1))
                .any(|moved| moved.is_recorded_by(branch, record)),
        }
    }
}

impl MovedPin {
    fn is_recorded_by(&self, branch: &BranchName, record: &Record) -> bool {
        let place = &record.place;
        let scope = place.environment.as_ref().unwrap_or(&place.policy);
        // Files of one overlay under different rules have scopes of their own.
        let scopes = [scope.clone(), format!("{scope}\n{}", self.path)];
        let id = |scope: &str, version: &Version| UpdateId::of(branch, &place.overlay, scope, &self.name, version);
        scopes.iter().any(|scope| match &record.rollback {
            None => id(scope, &self.to) == record.id,
            Some(bad) => {
                self.from.as_ref().is_some_and(|from| id(scope, from) == *bad)
                    && id(&format!("{scope}\nrollback {bad}"), &self.to) == record.id
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::{CommitId, Tag};
    use crate::plan::Ledger;

    fn version(tag: &str) -> Version {
        Version { tag: Some(Tag::parse(tag).unwrap()), digest: None }
    }

    fn update(overlay: &str, tag: &str) -> UpdateId {
        let image = ImageName::parse("ghcr.io/acme/web").unwrap();
        UpdateId::of(&BranchName::parse("main").unwrap(), overlay, "prod", &image, &version(tag))
    }

    fn message(key: &str, id: &UpdateId, overlay: &str, more: &str) -> String {
        format!(
            "x\n\n{key}: {id}\nLandfall-Image: ghcr.io/acme/web\nLandfall-Overlay: {overlay}\nLandfall-Environment: prod\n{more}"
        )
    }

    fn ledger(message: &str, releases: ReleaseAuthority) -> Ledger {
        let moved = MovedPin {
            path: RepoPath::parse("apps/web/prod/kustomization.yaml").unwrap(),
            name: ImageName::parse("ghcr.io/acme/web").unwrap(),
            from: Some(version("1.0.0")),
            to: version("2.0.0"),
        };
        let mut ledger = Ledger::default();
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        let proof = CommitProof { moved: vec![moved], releases };
        ledger.record(&BranchName::parse("main").unwrap(), &commit, (Timestamp::UNIX_EPOCH, message), &proof);
        ledger
    }

    #[test]
    fn an_update_counts_where_the_commit_made_it_and_nowhere_else() {
        const HERE: &str = "apps/web/prod";
        for (id, overlay, counts) in [
            (update(HERE, "2.0.0"), HERE, true),
            // The id of a version that it did not bring, of another place, and of another place under its own name.
            (update(HERE, "3.0.0"), HERE, false),
            (update("apps/api/prod", "2.0.0"), HERE, false),
            (update("apps/api/prod", "2.0.0"), "apps/api/prod", false),
        ] {
            let ledger = ledger(&message(super::super::UPDATE, &id, overlay, ""), ReleaseAuthority::Nobody);
            assert_eq!(ledger.get(&id).is_some(), counts, "{id} in {overlay}");
        }
    }

    #[test]
    fn a_rollback_takes_back_only_what_stood_there_before() {
        let image = ImageName::parse("ghcr.io/acme/web").unwrap();
        let branch = BranchName::parse("main").unwrap();
        for (bad, counts) in [(update("apps/web/prod", "1.0.0"), true), (update("apps/web/prod", "3.0.0"), false)] {
            let scope = format!("prod\nrollback {bad}");
            let id = UpdateId::of(&branch, "apps/web/prod", &scope, &image, &version("2.0.0"));
            let more = format!("Landfall-Rollback: {bad}\n");
            let text = message(super::super::UPDATE, &id, "apps/web/prod", &more);
            let ledger = ledger(&text, ReleaseAuthority::Nobody);
            assert_eq!(ledger.rolled_back(&bad).is_some(), counts, "{bad}");
        }
    }

    #[test]
    fn a_release_counts_where_the_bot_pushed_it() {
        let id = update("apps/web/prod", "2.0.0");
        let text = message(super::super::RELEASE, &id, "apps/web/prod", "");
        let place = || crate::plan::UpdatePlace::default();
        for (releases, counts) in [(ReleaseAuthority::Bot, true), (ReleaseAuthority::Nobody, false)] {
            let ledger = ledger(&text, releases);
            assert_eq!(ledger.releases().since(&id, &place(), Timestamp::UNIX_EPOCH).is_some(), counts);
        }
    }

    #[test]
    fn tens_of_thousands_of_records_are_proven_one_by_one_and_no_more_than_that() {
        const MANY: usize = 10_000;
        let image = ImageName::parse("ghcr.io/acme/web").unwrap();
        let branch = BranchName::parse("main").unwrap();
        let overlay = |n: usize| format!("apps/{n}");
        let moved = (0..MANY).map(|n| MovedPin {
            path: RepoPath::parse(&format!("apps/{n}/kustomization.yaml")).unwrap(),
            name: image.clone(),
            from: None,
            to: version("2.0.0"),
        });
        let proof = CommitProof { moved: moved.collect(), releases: ReleaseAuthority::Nobody };
        let record = |n: usize, of: &str| message(super::super::UPDATE, &update(&overlay(n), "2.0.0"), of, "");
        let honest: String = (0..MANY).map(|n| record(n, &overlay(n))).collect();
        let counted =
            |text: &str| super::super::verdicts(&branch, text, &proof).into_iter().filter(|counts| *counts).count();
        assert_eq!(counted(&honest), MANY);
        // Each of these would have to be compared with all moves.
        let hostile: String = (0..MANY).map(|n| record(n, "")).collect();
        let begin = std::time::Instant::now();
        assert_eq!(counted(&hostile), 0);
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "{:?}", begin.elapsed());
    }
}
