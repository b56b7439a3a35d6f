//! Whether the inputs of the bot's setup have changed: secrets, certificates, policies next to the configuration.

use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use crate::config::{CredentialSource, Environment, PolicySource, SecretSource, Settings, load};

/// The inputs of a bot's setup as one hash; nothing can be read back from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The current fingerprint; `None` while a secret or file cannot be read, as in the middle of its replacement.
    #[must_use]
    pub fn take(settings: &Settings, environment: &Environment) -> Option<Self> {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let mut add = |bytes: &[u8]| {
            context.update(&bytes.len().to_le_bytes());
            context.update(bytes);
        };
        for secret in secrets(settings) {
            add(secret.read(environment).ok()?.expose_secret().as_bytes());
        }
        for file in files(settings) {
            add(&std::fs::read(file).ok()?);
        }
        for repository in &settings.repositories {
            if let PolicySource::File(path) = &repository.policies {
                for (name, text) in load::policy_files(path).ok()? {
                    add(name.as_bytes());
                    add(text.as_bytes());
                }
            }
        }
        context.finish().as_ref().try_into().ok().map(Self)
    }
}

fn secrets(settings: &Settings) -> impl Iterator<Item = &SecretSource> {
    let credentials = settings.repositories.iter().filter_map(|repository| repository.credentials.as_ref());
    let credentials = credentials.map(CredentialSource::secret);
    let logins = settings.registries.hosts.iter().filter_map(|registry| registry.login.as_ref());
    let logins = logins.chain(&settings.registries.login).flat_map(|login| login.secrets()).map(|(_, source)| source);
    let forges = settings.repositories.iter().flat_map(|repository| repository.forge.secrets());
    let forges = forges.map(|(_, source)| source);
    let signing = settings.repositories.iter().filter_map(|repository| Some(&repository.signing.as_ref()?.key));
    let registries = settings.registries.hosts.iter().map(|registry| &registry.client_certificate);
    let shown = settings.repositories.iter().map(|repository| &repository.client_certificate).chain(registries);
    let shown = shown.flatten().map(|certificate| &certificate.key);
    let receivers = settings.notify.iter().flat_map(|receiver| receiver.kind.secrets()).map(|(_, source)| source);
    let heartbeat = settings.heartbeat.iter().filter_map(|heartbeat| heartbeat.url.secret());
    let server = settings
        .server
        .iter()
        .flat_map(|server| server.webhooks.iter().filter_map(|source| source.proof.secret()).chain(&server.token));
    credentials.chain(logins).chain(forges).chain(signing).chain(shown).chain(receivers).chain(heartbeat).chain(server)
}

fn files(settings: &Settings) -> impl Iterator<Item = &PathBuf> {
    let repositories = settings.repositories.iter().filter_map(|repository| repository.ca_file.as_ref());
    let receivers = settings.notify.iter().filter_map(|receiver| receiver.ca_file.as_ref());
    let receivers = receivers.chain(settings.heartbeat.iter().filter_map(|heartbeat| heartbeat.ca_file.as_ref()));
    let shown = settings.repositories.iter().map(|repository| &repository.client_certificate);
    let shown = shown.chain(settings.registries.hosts.iter().map(|registry| &registry.client_certificate));
    let shown = shown.flatten().map(|certificate| &certificate.file);
    repositories
        .chain(shown)
        .chain(settings.registries.hosts.iter().filter_map(|registry| registry.ca_file.as_ref()))
        .chain(receivers)
        .chain(&settings.trusted_root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const CONFIG: &str = "repositories:\n  - name: deploys\n    url: https://git.example.com/deploys.git\n    credentials: { token: { env: TOKEN } }\n    policies: { file: policies.yaml }\n";

    #[test]
    fn it_changes_with_a_secret_and_with_a_policy_file_and_not_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("landfall.yaml", CONFIG);
        write("policies.yaml", "policies: []\n");
        let settings = config::load(&folder.path().join("landfall.yaml")).unwrap().settings;
        let with = |token: &'static str| Environment::from_fn(move |name| (name == "TOKEN").then(|| token.to_owned()));
        let first = Fingerprint::take(&settings, &with("one")).unwrap();
        assert_eq!(Fingerprint::take(&settings, &with("one")), Some(first.clone()));
        assert_ne!(Fingerprint::take(&settings, &with("two")), Some(first.clone()));
        assert_eq!(Fingerprint::take(&settings, &with("")), None);
        write("policies.yaml", "policies: []\n# changed\n");
        assert_ne!(Fingerprint::take(&settings, &with("one")), Some(first));
    }
}
