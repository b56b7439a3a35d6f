//! Receivers and the heartbeat: raw → settings.

use std::time::Duration;

use crate::model::Severity;

use super::at::At;
use super::build::Builder;
use super::fault::Mark;
use super::policies::window_list;
use super::raw;
use super::raw_notify::{AlertSeverity, Heartbeat, Notify, NotifyKind};
use super::settings::{Address, CredentialSource, HeartbeatSettings, NotifySettings, NotifyTarget, PayloadFormat};
use super::value;
use crate::policy::Window;

const DEFAULT_PAGERDUTY: &str = "https://events.pagerduty.com";
const DEFAULT_SLACK: &str = "https://slack.com/api";
/// Least time between reminders: what comes more often is muted by people.
const SHORTEST_REMINDER: Duration = Duration::from_secs(60);

impl Builder<'_, '_> {
    pub(super) fn notify(&mut self, at: &At<Notify>) -> Option<NotifySettings> {
        let raw = &at.value;
        let name = self.text(&raw.name, value::name);
        self.unsuitable(raw);
        let target = self.target(at);
        let minimum_severity = match raw.minimum_severity.as_ref().map(|at| at.value) {
            None | Some(AlertSeverity::Info) => Severity::Info,
            Some(AlertSeverity::Warning) => Severity::Warning,
            Some(AlertSeverity::Error) => Severity::Error,
            Some(AlertSeverity::Critical) => Severity::Critical,
        };
        let reminder = raw.reminder.as_ref().and_then(|at| {
            let reminder = self.text(at, value::duration)?;
            if reminder < SHORTEST_REMINDER {
                self.sink.error(at.mark, "`reminder` is at least 1m");
            }
            Some(reminder)
        });
        let quiet = matches!(raw.kind.value, NotifyKind::Slack | NotifyKind::Alertmanager);
        Some(NotifySettings {
            name: name?,
            target: target?,
            ca_file: self.path(raw.ca_file.as_ref()),
            environments: self.names(&raw.environments),
            policies: self.names(&raw.policies),
            minimum_severity,
            mute: self.mute(&raw.mute),
            reminder,
            landings: raw.landings.as_ref().map_or(!quiet, |at| at.value),
        })
    }

    /// When a receiver is not to be disturbed.
    fn mute(&mut self, windows: &[At<super::raw_policy::Window>]) -> Vec<Window> {
        for window in windows {
            if let Some(kind) = &window.value.kind {
                self.sink.error(kind.mark, "`kind` says nothing here: the receiver is mute while a window is open");
            }
        }
        window_list(windows, self.sink)
    }

    /// Keys that the kind has no use for are a mistake that would show as silence.
    fn unsuitable(&mut self, raw: &Notify) {
        use NotifyKind as K;
        const HTTP: &[NotifyKind] = &[K::Webhook, K::Cloudevents];
        let keys: [(Option<Mark>, &str, &[NotifyKind]); 8] = [
            (
                raw.url.as_ref().map(|at| at.mark),
                "url",
                &[K::Webhook, K::Cloudevents, K::Slack, K::Alertmanager, K::Pagerduty],
            ),
            (raw.webhook_url.as_ref().map(|at| at.mark), "webhookUrl", &[K::Webhook, K::Cloudevents, K::Slack]),
            (raw.credentials.as_ref().map(|at| at.mark), "credentials", &[K::Webhook, K::Cloudevents, K::Alertmanager]),
            (raw.token.as_ref().map(|at| at.mark), "token", &[K::Slack]),
            (raw.channel.as_ref().map(|at| at.mark), "channel", &[K::Slack]),
            (raw.routing_key.as_ref().map(|at| at.mark), "routingKey", &[K::Pagerduty]),
            (raw.signing_key.as_ref().map(|at| at.mark), "signingKey", HTTP),
            (
                raw.landings.as_ref().filter(|at| at.value).map(|at| at.mark),
                "landings",
                &[K::Log, K::Webhook, K::Cloudevents, K::Slack, K::Pagerduty, K::Github],
            ),
        ];
        for (mark, key, kinds) in keys {
            if let Some(mark) = mark.filter(|_| !kinds.contains(&raw.kind.value)) {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                self.sink.error(mark, format!("`{key}` goes with `kind: {}` only", kinds.join(" | ")));
            }
        }
    }

