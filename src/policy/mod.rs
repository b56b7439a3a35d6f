//! Policies: what may happen where. For a path and an image, finds the policy in force, with the origin of each field.
//!
//! Promise: every decision is made from values alone, and each can be traced to a line of a file: every field has its
//! [`SourceLocation`], and [`PolicySet::verdicts`] says why a policy does or does not apply.
//!
//! Invariants: no I/O, no clock (times are arguments), no failure after construction. Files that no policy matches are
//! never written ([`Write::Never`]). A cap in the bot's own configuration is never exceeded, whatever a repository's
//! policies request.
//!
//! Design: [`PathPattern`] parses globs with captures, [`schedule`](Schedule) cron in a time zone,
//! [`template`](GroupTemplate) grouping keys; [`PolicySet`] layers policies in order, later fields winning.

mod code_owners;
mod fields;
mod message_template;
mod schedule;
mod set;
mod template;

pub use crate::model::{Captures, ImagePattern, PathPattern, PatternError};
pub use code_owners::{CodeOwners, PLACES as CODE_OWNERS, code_owners};
pub use fields::{
    CURRENT, Cap, Enough, Fields, OnRetag, PinStyle, Policy, PromoteFrom, PullRequestFields, Ranges, Rate, Require,
    Resume, Rollback, SourceLocation, Sourced, Write,
};
pub use message_template::{MessageTemplate, MessageTemplates, TemplateUse, is_reserved};
pub use schedule::{Schedule, ScheduleError, Window, WindowKind, WindowState, local, windows_state};
pub use set::{Capped, DeclaredBy, Effective, PolicyMatch, PolicySet};
pub(crate) use template::names as template_names;
pub use template::{GroupTemplate, TemplateError};
