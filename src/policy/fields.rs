//! What a policy can say, each part with the place where it says it.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{BranchName, ImageName, MergeMethod, RepoPath};
use crate::select::TagPolicy;

use super::{GroupTemplate, ImagePattern, PathPattern, Window};

/// A place in a configuration or policy file; line and column count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceLocation {
    /// The file as it was named to the reader.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// In a list of platforms: those that the image has that is written now.
pub const CURRENT: &str = "current";

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: SourceLocation,
}

/// How an update is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Write {
    // By strength, the weakest first.
    /// Not at all.
    Never,
    /// As a pull request that a person reviews.
    PullRequest,
    /// As a commit on the branch.
    Commit,
}

impl Write {
    /// The word used in policy files, JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::PullRequest => "pull-request",
            Self::Commit => "commit",
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A path-based rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name, used in commits, grouping and messages.
    pub name: Sourced<String>,
    /// The files it is for; at least one.
    pub paths: Vec<PathPattern>,
    /// The images it is for; empty: every image.
    pub images: Vec<ImagePattern>,
    /// What it says about them.
    pub fields: Fields,
    /// Where the policy begins.
    pub origin: SourceLocation,
}

/// The parts of a policy that a later policy can replace one by one. `None`: nothing is said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields {
    /// The environment that the matched paths belong to. As written it may use captures (`{env}`); in an
    /// [`Effective`](super::Effective) policy they are filled in.
    pub environment: Option<Sourced<String>>,
    /// How updates are written.
    pub write: Option<Sourced<Write>>,
    /// The branch they are written to; otherwise the repository's.
    pub branch: Option<Sourced<BranchName>>,
    /// Which tags are candidates and how they are ordered.
    pub tags: Option<Sourced<TagPolicy>>,
    /// The platforms (`os/arch[/variant]`) that a candidate must have; [`CURRENT`] stands for those of the image that is
    /// written now. Part of the `tags` block: replaced with it.
    pub platforms: Option<Sourced<Vec<String>>>,
    /// Whether a tag that the policy would never choose is replaced by one that it does, whatever their order.
    pub adopt: Option<Sourced<bool>>,
    /// How the chosen version is written.
    pub pin: Option<Sourced<PinStyle>>,
    /// Which updates share a commit.
    pub group: Option<Sourced<GroupTemplate>>,
    /// How long an update may take from commit to running before it counts as stuck.
    pub land_within: Option<Sourced<Duration>>,
    /// How long a pull request may wait for a review before somebody is told.
    pub review_within: Option<Sourced<Duration>>,
    /// Settings of pull requests.
    pub pull_request: PullRequestFields,
    /// How old an image must be before it is taken.
    pub minimum_release_age: Option<Sourced<Duration>>,
    /// When updates may be written; several windows that allow are alternatives, one that denies is enough.
    pub windows: Option<Sourced<Vec<Window>>>,
    /// Windows of the caps that apply; all must be open. Policies cannot set them.
    pub cap_windows: Vec<Sourced<Vec<Window>>>,
    /// The environments in which a version must have proved itself.
    pub promote_from: Option<Sourced<PromoteFrom>>,
    /// How many updates may be made in some time.
    pub rate: Option<Sourced<Rate>>,
    /// For how long updates are gathered before they are written together.
    pub debounce: Option<Sourced<Duration>>,
    /// What ends a person's decision about a version.
    pub resume: Option<Sourced<Resume>>,
    /// When what does not run is taken back.
    pub rollback: Option<Sourced<Rollback>>,
}

/// What ends a revert, a downgrade or a version chosen by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// A newer version.
    Newer,
    /// `landfall release` alone.
    Manual,
}

impl Resume {
    /// The word used in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newer => "newer",
            Self::Manual => "manual",
        }
    }
}

/// The rollback of what does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// For how long it must have failed.
    pub after: Duration,
    /// How the rollback is written; `None`: like an update.
    pub write: Option<Write>,
}

