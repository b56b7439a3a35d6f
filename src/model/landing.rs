//! How far a declared image has come, in the terms used in JSON, messages and alerts.
//!
//! The lists are closed: scripts depend on the names (`landfall status`, `landfall diagnose`).

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, CommitId, Digest, ImageName, UpdateId, Version};

/// The state of an update as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Still in progress.
    Pending,
    /// Running and healthy, on what Git declares.
    Landed,
    /// Failing in a way that waiting alone will not fix, or past its deadline.
    Stuck,
    /// A later commit declares another version.
    Superseded,
    /// The cluster went back to the previous version.
    RolledBack,
    /// Somebody closed its pull request.
    Rejected,
    /// Changed by hand in the cluster.
    Drifted,
    /// The controller has settled on another image: something overrides what Git declares here.
    Shadowed,
    /// No controller watches this path.
    Orphan,
    /// Stopped by a person or a window; the clock is paused.
    Paused,
    /// The reports are not sufficient, or too old.
    Unknown,
}

/// A step of an update on its way to landing; in a landing, the first one not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// A commit on a branch carries it.
    Committed,
    /// The watched branch carries it.
    Merged,
    /// The controller has read that commit.
    Fetched,
    /// The live template carries the image.
    Applied,
    /// The workload's controller has created all pods of that template.
    RolledOut,
    /// Those pods are up on its digest.
    Running,
}

/// The health of one object in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It matches its specification.
    Current,
    /// On its way.
    Progressing,
    /// Failing in a way that waiting alone will not fix.
    Failed,
    /// Suspended or paused by a person.
    Paused,
    /// Being deleted.
    Terminating,
    /// It does not say, or its status is stale.
    Unknown,
}

listed! {
    /// Why something is in its state: the closed list of causes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    #[allow(missing_docs, reason = "the names are the documentation: they stand in the contract and in every alert")]
    pub enum CauseCode {
        ImageNotFound,
        ImageUnauthorized,
        ImageRateLimited,
        ImagePlatform,
        ImagePull,
        CrashLoop,
        OutOfMemory,
        ConfigError,
        Unschedulable,
        Quota,
        AdmissionDenied,
        ImmutableField,
        Forbidden,
        ProgressDeadline,
        NotReady,
        Hook,
        Dependency,
        SyncFailed,
        BuildFailed,
        FetchFailed,
        NotFetched,
        WindowClosed,
        AutoSyncOff,
        Suspended,
        Shadowed,
        Drifted,
        RolledBack,
        Superseded,
        Orphan,
        ReviewPending,
        ReviewRejected,
        MergeConflict,
        PushRejected,
        LostRace,
        Disk,
        Authentication,
        JobFailed,
        CanaryPaused,
        Retagged,
        Unproven,
        Stale,
        Unknown,
    }
}

/// A cause, with what a person needs to act on it.
///
/// Whoever makes a cause cleans text that comes from a cluster (control characters, length, secrets).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Cause {
    /// Which one.
    pub code: CauseCode,
    /// One line: what is wrong and where.
    pub message: String,
    /// What was observed: fields, messages of the reporter, pods.
    pub evidence: Vec<String>,
    /// What to do next.
    pub next: String,
    /// Whether another version of the image would fare better.
    #[serde(skip)]
    pub blame: Blame,
}

impl Cause {
    /// Adds what the registry answered to the bot about an image that could not be pulled, since the kubelet's message
    /// may be out of date.
    pub fn hear_registry(&mut self, answer: &Answer<Digest>) {
        let said = match answer {
            Answer::Known(digest) if self.code == CauseCode::ImageNotFound => {
                self.message.push_str("; the registry has it now");
                self.next = "wait for the kubelet's next attempt within five minutes, or delete the pod so that it tries \
                             at once; if it still finds nothing, the nodes use a different registry from the bot, such as a mirror"
                    .to_owned();
                format!("the bot can pull it from the registry now: {digest}")
            }
            Answer::Known(digest) => {
                format!(
                    "the bot can pull it from the registry: {digest}; the nodes lack permission, or use another registry"
                )
            }
            Answer::Absent { message } => format!("the bot cannot find it in the registry either: {message}"),
            Answer::Failed { message, .. } => format!("the registry cannot be asked: {message}"),
        };
        self.evidence.push(said);
    }
}

