//! The receivers as one closed set: made from settings, told one notice at a time, and tested.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{IncidentId, Notice, NoticeKind, Texts};

use super::client::Failure;
use super::memory::SinkMemory;
use super::settings::{SinkKind, SinkSettings};

mod alertmanager;
mod github;
mod log;
mod pagerduty;
mod slack;
mod webhook;

use alertmanager::Alertmanager;
use github::GitHub;
use pagerduty::PagerDuty;
use slack::Slack;
use webhook::Webhook;

/// One notice on its way to one receiver.
pub(super) struct Delivery<'a> {
    pub(super) notice: &'a Notice,
    pub(super) texts: &'a Texts,
    pub(super) id: IncidentId,
    pub(super) now: Timestamp,
}

impl Delivery<'_> {
    /// Whether it says that something is wrong.
    pub(super) fn alarms(&self) -> bool {
        matches!(self.notice.kind, NoticeKind::Raised | NoticeKind::Escalated | NoticeKind::Reminder)
    }
}

/// What became of a delivery that did not fail: nothing to say, or what was left out and why.
pub(super) type Delivered = Result<Option<String>, Failure>;

/// A receiver.
#[derive(Debug)]
pub(super) enum Sink {
    Log,
    Webhook(Webhook),
    Slack(Slack),
    Alertmanager(Alertmanager),
    PagerDuty(PagerDuty),
    GitHub(GitHub),
}

impl Sink {
    pub(super) fn new(settings: &SinkSettings, timeout: Duration, resend: Duration) -> Result<Self, Failure> {
        let ca = settings.ca_pem.as_deref();
        Ok(match &settings.kind {
            SinkKind::Log => Self::Log,
            SinkKind::Webhook(webhook) => Self::Webhook(Webhook::new(webhook, ca, timeout)?),
            SinkKind::Slack(slack) => Self::Slack(Slack::new(slack, ca, timeout)?),
            SinkKind::Alertmanager { url, login } => {
                Self::Alertmanager(Alertmanager::new(url, login.as_ref(), resend, ca, timeout)?)
            }
            SinkKind::PagerDuty { url, routing_key } => Self::PagerDuty(PagerDuty::new(url, routing_key, ca, timeout)?),
            SinkKind::GitHub(targets) => Self::GitHub(GitHub::new(targets, ca, timeout)?),
        })
    }

    /// Whether it must be told again and again that something is still so.
    pub(super) fn repeats(&self) -> bool {
        matches!(self, Self::Alertmanager(_))
    }

    /// Tells one notice. What it remembers of it besides is noted only where it arrived.
    pub(super) async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        match self {
            Self::Log => {
                log::deliver(delivery);
                Ok(None)
            }
            Self::Webhook(webhook) => webhook.deliver(delivery).await.map(|()| None),
            Self::Slack(slack) => slack.deliver(delivery, memory).await.map(|()| None),
            Self::Alertmanager(alertmanager) => alertmanager.deliver(delivery, memory).await.map(|()| None),
            Self::PagerDuty(pagerduty) => pagerduty.deliver(delivery).await.map(|()| None),
            Self::GitHub(github) => github.deliver(delivery, memory).await,
        }
    }

    /// Tells everything that is open again.
    pub(super) async fn repeat(
        &self,
        memory: &SinkMemory,
        now: Timestamp,
        texts: &(dyn Fn(&Notice) -> Texts + Sync),
    ) -> Delivered {
        match self {
            Self::Alertmanager(alertmanager) => alertmanager.repeat(memory, now, texts).await.map(|()| None),
            _ => Ok(None),
        }
    }
}
