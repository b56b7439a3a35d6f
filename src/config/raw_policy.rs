//! Policy files as they are written (CONFIG.md); see [`raw`](super::raw).

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::at::At;
use crate::model::{Matches, MergeMethod};
use crate::policy::{Enough, OnRetag, PinStyle, Ranges, Require, Resume, WindowKind, Write};
use crate::select::Direction;

/// A policy file: what may happen where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with `policies`")]
#[schemars(title = "Landfall policies")]
pub(super) struct PolicyFile {
    /// Policies. Every policy whose `paths` and `images` match applies, in file-name order and then in order of
    /// appearance; a later one's fields replace an earlier one's.
    pub(super) policies: Vec<At<Policy>>,
}

/// A path-based rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a policy as a mapping with `name` and `paths`")]
pub(super) struct Policy {
    /// A short name, unique in the repository.
    pub(super) name: At<String>,
    /// Globs from the repository's root. `**` is any number of segments; `{app}`, `{env}` or any `{name}` captures one
    /// segment or a part of one; `{a,b}` is a choice.
    pub(super) paths: At<Vec<At<String>>>,
    /// Globs over image names; default: every image.
    pub(super) images: Option<At<Vec<At<String>>>>,
    /// Values that no kind of pin recognises: which value in which files is the version of which image.
    pub(super) key_paths: Option<At<Vec<At<KeyPath>>>>,
    /// The branch to write to; default: the repository's.
    pub(super) branch: Option<At<String>>,
    /// The environment of these paths; may use captures (`{env}`); default: the `{env}` capture.
    pub(super) environment: Option<At<String>>,
    /// How updates are written; if no policy says so, they are not.
    pub(super) write: Option<At<Write>>,
    /// Which tags are candidates; default: those with the current tag's shape.
    pub(super) tags: Option<At<Tags>>,
    /// Whether a current tag that `tags` would never select (it does not match the filter) is replaced; default
    /// `false`: it is held until somebody writes the first version.
    pub(super) adopt: Option<At<bool>>,
    /// `digest`: write `tag@digest`; default: keep the current form.
    pub(super) pin: Option<At<PinStyle>>,
    /// A range of versions (`1.x`, `^1.2`) that is written in place of a chart's version: `keep` (the default) leaves it to what reads
    /// it, `pin` replaces it by the greatest version in it.
    pub(super) ranges: Option<At<Ranges>>,
    /// Which updates share a commit; default `{policy}/{environment}`.
    pub(super) group: Option<At<String>>,
    /// How long an update may take until it is running, such as `10m`.
    pub(super) land_within: Option<At<String>>,
    /// How long a pull request may wait for a review, such as `1d`.
    pub(super) review_within: Option<At<String>>,
    /// Settings of pull requests.
    pub(super) pull_request: Option<At<PullRequest>>,
    /// The minimum age of an image, such as `3d`.
    pub(super) minimum_release_age: Option<At<String>>,
    /// When updates may be written. One open `allow` window is enough to allow, one open `deny` window is enough to
    /// forbid; default: always.
    pub(super) windows: Option<At<Vec<At<Window>>>>,
    /// Only versions that have proved themselves in another environment.
    pub(super) promote_from: Option<At<PromoteFrom>>,
    /// How many updates of the environment are allowed in a span of time.
    pub(super) rate: Option<At<Rate>>,
    /// How long updates are collected before they are written together, such as `30s`; default: not at all.
    pub(super) debounce: Option<At<String>>,
    /// What ends the hold after a revert, a downgrade or a version chosen by hand; default `newer`.
    pub(super) resume: Option<At<Resume>>,
    /// Rolls back automatically what does not run; default: no automatic rollback.
    pub(super) rollback: Option<At<Rollback>>,
    /// What happens when a written tag, or one that waits to be written, is pushed again as another image: `follow`,
    /// `hold` until somebody releases it, or `alert`, which holds it and is an incident; default: nobody looks, and a
    /// written digest stays.
    pub(super) on_retag: Option<At<OnRetag>>,
    /// Which signatures an image must have, on the very digest that is written; default: none.
    pub(super) verify: Option<At<Verify>>,
}

