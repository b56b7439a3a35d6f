//! The fields of a policy, each with its place in a file.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{BranchName, ImageName, KeyPath, MergeMethod, RepoPath, Verification};
use crate::select::TagPolicy;

use super::{GroupTemplate, ImagePattern, PathPattern, Window};

/// A place in a configuration or policy file; line and column count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceLocation {
    /// The file, as named to the reader.
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

/// In a list of platforms: the platforms of the image that is currently written.
pub const CURRENT: &str = "current";

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: SourceLocation,
}

/// How updates are written. Ordered by strength: never < pull request < commit.
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
    /// The name used in policy files, JSON and tables.
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
    /// The files it applies to; at least one.
    pub paths: Vec<PathPattern>,
    /// The images it applies to; empty: every image.
    pub images: Vec<ImagePattern>,
    /// What it declares of values that no kind of pin recognises.
    pub key_paths: Vec<KeyPath>,
    /// Its fields.
    pub fields: Fields,
    /// Where the policy begins.
    pub origin: SourceLocation,
}

/// The parts of a policy that a later policy can replace one by one. `None`: not set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields {
    /// The environment of the matched paths. As written it may use captures (`{env}`); in an
    /// [`Effective`](super::Effective) policy they are filled in.
    pub environment: Option<Sourced<String>>,
    /// How updates are written.
    pub write: Option<Sourced<Write>>,
    /// The branch they are written to; by default the repository's.
    pub branch: Option<Sourced<BranchName>>,
    /// Which tags are candidates and how they are ordered.
    pub tags: Option<Sourced<TagPolicy>>,
    /// The platforms (`os/arch[/variant]`) that a candidate must have; [`CURRENT`] stands for those of the current
    /// image. Part of the `tags` block, and replaced together with it.
    pub platforms: Option<Sourced<Vec<String>>>,
    /// Whether a current tag that the policy would never select is replaced by one that it does, whatever their order.
    pub adopt: Option<Sourced<bool>>,
    /// How the selected version is written.
    pub pin: Option<Sourced<PinStyle>>,
    /// What becomes of a range of versions that is written in place of a chart's version; `None`: it is left alone.
    pub ranges: Option<Sourced<Ranges>>,
    /// Which updates share a commit.
    pub group: Option<Sourced<GroupTemplate>>,
    /// How long an update may take from commit to running before it counts as stuck.
    pub land_within: Option<Sourced<Duration>>,
    /// How long a pull request may wait for a review before somebody is notified.
    pub review_within: Option<Sourced<Duration>>,
    /// Settings of pull requests.
    pub pull_request: PullRequestFields,
    /// The minimum age of an image.
    pub minimum_release_age: Option<Sourced<Duration>>,
    /// When updates may be written. One open `allow` window is enough to allow, one open `deny` window is enough to
    /// forbid.
    pub windows: Option<Sourced<Vec<Window>>>,
    /// The windows of the caps that apply; all must be open. Policies cannot set them.
    pub cap_windows: Vec<Sourced<Vec<Window>>>,
    /// The environments in which a version must have proved itself first.
    pub promote_from: Option<Sourced<PromoteFrom>>,
    /// How many updates are allowed in a span of time.
    pub rate: Option<Sourced<Rate>>,
    /// How long updates are collected before they are written together.
    pub debounce: Option<Sourced<Duration>>,
    /// What ends a person's decision about a version.
    pub resume: Option<Sourced<Resume>>,
    /// When a version that does not run is rolled back.
    pub rollback: Option<Sourced<Rollback>>,
    /// What happens when a written tag is pushed again as another image; `None`: nobody looks.
    pub on_retag: Option<Sourced<OnRetag>>,
    /// Which signatures an image must have.
    pub verify: Option<Sourced<Arc<Verification>>>,
    /// What the caps that apply demand of signatures; all of it counts. Policies cannot set it.
    pub cap_verify: Vec<Sourced<Arc<Verification>>>,
}

impl Fields {
    /// Whether a range of versions is replaced by a version.
    #[must_use]
    pub fn pins_ranges(&self) -> bool {
        self.ranges.as_ref().is_some_and(|ranges| ranges.value == Ranges::Pin)
    }

