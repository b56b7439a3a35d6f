//! From settings to receivers: secrets are read, mute windows become a question about the time.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::config::{
    Address, CredentialSource, Environment, ForgeSettings, NotifySettings, NotifyTarget, PayloadFormat, SecretSource,
    Settings, Trigger,
};
use crate::landing::incidents::Rules;
use crate::notify::{
    Filter, GitHubTarget, HeartbeatSettings, Landings, Login, Mute, SinkKind, SinkSettings, SlackSettings,
    WebhookFormat, WebhookSettings,
};
use crate::policy::{Window, WindowState, windows_state};

use super::setup::{SetupError, file, secret};

/// Time between two reminders where a receiver does not say.
const DEFAULT_REMINDER: Duration = Duration::from_secs(4 * 3_600);
/// Where the gap of a schedule is measured: any fixed day will do.
const MEASURED_FROM: Timestamp = Timestamp::constant(1_735_689_600, 0);

/// When something is an incident, by this configuration.
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
    rules.reminder = Some(reminders.min().unwrap_or(DEFAULT_REMINDER));
    for repository in &settings.repositories {
        if let ForgeSettings::GitHub { api_url, owner, repository: name, .. } = &repository.forge {
            let site = match api_url.strip_suffix("/api/v3") {
                Some(site) => site,
                None if api_url == "https://api.github.com" => "https://github.com",
                // Some other address of an API: nobody knows where its pages are.
                None => continue,
            };
            rules.commit_urls.insert(repository.name.clone(), format!("{site}/{owner}/{name}/commit/"));
        }
    }
    rules
}

/// The receivers of a configuration.
///
/// # Errors
/// When a secret or certificate cannot be read.
pub fn sinks(settings: &Settings, environment: &Environment) -> Result<Vec<SinkSettings>, SetupError> {
    if settings.notify.is_empty() {
        // Silence is no default: without a receiver the log is one.
        return Ok(vec![SinkSettings {
            name: "log".to_owned(),
            kind: SinkKind::Log,
            filter: Filter::default(),
            mute: Mute::never(),
            ca_pem: None,
        }]);
    }
    settings.notify.iter().map(|receiver| sink(receiver, settings, environment)).collect()
}

/// The heartbeat of a configuration.
///
/// # Errors
/// When its secret or certificate cannot be read.
pub fn heartbeat(settings: &Settings, environment: &Environment) -> Result<Option<HeartbeatSettings>, SetupError> {
    let Some(heartbeat) = &settings.heartbeat else { return Ok(None) };
    Ok(Some(HeartbeatSettings {
        url: address(&heartbeat.url, "address of the heartbeat", environment)?,
        ca_pem: heartbeat.ca_file.as_deref().map(file).transpose()?,
    }))
}

fn sink(receiver: &NotifySettings, settings: &Settings, environment: &Environment) -> Result<SinkSettings, SetupError> {
    let windows = receiver.mute.clone();
    Ok(SinkSettings {
        name: receiver.name.clone(),
        kind: kind(receiver, settings, environment)?,
        filter: Filter {
            environments: receiver.environments.clone(),
            policies: receiver.policies.clone(),
            minimum_severity: receiver.minimum_severity,
            reminder: Some(receiver.reminder.unwrap_or(DEFAULT_REMINDER)),
            landings: if receiver.landings { Landings::Told } else { Landings::Untold },
        },
        mute: mute(windows),
        ca_pem: receiver.ca_file.as_deref().map(file).transpose()?,
    })
}

/// Open windows are those in which it is not disturbed; none are never.
fn mute(windows: Vec<Window>) -> Mute {
    if windows.is_empty() {
        return Mute::never();
    }
    Mute::from_fn(move |now| match windows_state(&windows, now) {
        WindowState::Open { until } => Some(until),
        WindowState::Closed { .. } => None,
    })
}

