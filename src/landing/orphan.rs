//! Landings of images that no controller watches, or whose watchers are unknown.

use jiff::{SignedDuration, Timestamp};

use crate::model::{BranchName, Cause, CauseCode, Landing, Rung, State};
use crate::plan::Declared;

/// How long a path may have no watcher before that is reported: apps of apps and generators add controllers later.
const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// Maximum number of near misses listed.
const MAX_NEAR: usize = 5;

/// No cluster watches an image that arrived on its branch at `since`.
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

/// It used to be watched in this cluster and no longer is, while other clusters still watch it.
#[must_use]
pub fn gone(image: &Declared, branch: &BranchName, cluster: &str, last: Timestamp, near: &[String]) -> Landing {
    let environment = environment(image);
    let mut evidence = vec![format!("it was last watched there at {last:.0}")];
    evidence.extend(near.iter().take(MAX_NEAR - 1).cloned());
    let cause = Cause {
        code: CauseCode::Orphan,
        blame: CauseCode::Orphan.blame(),
        message: format!(
            "nothing in cluster {cluster} watches {} on branch {branch} any more; what is left there is no longer updated",
            path(image)
        ),
        evidence,
        next: format!(
            "restore the Argo CD Application or Flux Kustomization that watched it; if it should no longer run there, remove {environment} from the cluster's `environments`, or the path from the policy"
        ),
    };
    Landing { state: State::Orphan, rung: None, cause: Some(cause) }
}

/// It is not known what watches the image in a cluster.
#[must_use]
pub fn cannot_tell(cluster: &str, why: Vec<String>) -> Landing {
    let cause = Cause {
        code: CauseCode::Unknown,
        blame: CauseCode::Unknown.blame(),
        message: format!("it is unknown what watches this overlay in cluster {cluster}"),
        evidence: why.into_iter().take(MAX_NEAR).collect(),
        next: "grant the missing permission, or fix the error named above".to_owned(),
    };
    Landing { state: State::Unknown, rung: Some(Rung::Fetched), cause: Some(cause) }
}

/// The bot itself failed while judging the image.
#[must_use]
pub fn broken_off() -> Landing {
    let cause = Cause {
        code: CauseCode::Unknown,
        blame: CauseCode::Unknown.blame(),
        message: "judging this image failed because of a bug in the bot".to_owned(),
        evidence: Vec::new(),
        next:
            "report it with the bot's log; this image is judged again every few seconds, and no other image is affected"
                .to_owned(),
    };
    Landing { state: State::Unknown, rung: None, cause: Some(cause) }
}

/// No cluster is configured for it: nothing is known beyond Git. That is not an incident.
#[must_use]
pub fn unwatched(image: &Declared, none_at_all: bool) -> Landing {
    let message = match none_at_all {
        true => "no cluster is configured, so nothing is known beyond Git".to_owned(),
        false => format!("no cluster is configured for environment {}", environment(image)),
    };
    let next = "add it to `clusters` in the configuration".to_owned();
    let blame = CauseCode::Unproven.blame();
    let cause = Cause { code: CauseCode::Unproven, message, evidence: Vec::new(), next, blame };
    Landing { state: State::Unknown, rung: Some(Rung::Fetched), cause: Some(cause) }
}

/// No object of a cluster names it, as far as can be seen: nothing is known beyond Git. That is not an incident.
#[must_use]
pub fn not_followed(image: &Declared) -> Landing {
    let cause = Cause {
        code: CauseCode::Unproven,
        blame: CauseCode::Unproven.blame(),
        message: format!(
            "no object of a cluster names {} as {} does, so nothing is known beyond Git",
            image.name,
            path(image)
        ),
        evidence: Vec::new(),
        next: "look at what reads that file".to_owned(),
    };
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
