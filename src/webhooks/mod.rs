//! Webhooks of registries and forges: what they prove, and which image or repository they speak of.
//!
//! Promise: a webhook is only a hint. Nothing in it becomes an address that is contacted, a tag that is written or a
//! word in the log; it can only make the bot look sooner at what the configuration names anyway. A sender is
//! authenticated before anything of its body is parsed, in constant time, over the body as it was sent.
//!
//! Design: one file per kind of sender in `sources` and one line in the table there. A kind says how its secret is
//! presented (`scheme`) and turns headers and body into hints, as a pure function. `source` is a configured sender
//! with its secrets read; it knows which deliveries it has had (`deliveries`).

mod body;
mod deliveries;
mod hint;
mod jwks;
mod jwt;
mod keys;
mod scheme;
mod source;
mod sources;

pub use hint::WebhookHint;
pub use keys::SenderProof;
pub use source::{Admission, Received, SourceError, SourceSettings, WebhookSource};
pub(crate) use sources::SourceConfig;
pub use sources::SourceKind;