    fn target(&mut self, at: &At<Notify>) -> Option<NotifyTarget> {
        let raw = &at.value;
        match raw.kind.value {
            NotifyKind::Log => Some(NotifyTarget::Log),
            NotifyKind::Github => Some(NotifyTarget::GitHub),
            NotifyKind::Webhook => self.webhook(at, PayloadFormat::Json),
            NotifyKind::Cloudevents => self.webhook(at, PayloadFormat::CloudEvents),
            NotifyKind::Slack => self.slack(at),
            NotifyKind::Alertmanager => {
                self.needed(at.mark, raw.kind.value, "url", raw.url.is_some());
                let url = raw.url.as_ref().and_then(|at| self.text(at, value::http_url));
                let login = self.login(raw.credentials.as_ref());
                Some(NotifyTarget::Alertmanager { url: url?, login })
            }
            NotifyKind::Pagerduty => {
                self.needed(at.mark, raw.kind.value, "routingKey", raw.routing_key.is_some());
                let url = self.url_or(raw.url.as_ref(), DEFAULT_PAGERDUTY);
                let routing_key = raw.routing_key.as_ref().and_then(|at| self.secret(at));
                Some(NotifyTarget::PagerDuty { url: url?, routing_key: routing_key? })
            }
        }
    }

    fn webhook(&mut self, at: &At<Notify>, format: PayloadFormat) -> Option<NotifyTarget> {
        let raw = &at.value;
        let url = self.address(at.mark, raw.url.as_ref(), raw.webhook_url.as_ref());
        let login = self.login(raw.credentials.as_ref());
        let signing_key = raw.signing_key.as_ref().and_then(|at| self.secret(at));
        Some(NotifyTarget::Webhook { url: url?, format, login, signing_key })
    }

    fn slack(&mut self, at: &At<Notify>) -> Option<NotifyTarget> {
        let raw = &at.value;
        match (&raw.webhook_url, &raw.token, &raw.channel) {
            (Some(url), None, None) => {
                if let Some(plain) = &raw.url {
                    self.sink.error(plain.mark, "`url` goes with the `token` of a bot only");
                }
                self.secret(url).map(|url| NotifyTarget::SlackWebhook { url })
            }
            (None, Some(token), Some(channel)) => {
                let api_url = self.url_or(raw.url.as_ref(), DEFAULT_SLACK);
                let (token, channel) = (self.secret(token), self.text(channel, value::line));
                Some(NotifyTarget::SlackBot { api_url: api_url?, token: token?, channel: channel? })
            }
            _ => {
                self.sink.absent(at.mark, "`kind: slack` needs either `webhookUrl`, or `token` and `channel` of a bot");
                None
            }
        }
    }

    pub(super) fn heartbeat(&mut self, at: &At<Heartbeat>) -> Option<HeartbeatSettings> {
        let raw = &at.value;
        let url = self.address(at.mark, raw.url.as_ref(), raw.webhook_url.as_ref());
        Some(HeartbeatSettings { ca_file: self.path(raw.ca_file.as_ref()), url: url? })
    }

    fn address(&mut self, mark: Mark, plain: Option<&At<String>>, secret: Option<&At<raw::Secret>>) -> Option<Address> {
        match (plain, secret) {
            (Some(url), None) => self.text(url, value::http_url).map(Address::Plain),
            (None, Some(url)) => self.secret(url).map(Address::Secret),
            _ => {
                self.sink
                    .absent(mark, "the address is in exactly one of `url` and, where it is a secret, `webhookUrl`");
                None
            }
        }
    }

    fn url_or(&mut self, url: Option<&At<String>>, default: &str) -> Option<String> {
        match url {
            None => Some(default.to_owned()),
            Some(at) => self.text(at, value::http_url),
        }
    }

    fn login(&mut self, at: Option<&At<raw::Credentials>>) -> Option<CredentialSource> {
        let at = at?;
        let found = self.credentials(at)?;
        if matches!(found, CredentialSource::SshKey { .. }) {
            self.sink.error(at.mark, "a receiver has no use for `sshKey`");
        }
        Some(found)
    }

    fn needed(&mut self, mark: Mark, kind: NotifyKind, key: &str, there: bool) {
        if !there {
            self.sink.absent(mark, format!("`kind: {}` needs the key `{key}`", kind.as_str()));
        }
    }
}
