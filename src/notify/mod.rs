//! Alert sinks and the heartbeat: who is told, until it has arrived.
//!
//! Promise: a receiver that is dead, slow or refuses delays no other and nothing else; what it has not been told waits in
//! bounded memory and is told as it stands once the receiver is back; that a receiver fails, and since when, can be seen.
//! No secret is in an error or a log line, and an address of a webhook is one.
//!
//! Invariants: one task and one queue per receiver; one HTTP client (`client`); nothing follows a redirect; what a receiver
//! must remember is data that the caller keeps ([`Notifier::memory`]), and losing it repeats what is open once.
//!
//! Design: what is to be told is decided elsewhere (as [`Notice`](crate::model::Notice)s), and so are the sentences, by the
//! function that [`Setup::render`] names.

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

pub use client::{Failure, FailureKind};
pub use cycles::Cycles;
pub use heartbeat::{Cycle, Heartbeat, HeartbeatSettings};
pub use memory::{Comment, NotifiedHere, Recent, SinkMemory, SlackMessage};
pub use notifier::{Notifier, Pace, Render, Setup, Tested, test};
pub use opening::StatusTarget;
pub use settings::{Filter, Landings, Mute, SinkSettings};
pub use sinks::SinkKind;
pub(crate) use sinks::{LandingNews, SinkConfig};
pub use worker::{Failing, SinkHealth};