/// Which signatures an image must have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "signatures as `{ cosign: { key: … } }`")]
pub(super) struct Verify {
    /// Whose signatures count.
    pub(super) cosign: Option<At<Cosign>>,
    /// Attestations that the image must have, by the same signer: types (URIs), or short names such as `slsaprovenance`. Any one of the
    /// types that a short name stands for is enough.
    pub(super) attestations: Option<At<Vec<At<String>>>>,
    /// Signatures of Notation are not verified.
    #[schemars(skip)]
    pub(super) notation: Option<At<IgnoredAny>>,
}

/// Whose signatures count: either `key`, or `identity` and `issuer`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a signer as `{ key: PEM }` or `{ identity: …, issuer: … }`"
)]
pub(super) struct Cosign {
    /// The public key in PEM; several, one after the other, of which any one may have signed.
    pub(super) key: Option<At<String>>,
    /// Who signed without a key: an e-mail address or the URI of a workflow, exactly as in the certificate.
    pub(super) identity: Option<At<String>>,
    /// The OpenID issuer that confirmed the identity, exactly.
    pub(super) issuer: Option<At<String>>,
    /// Whether a signature is demanded besides the `attestations`; default `true`. `false` is for images that have attestations alone.
    pub(super) signature: Option<At<bool>>,
}

/// Values that are versions of an image: `path` or `pattern` says where in the files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a key path as `{ files: […], path: …, image: … }`")]
pub(super) struct KeyPath {
    /// Globs from the repository's root, as in `paths`; their files are read whatever their names.
    pub(super) files: At<Vec<At<String>>>,
    /// The value's keys in YAML, JSON, TOML or HCL: `services.web.image`, `items[0].tag`, or a JSON Pointer
    /// (`/items/0/tag`). `*` is each key or item; without it, the path must match exactly one value.
    pub(super) path: Option<At<String>>,
    /// A regular expression for any text, in place of `path`. Its group `(?P<tag>…)` is the value; `digest` and `image` may be
    /// groups, too. `^` and `$` match at each line.
    pub(super) pattern: Option<At<String>>,
    /// How often `pattern` may match in a file: `one` (the default) or `every`.
    pub(super) matches: Option<At<Matches>>,
    /// The image of which the value is a tag, `tag@digest` or a digest; may use captures of `files` (`ghcr.io/acme/{app}`). Default:
    /// the value is a whole reference, or `pattern` has a group `image`.
    pub(super) image: Option<At<String>>,
}

/// The automatic rollback.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a rollback as `{ after: …, write: … }`")]
pub(super) struct Rollback {
    /// How long it must have been stuck with a failing cause, such as `30m`.
    pub(super) after: At<String>,
    /// How it is written: `commit` or `pull-request`; default: like an update.
    pub(super) write: Option<At<Write>>,
}

/// Which tags are candidates: at most one of `semver`, `alphabetical`, `numerical`, `newestBuild`, `digest`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "tags as a mapping, such as `{ semver: \"*\" }`")]
pub(super) struct Tags {
    /// Semantic versions in this range, such as `>=1.0.0` or `^1.2`; the highest is selected.
    pub(super) semver: Option<At<String>>,
    /// Tags as text: `asc` selects the last in alphabetical order, `desc` the first.
    pub(super) alphabetical: Option<At<Direction>>,
    /// Tags as numbers: `asc` selects the highest, `desc` the lowest.
    pub(super) numerical: Option<At<Direction>>,
    /// `true`: the most recently built image.
    pub(super) newest_build: Option<At<bool>>,
    /// `true`: follow the current tag's digest.
    pub(super) digest: Option<At<bool>>,
    /// Regular expression that a tag must match.
    pub(super) filter: Option<At<String>>,
    /// What to order instead of the whole tag, from the filter's groups: `$version` or `$1`.
    pub(super) extract: Option<At<String>>,
    /// Globs of tags that are never selected.
    #[serde(default)]
    pub(super) ignore: Vec<At<String>>,
    /// Whether prereleases are candidates; default `false`.
    #[serde(default)]
    pub(super) prereleases: bool,
    /// Platforms that the image must have, as `os/arch[/variant]`, or `current` for all those of the current image;
    /// default: no requirement.
    pub(super) platforms: Option<At<Vec<At<String>>>>,
}

