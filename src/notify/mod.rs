//! Alert sinks and the heartbeat: delivers notices until they have arrived.
//!
//! Promise: a receiver that is down, slow or refusing delays no other receiver and nothing else. Its undelivered
//! notices wait in bounded memory, and once it is back it gets the current state. That a receiver is failing, and since
//! when, is visible. No error or log line contains a secret; the URL of a webhook is one.
//!
//! Invariants: each receiver has one task and one queue; there is one HTTP client (`client`), and it follows no
//! redirects. What a receiver must remember is data that the caller keeps ([`Notifier::memory`]); losing it repeats the
//! open incidents once.
//!
//! Design: what to send is decided elsewhere, as [`Notice`](crate::model::Notice)s. The sentences come from the
//! function in [`Setup::render`].

mod client;
mod cycles;
mod heartbeat;
mod memory;
mod notifier;
mod opening;
mod queue;
mod settings;
mod sinks;
mod worker;

pub use crate::http::status::Deployments;
pub use client::{Failure, FailureKind};
pub use cycles::Cycles;
pub use heartbeat::{Cycle, Heartbeat, HeartbeatSettings};
pub use memory::{Comment, KnownIncident, NotifiedHere, PostedMessage, Recent, SinkMemory, SinkTold};
pub use notifier::{Notifier, Pace, Receivers, Render, Setup, Tested, test};
pub use opening::{LendsStatusToken, StatusNeed, StatusTarget, StatusToken};
pub use settings::{Filter, Landings, Mute, SinkSettings};
pub use sinks::SinkKind;
pub(crate) use sinks::{LandingNews, SinkConfig};
pub use worker::{Failing, SinkHealth};