/// What has to change before something with this cause can land.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// Possibly the version: another one, such as the previous one, may work.
    Version,
    /// Something that would hold up any version: the platform, the registry, a person, a rule.
    Platform,
}

impl CauseCode {
    /// What is to blame if only the code is known.
    #[must_use]
    pub fn blame(self) -> Blame {
        use CauseCode as C;
        match self {
            C::ImageNotFound
            | C::ImagePlatform
            | C::CrashLoop
            | C::OutOfMemory
            | C::ConfigError
            | C::ProgressDeadline
            | C::NotReady
            | C::Hook
            | C::JobFailed
            | C::AdmissionDenied
            | C::ImmutableField => Blame::Version,
            C::ImageUnauthorized
            | C::ImageRateLimited
            | C::ImagePull
            | C::Unschedulable
            | C::Quota
            | C::Forbidden
            | C::Dependency
            | C::SyncFailed
            | C::BuildFailed
            | C::FetchFailed
            | C::NotFetched
            | C::WindowClosed
            | C::AutoSyncOff
            | C::Suspended
            | C::Shadowed
            | C::Drifted
            | C::RolledBack
            | C::Superseded
            | C::Orphan
            | C::ReviewPending
            | C::ReviewRejected
            | C::MergeConflict
            | C::PushRejected
            | C::Authentication
            | C::LostRace
            | C::Disk
            | C::CanaryPaused
            | C::Retagged
            | C::Unproven
            | C::Stale
            | C::Unknown => Blame::Platform,
        }
    }
}

impl State {
    /// How urgent a state is: the greater, the more urgent. This is the only order in which landings are compared; if
    /// the time is known, use [`Tracked::severity`].
    #[must_use]
    pub fn severity(self) -> u8 {
        match self {
            Self::Stuck => 11,
            Self::RolledBack => 9,
            Self::Drifted => 8,
            Self::Shadowed => 7,
            Self::Orphan => 6,
            Self::Rejected => 5,
            Self::Unknown => 4,
            Self::Paused => 3,
            Self::Pending => 2,
            Self::Superseded => 1,
            Self::Landed => 0,
        }
    }
}

impl Landing {
    /// The worse of the two; the first if both are equally bad.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if other.state.severity() > self.state.severity() { other } else { self }
    }
}

/// How far an image has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Landing {
    /// The state.
    pub state: State,
    /// The first rung not reached; `None` if there is none left to wait for.
    pub rung: Option<Rung>,
    /// Why, if there is more to say than the state does.
    pub cause: Option<Cause>,
}

/// What Git declares, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Tag and digest.
    pub version: Version,
    /// The commit that brought it to the watched branch, if known.
    pub commit: Option<CommitId>,
    /// That commit's time.
    pub since: Option<Timestamp>,
    /// The author of that commit.
    pub by: Option<String>,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrackedThing {
    /// An image of an app.
    Image,
    /// A repository as a whole: it cannot be read, or no cycle of it ends.
    Repository,
    /// A cluster as a whole: there is no contact with it.
    Cluster,
}

/// An environment and its policy, affected by a row that is about more than one app.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Affected {
    /// The environment.
    pub environment: Option<String>,
    /// The policy.
    pub policy: Option<String>,
}

impl Affected {
    /// The environment and policy of a row.
    #[must_use]
    pub fn of(row: &Tracked) -> Self {
        Self { environment: row.environment.clone(), policy: row.policy.clone() }
    }
}