/// Settings of pull requests; each key is replaced on its own by a later policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PullRequestFields {
    /// People (`user`) and teams (`org/team`) asked to review.
    pub reviewers: Option<Sourced<Vec<String>>>,
    /// Labels to add.
    pub labels: Option<Sourced<Vec<String>>>,
    /// Whether it is opened as a draft.
    pub draft: Option<Sourced<bool>>,
    /// Which updates share a pull request.
    pub group: Option<Sourced<GroupTemplate>>,
    /// Whether the bot merges it once it is approved, its checks pass and every gate is open.
    pub automerge: Option<Sourced<bool>>,
    /// How it is merged, where the repository allows that.
    pub merge_method: Option<Sourced<MergeMethod>>,
    /// How many people must approve of its last commit.
    pub approvals: Option<Sourced<u32>>,
    /// The label that somebody must put on it.
    pub approval_label: Option<Sourced<String>>,
    /// The checks that must pass; empty: every one that the forge shows.
    pub checks: Option<Sourced<Vec<String>>>,
    /// How many pull requests of the policy may be open at a time.
    pub limit: Option<Sourced<u32>>,
    /// After how long its reviewers are reminded, once.
    pub remind_after: Option<Sourced<Duration>>,
    /// Whether the code owners of its files are asked to review.
    pub code_owners: Option<Sourced<bool>>,
}

/// How a chosen version is written into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PinStyle {
    /// As `tag@digest`.
    Digest,
}

impl PinStyle {
    /// The word used in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
        }
    }
}

/// The promotion gate: only what has proved itself upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromoteFrom {
    /// The upstream environments; at least one.
    pub environments: Vec<String>,
    /// How many of them are enough.
    pub of: Enough,
    /// For how long it must have been well there.
    pub soak_time: Duration,
    /// What counts as a proof.
    pub require: Require,
    /// Environments or clusters in which the very version must have landed before: waves.
    pub after: Vec<String>,
    /// For how long it must have been well in each of those.
    pub after_soak_time: Duration,
    /// Checks (commit statuses, check runs) that must have passed on the commit that brought it upstream.
    pub checks: Vec<String>,
}

impl PromoteFrom {
    /// The upstream environments for a message: `staging`, `qa and staging`, `qa or staging`.
    #[must_use]
    pub fn upstream(&self) -> String {
        let word = match self.of {
            Enough::All => " and ",
            Enough::Any => " or ",
        };
        self.environments.join(word)
    }
}

impl PromoteFrom {
    /// Whether what has proved itself in these environments has done so in those of the other.
    fn proves(&self, other: &Self) -> bool {
        let has = |name: &String| self.environments.contains(name);
        match (self.needs_all(), other.needs_all()) {
            (true, true) => other.environments.iter().all(has),
            (true, false) => other.environments.iter().any(has),
            (false, false) => self.environments.iter().all(|name| other.environments.contains(name)),
            (false, true) => false,
        }
    }

    /// One of one environment is all of them.
    fn needs_all(&self) -> bool {
        self.of == Enough::All || self.environments.len() == 1
    }

    /// What proves as much as both ask for.
    #[must_use]
    fn with(&self, other: &Self) -> Self {
        fn both(one: &[String], other: &[String]) -> Vec<String> {
            let more = other.iter().filter(|name| !one.contains(name));
            one.iter().chain(more).cloned().collect()
        }
        let (environments, of) = if self.proves(other) {
            (self.environments.clone(), self.of)
        } else if other.proves(self) {
            (other.environments.clone(), other.of)
        } else {
            (both(&self.environments, &other.environments), Enough::All)
        };
        let landed = self.require == Require::Landed || other.require == Require::Landed;
        Self {
            environments,
            of,
            soak_time: self.soak_time.max(other.soak_time),
            require: if landed { Require::Landed } else { Require::Committed },
            after: both(&self.after, &other.after),
            after_soak_time: self.after_soak_time.max(other.after_soak_time),
            checks: both(&self.checks, &other.checks),
        }
    }
}

/// How many of several upstream environments must have proved a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Enough {
    /// Every one.
    All,
    /// One of them.
    Any,
}

impl Enough {
    /// The word used in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Any => "any",
        }
    }
}

/// What proves a version upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// It runs there, well, on its digest.
    Landed,
    /// Git declares it there.
    Committed,
}

