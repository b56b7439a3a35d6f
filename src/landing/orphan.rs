//! What is said of images that nothing watches, or of which nothing can be told.

use jiff::{SignedDuration, Timestamp};

use crate::model::{BranchName, Cause, CauseCode, Landing, Rung, State};
use crate::plan::Declared;

/// How long nothing may watch a path before that is said: apps of apps and generators add controllers later.
const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// Most lines of what almost watches an image.
const MAX_NEAR: usize = 5;

/// Nothing in any cluster watches an image that came to its branch at `since`.
#[must_use]
pub fn everywhere(
    image: &Declared,
    branch: &BranchName,
    near: impl Iterator<Item = String>,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Landing {
    let message = format!("nothing in any cluster watches {} on branch {branch}", path(image));
    let next = "let an Argo CD Application or a Flux Kustomization watch it, or take it out of the policy".to_owned();
    let blame = CauseCode::Orphan.blame();
    let cause = Cause { code: CauseCode::Orphan, message, evidence: near.take(MAX_NEAR).collect(), next, blame };
    let until = since.and_then(|since| since.checked_add(GRACE).ok());
    match until.is_some_and(|until| now < until) {
        true => Landing { state: State::Pending, rung: Some(Rung::Fetched), cause: Some(cause) },
        false => Landing { state: State::Orphan, rung: None, cause: Some(cause) },
    }
}

/// Something watched it in this cluster, and nothing does any more, while it is watched elsewhere.
#[must_use]
pub fn gone(image: &Declared, branch: &BranchName, cluster: &str, last: Timestamp, near: &[String]) -> Landing {
    let environment = environment(image);
    let mut evidence = vec![format!("it was last seen to be watched there at {last:.0}")];
    evidence.extend(near.iter().take(MAX_NEAR - 1).cloned());
    let cause = Cause {
        code: CauseCode::Orphan,
        blame: CauseCode::Orphan.blame(),
        message: format!(
            "nothing in cluster {cluster} watches {} on branch {branch} any more; what it left there is not updated",
            path(image)
        ),
        evidence,
        next: format!(
            "bring back the Argo CD Application or Flux Kustomization that watched it; if it is not to run there any more, take {environment} out of the cluster's `environments`, or the path out of the policy"
        ),
    };
    Landing { state: State::Orphan, rung: None, cause: Some(cause) }
}

/// What watches it in a cluster is not known.
#[must_use]
pub fn cannot_tell(cluster: &str, why: Vec<String>) -> Landing {
    let cause = Cause {
        code: CauseCode::Unknown,
        blame: CauseCode::Unknown.blame(),
        message: format!("what watches this overlay in cluster {cluster} cannot be told"),
        evidence: why.into_iter().take(MAX_NEAR).collect(),
        next: "permit or mend what is named above".to_owned(),
    };
    Landing { state: State::Unknown, rung: Some(Rung::Fetched), cause: Some(cause) }
}

/// The bot itself failed at it.
#[must_use]
pub fn broken_off() -> Landing {
    let cause = Cause {
        code: CauseCode::Unknown,
        blame: CauseCode::Unknown.blame(),
        message: "judging this image broke off, which is a fault of the bot".to_owned(),
        evidence: Vec::new(),
        next: "report it with the bot's log; the image is judged again every few seconds, and all others are"
            .to_owned(),
    };
    Landing { state: State::Unknown, rung: None, cause: Some(cause) }
}

/// No cluster is configured for it: nothing beyond Git can be told, which is no incident.
#[must_use]
pub fn unwatched(image: &Declared, none_at_all: bool) -> Landing {
    let message = match none_at_all {
        true => "no cluster is configured, so that nothing is known beyond Git".to_owned(),
        false => format!("no cluster is configured for environment {}", environment(image)),
    };
    let next = "add it to `clusters` in the configuration".to_owned();
    let blame = CauseCode::Unproven.blame();
    let cause = Cause { code: CauseCode::Unproven, message, evidence: Vec::new(), next, blame };
    Landing { state: State::Unknown, rung: Some(Rung::Fetched), cause: Some(cause) }
}

fn path(image: &Declared) -> &str {
    image.pins.first().map_or(image.overlay.as_str(), |pin| pin.path.as_str())
}

fn environment(image: &Declared) -> &str {
    image.environment.as_deref().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ImageName, Tag, UpdateId, Version};

    #[test]
    fn what_has_just_been_committed_is_waited_for() {
        let (branch, name) = (BranchName::parse("main").unwrap(), ImageName::parse("ghcr.io/acme/web").unwrap());
        let version = Version { tag: Some(Tag::parse("1.0.0").unwrap()), digest: None };
        let image = Declared {
            id: UpdateId::of(&branch, "apps/web", "prod", &name, &version),
            app: "web".to_owned(),
            environment: Some("prod".to_owned()),
            policy: None,
            overlay: "apps/web".to_owned(),
            name,
            version,
            pins: Vec::new(),
            land_within: None,
        };
        let at = |minutes: i64| Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap();
        for (since, now, state) in [
            (Some(0), 9, State::Pending),
            (Some(0), 10, State::Orphan),
            // Where Git does not say when it came, there is nothing to wait for.
            (None, 0, State::Orphan),
        ] {
            let near = (0..9).map(|nth| format!("Application {nth} watches another folder"));
            let landing = everywhere(&image, &branch, near, since.map(at), at(now));
            assert_eq!(landing.state, state, "{since:?} {now}");
            assert_eq!(landing.cause.unwrap().evidence.len(), MAX_NEAR);
        }
    }
}
