//! Hints from outside, and whom they wake: an image's registry is asked anew, a repository plans again.
//!
//! Promise: a hint is never lost, not even one that comes while a cycle runs or before anything was read; and however
//! many come, a registry or repository is asked at a bounded rate, and memory is bounded by what is declared.
//!
//! Design: [`state`] decides, as values. The task here carries it out: it tells [`Lookup`] that answers about an image
//! must be newer than the hint, and raises a signal that each repository's task waits for between cycles. What is raised
//! during a cycle is seen after it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::landing::watchers::Address;
use crate::model::ImageName;
use crate::webhooks::WebhookHint;

use super::queries::Lookup;
use state::{DueNow, WakeState};

mod budget;
mod state;

pub use state::Heard;

/// Receives hints and wakes who is concerned.
#[derive(Debug)]
pub struct Waker {
    lookup: Arc<Lookup>,
    state: Mutex<WakeState>,
    /// Something new is pending.
    news: Notify,
    signals: BTreeMap<String, watch::Sender<Woken>>,
}

/// The signal to a repository's task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Woken {
    /// How often it was woken.
    times: u64,
    /// Since when there is news from its forge.
    pub(super) forge: Option<Timestamp>,
}

impl Waker {
    /// A waker for these repositories, each with its addresses.
    pub(super) fn new(
        repositories: impl IntoIterator<Item = (String, Vec<Address>)>,
        lookup: Arc<Lookup>,
        debounce: Duration,
    ) -> Self {
        let repositories: Vec<_> = repositories.into_iter().collect();
        let signals = repositories.iter().map(|(name, _)| (name.clone(), watch::Sender::default())).collect();
        Self { lookup, state: Mutex::new(WakeState::new(repositories, debounce)), news: Notify::new(), signals }
    }

    /// Takes a hint.
    pub fn wake(&self, hint: &WebhookHint) -> Heard {
        let (heard, new) = self.state().hint(hint, self.now());
        if new {
            self.news.notify_one();
        }
        heard
    }

    /// Takes it that everything may have changed, because more came than could be looked at.
    pub fn wake_all(&self) {
        if self.state().everything(self.now()) {
            self.news.notify_one();
        }
    }

    /// A repository was read and declares these images.
    pub(super) fn declares<'i>(&self, repository: &str, images: impl Iterator<Item = &'i ImageName>) {
        let images = images.map(|image| (image.clone(), self.lookup.origin(image))).collect();
        self.state().declares(repository, images, self.now());
        self.news.notify_one();
    }

    /// The signal to a repository's task.
    pub(super) fn signal(&self, repository: &str) -> watch::Receiver<Woken> {
        match self.signals.get(repository) {
            Some(sender) => sender.subscribe(),
            // Nobody will ever wake it.
            None => watch::Sender::default().subscribe(),
        }
    }

    /// Wakes who is due, until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        loop {
            let next = self.carry_out();
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.news.notified() => {}
                () = due => {}
            }
        }
    }

    fn carry_out(&self) -> Option<Instant> {
        let DueNow { images, repositories, next } = self.state().due(Instant::now());
        for (image, at) in &images {
            self.lookup.renew(image, *at);
        }
        for (name, forge) in repositories {
            if let Some(signal) = self.signals.get(&name) {
                signal.send_modify(|woken| {
                    *woken = Woken { times: woken.times + 1, forge: woken.forge.max(forge) };
                });
            }
        }
        next
    }

    fn now(&self) -> (Timestamp, Instant) {
        (self.lookup.now(), Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, WakeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