impl Require {
    /// The word used in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Landed => "landed",
            Self::Committed => "committed",
        }
    }
}

/// How many updates may be made in some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// At most so many; one or more.
    pub updates: u32,
    /// In any span of this length.
    pub per: Duration,
}

/// A limit that the bot's configuration sets to what policies may do below some paths.
#[derive(Debug, Clone, PartialEq)]
pub struct Cap {
    /// The files it is for.
    pub paths: Vec<PathPattern>,
    /// What is allowed there; [`Write::Never`] always is.
    pub write: Vec<Write>,
    /// Whether the bot may merge its own pull requests there.
    pub automerge: bool,
    /// The least number of approvals before it does.
    pub approvals: u32,
    /// The least age of an image.
    pub minimum_release_age: Option<Duration>,
    /// The only images that may be written there; empty: every image.
    pub images: Vec<ImagePattern>,
    /// The only registries that they may come from; empty: every registry.
    pub registries: Vec<String>,
    /// What a version must at least have proved before.
    pub promote_from: Option<PromoteFrom>,
    /// The windows that must be open beside the policies' own.
    pub windows: Option<Vec<Window>>,
    /// Whether policies may have the bot roll back by itself.
    pub rollback: bool,
    /// Where it was written.
    pub origin: SourceLocation,
}

impl Cap {
    /// The strongest allowed way of writing that is not stronger than what was asked for.
    #[must_use]
    pub fn limit(&self, asked: Write) -> Write {
        self.write.iter().copied().filter(|allowed| *allowed <= asked).max().unwrap_or(Write::Never)
    }

    /// Whether the cap is for a file.
    #[must_use]
    pub fn is_for(&self, path: &RepoPath) -> bool {
        self.paths.iter().any(|pattern| pattern.matches(path).is_some())
    }

    /// Whether an image may be written there.
    #[must_use]
    pub fn allows(&self, image: &ImageName) -> bool {
        let registry = self.registries.is_empty() || self.registries.iter().any(|host| host == image.registry());
        registry && (self.images.is_empty() || self.images.iter().any(|glob| glob.matches(image)))
    }

    /// Brings the fields within the cap; what they asked for beyond it, in words.
    pub(super) fn tighten(&self, fields: &mut Fields) -> Vec<String> {
        let at = |value| Sourced { value, origin: self.origin.clone() };
        let mut beyond = Vec::new();
        let pull = &mut fields.pull_request;
        if !self.automerge && pull.automerge.as_ref().is_some_and(|automerge| automerge.value) {
            pull.automerge = Some(at(false));
            beyond.push("`automerge: true` is not allowed there, so a person merges".to_owned());
        }
        let merges = pull.automerge.as_ref().is_some_and(|automerge| automerge.value);
        let approvals = pull.approvals.as_ref().map_or(0, |approvals| approvals.value);
        if merges && approvals < self.approvals {
            pull.approvals = Some(Sourced { value: self.approvals, origin: self.origin.clone() });
            beyond.push(format!("`approvals: {approvals}` is less than the {} asked for there", self.approvals));
        }
        let age = fields.minimum_release_age.as_ref().map(|age| age.value);
        if let Some(least) = self.minimum_release_age.filter(|least| age.is_none_or(|age| age < *least)) {
            fields.minimum_release_age = Some(Sourced { value: least, origin: self.origin.clone() });
            // A policy that asks for none is under the cap's, and asks for nothing beyond it.
            if age.is_some() {
                beyond.push("`minimumReleaseAge` is shorter than the one asked for there".to_owned());
            }
        }
        if let Some(least) = &self.promote_from {
            let asked = fields.promote_from.take().map(|asked| asked.value);
            let strictest = asked.as_ref().map_or_else(|| least.clone(), |asked| asked.with(least));
            if asked.as_ref().is_some_and(|asked| *asked != strictest) {
                beyond.push("`promoteFrom` asks for less proof than is asked for there".to_owned());
            }
            fields.promote_from = Some(Sourced { value: strictest, origin: self.origin.clone() });
        }
        if let Some(windows) = &self.windows {
            fields.cap_windows.push(Sourced { value: windows.clone(), origin: self.origin.clone() });
        }
        if !self.rollback && fields.rollback.take().is_some() {
            beyond.push("`rollback` is not allowed there, so a person rolls back".to_owned());
        }
        beyond
    }
}