    /// Everything that is demanded of an image's signatures, the policy's own first.
    pub fn verifications(&self) -> impl Iterator<Item = &Sourced<Arc<Verification>>> {
        self.verify.iter().chain(&self.cap_verify)
    }
}

/// What happens when a tag is pushed again as another image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRetag {
    /// A written digest follows the tag.
    Follow,
    /// It is held until somebody releases it.
    Hold,
    /// The same, and it is an incident.
    Alert,
}

impl OnRetag {
    /// The name used in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Follow => "follow",
            Self::Hold => "hold",
            Self::Alert => "alert",
        }
    }
}

/// What ends the hold after a revert, a downgrade or a version chosen by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// A newer version.
    Newer,
    /// Only `landfall release`.
    Manual,
}

impl Resume {
    /// The name used in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newer => "newer",
            Self::Manual => "manual",
        }
    }
}

/// The automatic rollback of a version that does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// How long it must have been failing.
    pub after: Duration,
    /// How the rollback is written; `None`: like an update.
    pub write: Option<Write>,
}

/// Settings of pull requests; a later policy replaces each key on its own.
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
    /// Whether the bot merges it once it is approved, its checks pass and no gate holds it.
    pub automerge: Option<Sourced<bool>>,
    /// The merge method, if the repository allows it.
    pub merge_method: Option<Sourced<MergeMethod>>,
    /// How many people must approve its last commit.
    pub approvals: Option<Sourced<u32>>,
    /// A label that somebody must add.
    pub approval_label: Option<Sourced<String>>,
    /// The checks that must pass; empty: all that the forge reports.
    pub checks: Option<Sourced<Vec<String>>>,
    /// How many pull requests of the policy may be open at once.
    pub limit: Option<Sourced<u32>>,
    /// When its reviewers are reminded, once.
    pub remind_after: Option<Sourced<Duration>>,
    /// Whether the code owners of its files are asked to review.
    pub code_owners: Option<Sourced<bool>>,
}

/// How a selected version is written into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PinStyle {
    /// As `tag@digest`.
    Digest,
}

impl PinStyle {
    /// The name used in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
        }
    }
}

/// What becomes of a range of versions (`1.x`, `^1.2`) that is written in place of a chart's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ranges {
    /// It is left alone: what reads it chooses a version.
    Keep,
    /// It is replaced by the greatest version in it.
    Pin,
}

impl Ranges {
    /// The name used in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Pin => "pin",
        }
    }
}

/// The promotion gate: only versions that have proved themselves upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromoteFrom {
    /// The upstream environments; at least one.
    pub environments: Vec<String>,
    /// How many of them are needed.
    pub of: Enough,
    /// How long it must have been healthy there.
    pub soak_time: Duration,
    /// What counts as proof.
    pub require: Require,
    /// Environments or clusters in which this version must have landed before: waves.
    pub after: Vec<String>,
    /// How long it must have been healthy in each of those.
    pub after_soak_time: Duration,
    /// Checks (commit statuses, check runs) that must have passed on the upstream commit.
    pub checks: Vec<String>,
}

impl PromoteFrom {
    /// The upstream environments for messages: `staging`, `qa and staging`, `qa or staging`.
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
    /// Whether proof in these environments implies proof in those of the other.
    fn proves(&self, other: &Self) -> bool {
        let has = |name: &String| self.environments.contains(name);
        match (self.needs_all(), other.needs_all()) {
            (true, true) => other.environments.iter().all(has),
            (true, false) => other.environments.iter().any(has),
            (false, false) => self.environments.iter().all(|name| other.environments.contains(name)),
            (false, true) => false,
        }
    }

    /// Whether all environments are needed; one of one is all of them.
    fn needs_all(&self) -> bool {
        self.of == Enough::All || self.environments.len() == 1
    }

    /// A gate as strict as both together.
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

/// How many upstream environments must have proved a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Enough {
    /// All of them.
    All,
    /// Any one of them.
    Any,
}