/// One declared image of one overlay in one cluster, and how far it has come; or a repository or cluster that is out of
/// reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// The update's id.
    pub id: UpdateId,
    /// What it is about. For a repository or cluster, `app` is its name, and image and version are only placeholders in
    /// alerts.
    pub thing: TrackedThing,
    /// The GitOps repository's name in the configuration.
    pub repository: String,
    /// The overlay's folder.
    pub overlay: String,
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The policy that covers it.
    pub policy: Option<String>,
    /// The cluster's name in the configuration; `None` before any is known.
    pub cluster: Option<String>,
    /// The image.
    pub image: ImageName,
    /// What Git declares or, before that, what it will declare.
    pub declared: Declared,
    /// What is running, one entry per distinct version.
    pub live: Vec<Version>,
    /// How far it has come.
    pub landing: Landing,
    /// When that state began.
    pub since: Option<Timestamp>,
    /// When it must have landed; `None` while the clock is paused or if no policy sets a limit.
    pub deadline: Option<Timestamp>,
    /// The pull request's address.
    pub pull_request: Option<String>,
    /// Assumptions that no cause mentions: a plugin that renders the file, another registry that is taken for a mirror.
    pub notes: Vec<String>,
    /// Whether it, or its controller, is flapping.
    pub flapping: bool,
    /// Whether it is unknown only because its cluster is out of reach; the cluster has a row of its own for that.
    pub unseen: bool,
    /// What it holds up, if it is not about a single app: a cluster, or one fault across many apps.
    pub affects: BTreeSet<Affected>,
}

impl Tracked {
    /// A row with only its subject and its landing: no place, no clock, nothing live.
    #[must_use]
    pub fn new(
        id: UpdateId,
        repository: &str,
        app: &str,
        image: ImageName,
        version: Version,
        landing: Landing,
    ) -> Self {
        Self {
            id,
            thing: TrackedThing::Image,
            repository: repository.to_owned(),
            overlay: String::new(),
            app: app.to_owned(),
            environment: None,
            policy: None,
            cluster: None,
            image,
            declared: Declared { version, commit: None, since: None, by: None },
            live: Vec::new(),
            landing,
            since: None,
            deadline: None,
            pull_request: None,
            notes: Vec::new(),
            flapping: false,
            unseen: false,
            affects: BTreeSet::new(),
        }
    }

    /// Whether its deadline has passed and it has not landed.
    #[must_use]
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.landing.state != State::Landed && self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// [`State::severity`], except that a late row ranks right after the stuck ones.
    #[must_use]
    pub fn severity(&self, now: Timestamp) -> u8 {
        let state = self.landing.state.severity();
        if self.is_late(now) { state.max(State::Stuck.severity() - 1) } else { state }
    }
}

macro_rules! displays_as_serialized {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }
    )*};
}
displays_as_serialized!(State, Rung, Verdict, CauseCode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        assert_eq!(State::RolledBack.to_string(), "rolled-back");
        assert_eq!(Rung::RolledOut.to_string(), "rolled-out");
        assert_eq!(CauseCode::ImageNotFound.to_string(), "image-not-found");
        assert_eq!(serde_json::to_string(&Verdict::Current).unwrap(), "\"current\"");
    }

    #[test]
    fn a_tag_that_the_registry_has_by_now_need_not_be_pushed() {
        let digest = Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
        for (code, has, not) in [
            (CauseCode::ImageNotFound, "the registry has it now", "push it"),
            (CauseCode::ImageUnauthorized, "the nodes lack permission", "has it now"),
        ] {
            let (message, next) = ("it cannot be pulled".to_owned(), "push it".to_owned());
            let mut cause = Cause { code, message, evidence: Vec::new(), next, blame: code.blame() };
            cause.hear_registry(&Answer::Known(digest.clone()));
            let told = format!("{cause:?}");
            assert!(told.contains(has) && (!told.contains(not) || code != CauseCode::ImageNotFound), "{told}");
        }
    }

    #[test]
    fn what_is_late_comes_after_what_is_stuck_and_before_all_else() {
        let image = ImageName::parse("ghcr.io/acme/web").unwrap();
        let branch = crate::model::BranchName::parse("main").unwrap();
        let version = Version { tag: crate::model::Tag::parse("1.0.0").ok(), digest: None };
        let (now, id) = (Timestamp::UNIX_EPOCH, UpdateId::of(&branch, "", "web", &image, &version));
        let row = |state, deadline| {
            let landing = Landing { state, rung: None, cause: None };
            Tracked { deadline, ..Tracked::new(id.clone(), "r", "web", image.clone(), version.clone(), landing) }
        };
        let order = [
            row(State::Stuck, None),
            row(State::Pending, Some(now)),
            row(State::RolledBack, None),
            row(State::Pending, None),
            row(State::Landed, Some(now)),
        ];
        assert!(order.is_sorted_by(|one, other| one.severity(now) > other.severity(now)));
    }
}
