//! From settings to receivers: secrets are read, mute windows become a question about the time.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::config::{
    Address, CredentialSource, Environment, ForgeSettings, NotifySettings, NotifyTarget, PayloadFormat, SecretSource,
    Settings,
};
use crate::notify::{
    Filter, GitHubTarget, HeartbeatSettings, Landings, Login, Mute, SinkKind, SinkSettings, SlackSettings,
    WebhookFormat, WebhookSettings,
};
use crate::policy::{Window, WindowState, windows_state};

use super::setup::{SetupError, file, secret};

/// The receivers of a configuration.
///
/// # Errors
/// When a secret or certificate cannot be read.
pub fn sinks(settings: &Settings, environment: &Environment) -> Result<Vec<SinkSettings>, SetupError> {
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
            reminder: receiver.reminder,
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