fn kind(receiver: &NotifySettings, settings: &Settings, environment: &Environment) -> Result<SinkKind, SetupError> {
    let what = |part: &str| format!("{part} of receiver {}", receiver.name);
    let read = |source: &SecretSource, part: &str| secret(source, &what(part), environment);
    let login = |login: &Option<CredentialSource>| match login {
        None | Some(CredentialSource::SshKey { .. }) => Ok(None),
        Some(CredentialSource::Basic { username, password }) => {
            let password = read(password, "password")?;
            Ok::<_, SetupError>(Some(Login::Basic { username: username.clone(), password }))
        }
        Some(CredentialSource::Token(token)) => Ok(Some(Login::Bearer(read(token, "token")?))),
    };
    Ok(match &receiver.target {
        NotifyTarget::Log => SinkKind::Log,
        NotifyTarget::Webhook { url, format, login: source, signing_key } => SinkKind::Webhook(WebhookSettings {
            url: address(url, &what("address"), environment)?,
            format: match format {
                PayloadFormat::Json => WebhookFormat::Json,
                PayloadFormat::CloudEvents => WebhookFormat::CloudEvents,
            },
            login: login(source)?,
            signing_key: signing_key.as_ref().map(|key| read(key, "signing key")).transpose()?,
        }),
        NotifyTarget::SlackWebhook { url } => SinkKind::Slack(SlackSettings::Webhook(read(url, "address")?)),
        NotifyTarget::SlackBot { api_url, token, channel } => SinkKind::Slack(SlackSettings::Bot {
            api_url: api_url.clone(),
            token: read(token, "token")?,
            channel: channel.clone(),
        }),
        NotifyTarget::Alertmanager { url, login: source } => {
            SinkKind::Alertmanager { url: url.clone(), login: login(source)? }
        }
        NotifyTarget::PagerDuty { url, routing_key } => {
            SinkKind::PagerDuty { url: url.clone(), routing_key: read(routing_key, "routing key")? }
        }
        NotifyTarget::GitHub => SinkKind::GitHub(targets(settings, environment)?),
    })
}

/// Each repository on GitHub, with the token that its pull requests are made with.
fn targets(settings: &Settings, environment: &Environment) -> Result<BTreeMap<String, GitHubTarget>, SetupError> {
    let mut targets = BTreeMap::new();
    for repository in &settings.repositories {
        if let ForgeSettings::GitHub { api_url, owner, repository: name, token } = &repository.forge {
            let target = GitHubTarget {
                api_url: api_url.clone(),
                owner: owner.clone(),
                repository: name.clone(),
                token: secret(token, &format!("GitHub token of repository {}", repository.name), environment)?,
            };
            targets.insert(repository.name.clone(), target);
        }
    }
    Ok(targets)
}

fn address(address: &Address, what: &str, environment: &Environment) -> Result<SecretString, SetupError> {
    match address {
        Address::Plain(url) => Ok(SecretString::from(url.as_str())),
        Address::Secret(source) => secret(source, what, environment),
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
        let links: Vec<_> = rules.commit_urls.values().map(String::as_str).collect();
        assert_eq!(links, ["https://github.com/acme/a/commit/", "https://git.example.com/acme/b/commit/"]);
    }

    #[test]
    fn receivers_are_made_with_their_secrets_and_windows() {
        let environment = Environment::from_fn(|name| (name == "T").then(|| "t0ken".to_owned()));
        let sinks = sinks(&settings(GITHUB), &environment).unwrap();
        let SinkKind::GitHub(targets) = &sinks[0].kind else { panic!("{sinks:?}") };
        assert_eq!(targets.keys().collect::<Vec<_>>(), ["a", "b"], "c is on no forge");
        assert_eq!(sinks[0].filter.reminder, Some(DEFAULT_REMINDER));
        assert!(!format!("{sinks:?}").contains("t0ken"));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(sinks[1].mute.until(at("2026-01-05T23:00:00Z")), Some(at("2026-01-06T06:00:00Z")));
        assert_eq!(sinks[1].mute.until(at("2026-01-05T12:00:00Z")), None);
        assert_eq!(sinks[1].filter.landings, Landings::Told);
        let error = super::sinks(&settings(GITHUB), &Environment::from_fn(|_| None)).unwrap_err();
        assert!(error.to_string().contains("GitHub token of repository a"), "{error}");
    }
}
