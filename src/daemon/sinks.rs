//! From settings to receivers: reads secrets, and turns mute windows into a function of time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::config::{Address, Environment, NotifySettings, Settings, Trigger};
use crate::document::secret::ReadSecrets;
use crate::git::{LendsToken, NoToken};
use crate::landing::incidents::Rules;
use crate::notify::{
    FailureKind, Filter, HeartbeatSettings, Landings, LendsStatusToken, Mute, SinkKind, SinkSettings, StatusNeed,
    StatusTarget, StatusToken,
};
use crate::policy::{Window, WindowState, windows_state};

use super::setup::{SetupError, file, lender, secret};

/// Time between two reminders, unless the receiver sets one.
const DEFAULT_REMINDER: Duration = Duration::from_secs(4 * 3_600);
/// The day from which the interval of a schedule is measured: any fixed day will do.
const MEASURED_FROM: Timestamp = Timestamp::constant(1_735_689_600, 0);

/// The incident rules of this configuration.
#[must_use]
pub fn incident_rules(settings: &Settings) -> Rules {
    let polling = match &settings.interval {
        Trigger::Every(interval) => *interval,
        Trigger::Cron(schedule) => {
            let first = schedule.next(MEASURED_FROM);
            let gap = first.and_then(|first| Duration::try_from(schedule.next(first)?.duration_since(first)).ok());
            gap.unwrap_or(DEFAULT_REMINDER)
        }
    };
    let mut rules = Rules::new(polling);
    let reminders = settings.notify.iter().map(|receiver| receiver.reminder.unwrap_or(DEFAULT_REMINDER));
    rules.runbook.clone_from(&settings.runbooks);
    rules.reminder = Some(reminders.min().unwrap_or(DEFAULT_REMINDER));
    for repository in &settings.repositories {
        if let Some(page) = repository.forge.commit_page() {
            rules.commit_urls.insert(repository.name.clone(), page);
        }
    }
    rules
}

/// The receivers of a configuration.
///
/// # Errors
/// If a secret or certificate cannot be read.
pub fn sinks(settings: &Settings, environment: &Environment) -> Result<Vec<SinkSettings>, SetupError> {
    if settings.notify.is_empty() {
        // Silence must not be the default: without receivers, the log is one.
        return Ok(vec![SinkSettings {
            name: "log".to_owned(),
            kind: SinkKind::log(),
            filter: Filter::default(),
            mute: Mute::never(),
            ca_pem: None,
            secrets: ReadSecrets::default(),
            repositories: Arc::default(),
        }]);
    }
    let wanted = settings.notify.iter().any(|receiver| receiver.kind.needs() != StatusNeed::None);
    let targets = Arc::new(if wanted { targets(settings, environment)? } else { BTreeMap::new() });
    settings.notify.iter().map(|receiver| sink(receiver, Arc::clone(&targets), environment)).collect()
}

/// The heartbeat of a configuration.
///
/// # Errors
/// If its secret or certificate cannot be read.
pub fn heartbeat(settings: &Settings, environment: &Environment) -> Result<Option<HeartbeatSettings>, SetupError> {
    let Some(heartbeat) = &settings.heartbeat else { return Ok(None) };
    let url = match &heartbeat.url {
        Address::Plain(url) => SecretString::from(url.as_str()),
        Address::Secret(source) => secret(source, "address of the heartbeat", environment)?,
    };
    Ok(Some(HeartbeatSettings { url, ca_pem: heartbeat.ca_file.as_deref().map(file).transpose()? }))
}

fn sink(
    receiver: &NotifySettings,
    repositories: Arc<BTreeMap<String, StatusTarget>>,
    environment: &Environment,
) -> Result<SinkSettings, SetupError> {
    let windows = receiver.mute.clone();
    let secrets = ReadSecrets::read(receiver.kind.secrets(), environment).map_err(|(what, source)| {
        SetupError::Secret { what: format!("{what} of receiver {}", receiver.name), source }
    })?;
    Ok(SinkSettings {
        name: receiver.name.clone(),
        kind: receiver.kind.clone(),
        secrets,
        repositories,
        filter: Filter {
            environments: receiver.environments.clone(),
            policies: receiver.policies.clone(),
            minimum_severity: receiver.minimum_severity,
            reminder: Some(receiver.reminder.unwrap_or(DEFAULT_REMINDER)),
            landings: if receiver.landings { Landings::Notified } else { Landings::Silent },
        },
        mute: mute(windows),
        ca_pem: receiver.ca_file.as_deref().map(file).transpose()?,
    })
}

