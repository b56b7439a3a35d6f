//! The vocabulary of the field as types, without behaviour.
//!
//! Promise: a value of one of these types is valid, so nobody needs to check it again. Pure: no I/O, no clock, no
//! environment. Every other module may use this one; it uses none.

/// An enum without fields, and the list of its variants.
macro_rules! listed {
    ($(#[$about:meta])* pub enum $Name:ident { $( $(#[$meta:meta])* $Variant:ident, )* }) => {
        $(#[$about])*
        pub enum $Name { $( $(#[$meta])* $Variant, )* }

        impl $Name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$( Self::$Variant ),*];
        }
    };
}

mod answer;
mod chart_change;
mod decision;
mod fence;
mod git;
pub mod glob;
mod helm_repository;
mod image;
mod incident;
mod key_path;
mod landing;
mod lease;
mod listing;
mod manifest;
mod names;
pub mod observation;
mod pattern;
mod pin;
mod public_key;
mod pull;
mod quota;
mod review;
mod skip;
mod text_pattern;
mod update;
mod verification;
mod visible;
pub mod wildcard;

pub use answer::{Answer, FailureCode};
pub use chart_change::{ChartChange, ChartFiles, ChartLink, ChartNotes, ValueKey};
pub use decision::{About, Decision, Held};
pub use fence::{Fence, NotHeld};
pub use git::{BranchName, CommitId, Identity, NameError, RepoPath};
pub use helm_repository::{HelmRepositories, HelmRepository, HelmRepositoryName, MeantRepository};
pub use image::{
    DOCKER_HUB, Digest, ImageError, ImageName, ImageReference, Scheme, Tag, TagRef, Version, is_exact_version,
};
pub use incident::{
    Counts, Incident, IncidentId, IncidentKey, Links, Notice, NoticeKind, Resolution, Severity, Texts, break_mentions,
    is_web_address, one_line,
};
pub use key_path::{
    ClosedFiles, DeclaredValue, ImageTemplate, KeyPath, KeyPathError, KeyPaths, KeyPlace, PathStep, RangePins,
    ValuePath,
};
pub use landing::{Affected, Blame, Cause, CauseCode, Declared, Landing, Rung, State, Tracked, TrackedThing, Verdict};
pub use lease::Lease;
pub use listing::{Listing, Pushed, TagList, TagListBuilder, Validators};
pub use manifest::Manifest;
pub use names::{instead, nearest};
pub(crate) use pattern::without_extension;
pub use pattern::{Captures, ImagePattern, PathPattern, PatternError};
pub use pin::{MissingKeys, Pin, PinAlias, PinKind, PinLocation, PinRole, Span};
pub use public_key::{PublicKey, PublicKeyError, PublicKeys};
pub use pull::{DequeueOutcome, Merge, MergeMethod, MergeOutcome, PullRequest, PullRequestSpec, PullState};
pub use quota::Quota;
pub use review::{CheckState, Checks, Review, ReviewState, Reviews, Weight};
pub use skip::{SkipReason, SkipWeight, Skipped};
pub use text_pattern::{Matches, SearchBudget, SearchLimit, TextMatch, TextPattern};
pub use update::UpdateId;
pub use verification::{
    BesideSignature, COSIGN_SIGN, Interest, PredicateType, SignatureDocument, SignatureEvidence, SignatureProof,
    SignatureVerdict, SignedThing, Signer, Verification,
};
pub use visible::{is_invisible, push_escaped, shown_address, visible};
