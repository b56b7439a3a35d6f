//! Policies: what may happen where. A path and an image → the policy in force, with the origin of each of its fields.
//!
//! Promise: everything here is decided from values alone, and each answer can be traced to a line of a file: every
//! field carries its [`SourceLocation`], and [`PolicySet::verdicts`] says why a policy does or does not apply.
//!
//! Invariants: no I/O, no clock (times are arguments), no failure after construction. What no policy matches is never
//! written ([`Write::Never`]); a cap of the bot's own configuration is never exceeded, whatever a repository's
//! policies ask for.
//!
//! Design: [`pattern`](PathPattern) reads globs with captures, [`schedule`](Schedule) cron in a time zone,
//! [`template`](GroupTemplate) grouping keys; [`PolicySet`] layers policies in order, later fields winning.

mod code_owners;
mod fields;
mod pattern;
mod schedule;
mod set;
mod template;

pub use code_owners::{PLACES as CODE_OWNERS, code_owners};
pub use fields::{
    CURRENT, Cap, Enough, Fields, PinStyle, Policy, PromoteFrom, PullRequestFields, Rate, Require, Resume, Rollback,
    SourceLocation, Sourced, Write,
};
pub use pattern::{Captures, ImagePattern, PathPattern, PatternError};
pub use schedule::{Schedule, ScheduleError, Window, WindowKind, WindowState, local, windows_state};
pub use set::{Capped, Effective, PolicyMatch, PolicySet};
pub(crate) use template::names as template_names;
pub use template::{GroupTemplate, TemplateError};