/// Muted while one of these windows is open; without windows, never.
fn mute(windows: Vec<Window>) -> Mute {
    if windows.is_empty() {
        return Mute::never();
    }
    Mute::from_fn(move |now| match windows_state(&windows, now) {
        WindowState::Open { until } => Some(until),
        WindowState::Closed { .. } => None,
    })
}

/// Each repository whose forge takes statuses, with the token that is used for its pull requests.
fn targets(settings: &Settings, environment: &Environment) -> Result<BTreeMap<String, StatusTarget>, SetupError> {
    let mut targets = BTreeMap::new();
    for repository in &settings.repositories {
        if let Some(api) = repository.forge.statuses() {
            let what = format!("token of repository {} for its forge", repository.name);
            let token = match api.token {
                Some(source) => StatusToken::Kept(secret(source, &what, environment)?),
                None => match lender(repository, environment)? {
                    Some(lender) => StatusToken::Lent(Arc::new(Lent(lender))),
                    None => continue,
                },
            };
            let target = StatusTarget {
                commit_page: repository.forge.commit_page().unwrap_or_else(|| format!("{}/commits/", api.base)),
                base: api.base,
                full_name: api.repository,
                user: api.user.map(str::to_owned),
                token,
                speech: api.speech,
                deployments: api.deployments,
                branch: repository.branch.to_string(),
            };
            targets.insert(repository.name.clone(), target);
        }
    }
    Ok(targets)
}

/// The tokens of an app, for receivers.
#[derive(Debug)]
struct Lent(Arc<dyn LendsToken>);

impl LendsStatusToken for Lent {
    fn token(&self) -> BoxFuture<'_, Result<SecretString, (FailureKind, String)>> {
        Box::pin(async {
            self.0.token().await.map_err(|error| match error {
                NoToken::Refused(message) => (FailureKind::Refused, message),
                NoToken::Unavailable(message) => (FailureKind::Unavailable, message),
            })
        })
    }

    fn refused(&self) -> BoxFuture<'_, ()> {
        self.0.refused()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn settings(text: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("landfall.yaml");
        std::fs::write(&path, text).unwrap();
        config::load(&path).unwrap_or_else(|error| panic!("{}", error.render(false))).settings
    }

    const GITHUB: &str = "schedule: \"*/5 * * * *\"\nrepositories:\n  - { name: a, url: \"https://x.example/a.git\", forge: { kind: github, repository: acme/a, token: { env: T } } }\n  - { name: b, url: \"https://x.example/b.git\", forge: { kind: github, apiUrl: \"https://git.example.com/api/v3\", repository: acme/b, token: { env: T } } }\n  - { name: c, url: \"https://x.example/c.git\" }\nnotify:\n  - { name: hub, kind: github }\n  - { name: lines, kind: log, reminder: 1h, mute: [{ cron: \"0 22 * * *\", duration: 8h }] }\n";

    #[test]
    fn rules_follow_the_configuration() {
        let rules = incident_rules(&settings(GITHUB));
        assert_eq!(rules.unknown_after, Duration::from_secs(15 * 60));
        assert_eq!(rules.reminder, Some(Duration::from_secs(3_600)));
        assert_eq!(rules.runbook, None);
        let linked = format!("{GITHUB}runbooks: \"https://wiki.example.com/causes#{{code}}\"\n");
        let rules_with_link = incident_rules(&settings(&linked));
        assert_eq!(rules_with_link.runbook.as_deref(), Some("https://wiki.example.com/causes#{code}"));
        let links: Vec<_> = rules.commit_urls.values().map(String::as_str).collect();
        assert_eq!(links, ["https://github.com/acme/a/commit/", "https://git.example.com/acme/b/commit/"]);
    }

    #[test]
    fn receivers_are_made_with_their_secrets_and_windows() {
        let environment = Environment::from_fn(|name| (name == "T").then(|| "t0ken".to_owned()));
        let sinks = sinks(&settings(GITHUB), &environment).unwrap();
        assert_eq!(sinks[0].repositories.keys().collect::<Vec<_>>(), ["a", "b"], "c is on no forge");
        assert_eq!(sinks[0].filter.reminder, Some(DEFAULT_REMINDER));
        assert!(!format!("{sinks:?}").contains("t0ken"));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(sinks[1].mute.until(at("2026-01-05T23:00:00Z")), Some(at("2026-01-06T06:00:00Z")));
        assert_eq!(sinks[1].mute.until(at("2026-01-05T12:00:00Z")), None);
        assert_eq!(sinks[1].filter.landings, Landings::Notified);
        let error = super::sinks(&settings(GITHUB), &Environment::from_fn(|_| None)).unwrap_err();
        assert!(error.to_string().contains("the token of repository a for its forge"), "{error}");
    }
}