impl Enough {
    /// The name used in policy files.
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
    /// It runs there, healthy, on its digest.
    Landed,
    /// Git declares it there.
    Committed,
}

impl Require {
    /// The name used in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Landed => "landed",
            Self::Committed => "committed",
        }
    }
}

/// How many updates are allowed in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The maximum number of updates; at least one.
    pub updates: u32,
    /// The length of the span.
    pub per: Duration,
}

/// A limit in the bot's configuration on what policies may do below some paths.
#[derive(Debug, Clone, PartialEq)]
pub struct Cap {
    /// The files it applies to.
    pub paths: Vec<PathPattern>,
    /// What is allowed there; [`Write::Never`] always is.
    pub write: Vec<Write>,
    /// Whether the bot may merge its own pull requests there.
    pub automerge: bool,
    /// The minimum number of approvals before it does.
    pub approvals: u32,
    /// The minimum age of an image.
    pub minimum_release_age: Option<Duration>,
    /// The only images that may be written there; empty: every image.
    pub images: Vec<ImagePattern>,
    /// The only registries that images may come from; empty: every registry.
    pub registries: Vec<String>,
    /// The proof that a version needs at least.
    pub promote_from: Option<PromoteFrom>,
    /// Windows that must be open in addition to the policies' own.
    pub windows: Option<Vec<Window>>,
    /// Whether policies may enable automatic rollbacks.
    pub rollback: bool,
    /// The signatures that an image must have, besides those that policies demand.
    pub verify: Option<Sourced<Arc<Verification>>>,
    /// Whether a repository's own policies may declare what is a version in these files (`keyPaths`).
    pub key_paths: bool,
    /// Where it was written.
    pub origin: SourceLocation,
}

impl Cap {
    /// The strongest allowed way of writing that is not stronger than the requested one.
    #[must_use]
    pub fn limit(&self, asked: Write) -> Write {
        self.write.iter().copied().filter(|allowed| *allowed <= asked).max().unwrap_or(Write::Never)
    }

    /// Whether the cap applies to a file.
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

    /// Brings the fields within the cap. Returns, as text, what they requested beyond it.
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
            beyond.push(format!("`approvals: {approvals}` is less than the {} required there", self.approvals));
        }
        let age = fields.minimum_release_age.as_ref().map(|age| age.value);
        if let Some(least) = self.minimum_release_age.filter(|least| age.is_none_or(|age| age < *least)) {
            fields.minimum_release_age = Some(Sourced { value: least, origin: self.origin.clone() });
            // A policy without a minimum age gets the cap's and requests nothing beyond it.
            if age.is_some() {
                beyond.push("`minimumReleaseAge` is shorter than the one required there".to_owned());
            }
        }
        if let Some(least) = &self.promote_from {
            let asked = fields.promote_from.take().map(|asked| asked.value);
            let strictest = asked.as_ref().map_or_else(|| least.clone(), |asked| asked.with(least));
            if asked.as_ref().is_some_and(|asked| *asked != strictest) {
                beyond.push("`promoteFrom` requires less proof than is required there".to_owned());
            }
            fields.promote_from = Some(Sourced { value: strictest, origin: self.origin.clone() });
        }
        if let Some(windows) = &self.windows {
            fields.cap_windows.push(Sourced { value: windows.clone(), origin: self.origin.clone() });
        }
        fields.cap_verify.extend(self.verify.clone());
        if !self.rollback && fields.rollback.take().is_some() {
            beyond.push("`rollback` is not allowed there, so a person rolls back".to_owned());
        }
        beyond
    }
}

/// Takes a field from `later` if it sets it.
fn replace<T: Clone>(field: &mut Option<T>, later: Option<&T>) {
    if let Some(later) = later {
        *field = Some(later.clone());
    }
}

impl Fields {
    /// Lays `later` over these fields: each key that it sets replaces the earlier value.
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
        replace(&mut self.ranges, later.ranges.as_ref());
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
        replace(&mut self.on_retag, later.on_retag.as_ref());
        replace(&mut self.verify, later.verify.as_ref());
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