/// Takes each field that `later` sets.
fn replace<T: Clone>(field: &mut Option<T>, later: Option<&T>) {
    if let Some(later) = later {
        *field = Some(later.clone());
    }
}

impl Fields {
    /// Lays `later` over these fields: what it sets replaces what was set, key by key.
    pub(super) fn overlay(&mut self, later: &Self) {
        replace(&mut self.environment, later.environment.as_ref());
        replace(&mut self.write, later.write.as_ref());
        replace(&mut self.branch, later.branch.as_ref());
        if later.tags.is_some() {
            self.platforms = None;
        }
        replace(&mut self.tags, later.tags.as_ref());
        replace(&mut self.platforms, later.platforms.as_ref());
        replace(&mut self.adopt, later.adopt.as_ref());
        replace(&mut self.pin, later.pin.as_ref());
        replace(&mut self.group, later.group.as_ref());
        replace(&mut self.land_within, later.land_within.as_ref());
        replace(&mut self.review_within, later.review_within.as_ref());
        replace(&mut self.minimum_release_age, later.minimum_release_age.as_ref());
        replace(&mut self.windows, later.windows.as_ref());
        replace(&mut self.promote_from, later.promote_from.as_ref());
        replace(&mut self.rate, later.rate.as_ref());
        replace(&mut self.debounce, later.debounce.as_ref());
        replace(&mut self.resume, later.resume.as_ref());
        replace(&mut self.rollback, later.rollback.as_ref());
        let (own, other) = (&mut self.pull_request, &later.pull_request);
        replace(&mut own.reviewers, other.reviewers.as_ref());
        replace(&mut own.labels, other.labels.as_ref());
        replace(&mut own.draft, other.draft.as_ref());
        replace(&mut own.group, other.group.as_ref());
        replace(&mut own.automerge, other.automerge.as_ref());
        replace(&mut own.merge_method, other.merge_method.as_ref());
        replace(&mut own.approvals, other.approvals.as_ref());
        replace(&mut own.approval_label, other.approval_label.as_ref());
        replace(&mut own.checks, other.checks.as_ref());
        replace(&mut own.limit, other.limit.as_ref());
        replace(&mut own.remind_after, other.remind_after.as_ref());
        replace(&mut own.code_owners, other.code_owners.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(environments: &[&str], of: Enough) -> PromoteFrom {
        PromoteFrom {
            environments: environments.iter().map(|name| (*name).to_owned()).collect(),
            of,
            soak_time: Duration::ZERO,
            require: Require::Landed,
            after: Vec::new(),
            after_soak_time: Duration::ZERO,
            checks: Vec::new(),
        }
    }

    #[test]
    fn a_cap_on_proof_leaves_what_proves_as_much_as_it_is() {
        use Enough::{All, Any};
        for (asked, cap, wanted) in [
            (from(&["staging"], Any), from(&["staging", "qa"], Any), from(&["staging"], Any)),
            (from(&["staging", "eu"], All), from(&["staging", "qa"], Any), from(&["staging", "eu"], All)),
            (from(&["staging", "qa"], Any), from(&["qa", "staging"], Any), from(&["staging", "qa"], Any)),
            (from(&["staging", "qa", "eu"], Any), from(&["qa", "eu"], Any), from(&["qa", "eu"], Any)),
            (from(&["staging", "qa"], Any), from(&["qa"], All), from(&["qa"], All)),
            (from(&["dev"], All), from(&["dev", "staging"], All), from(&["dev", "staging"], All)),
            (from(&["dev"], Any), from(&["staging", "qa"], Any), from(&["dev", "staging", "qa"], All)),
            (from(&["dev", "qa"], Any), from(&["qa", "eu"], All), from(&["qa", "eu"], All)),
        ] {
            assert_eq!(asked.with(&cap), wanted, "{asked:?} under {cap:?}");
        }
    }
}