/// Settings of pull requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "pull request settings as a mapping")]
pub(super) struct PullRequest {
    /// People (`user`) and teams (`org/team`) asked to review.
    pub(super) reviewers: Option<At<Vec<At<String>>>>,
    /// Labels to add.
    pub(super) labels: Option<At<Vec<At<String>>>>,
    /// Whether it is opened as a draft; default `false`.
    pub(super) draft: Option<At<bool>>,
    /// Which updates share a pull request; default `{app}`.
    pub(super) group: Option<At<String>>,
    /// Whether the bot merges it once it is approved, its checks pass and no gate holds it; default `false`.
    pub(super) automerge: Option<At<bool>>,
    /// How it is merged; default: the first of `merge`, `squash` and `rebase` that the repository allows.
    pub(super) merge_method: Option<At<MergeMethod>>,
    /// How many people must approve its last commit before the bot merges it; default 0.
    pub(super) approvals: Option<At<u32>>,
    /// A label that somebody must add before the bot merges it.
    pub(super) approval_label: Option<At<String>>,
    /// The checks that must pass before the bot merges it; default: all that the forge reports.
    pub(super) checks: Option<At<Vec<At<String>>>>,
    /// How many pull requests of the policy may be open at once.
    pub(super) limit: Option<At<u32>>,
    /// After how long, such as `3d`, a comment reminds the reviewers, once.
    pub(super) remind_after: Option<At<String>>,
    /// Whether the owners in `CODEOWNERS` are asked to review; default `false`.
    pub(super) code_owners: Option<At<bool>>,
}

/// A recurring span of time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a window as `{ cron: …, duration: … }`")]
pub(super) struct Window {
    /// Cron pattern (five fields) of its start times.
    pub(super) cron: At<String>,
    /// How long it lasts, such as `7h`.
    pub(super) duration: At<String>,
    /// IANA name of the time zone of `cron`, such as `Europe/Berlin`; default `UTC`.
    pub(super) time_zone: Option<At<String>>,
    /// `allow` (the default): written while it is open; `deny`: not written while it is open.
    pub(super) kind: Option<At<WindowKind>>,
}

/// The promotion gate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a promotion as `{ environment: …, soakTime: … }`")]
pub(super) struct PromoteFrom {
    /// The environment in which a version must have proved itself.
    pub(super) environment: Option<At<String>>,
    /// Several of them, instead of `environment`.
    pub(super) environments: Option<At<Vec<At<String>>>>,
    /// Of several: `all` (the default) or `any`.
    pub(super) of: Option<At<Enough>>,
    /// How long it must have been healthy there, such as `24h`; default: it only has to be healthy.
    pub(super) soak_time: Option<At<String>>,
    /// `landed` (the default): it must be running there; `committed`: it is enough that Git declares it there.
    pub(super) require: Option<At<Require>>,
    /// Environments or clusters in which the version must have landed first: waves of regions.
    pub(super) after: Option<At<Vec<At<String>>>>,
    /// How long it must have been healthy in each of `after`; default: it only has to be healthy.
    pub(super) after_soak_time: Option<At<String>>,
    /// Checks that must have passed on the upstream commit.
    pub(super) checks: Option<At<Vec<At<String>>>>,
}

/// A limit on the number of updates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a rate as `{ updates: 5, per: 1h }`")]
pub(super) struct Rate {
    /// The maximum number of updates; at least one.
    pub(super) updates: At<u32>,
    /// The length of the span, such as `1h`.
    pub(super) per: At<String>,
}
