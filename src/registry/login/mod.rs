//! The ways to log in to a registry: one file or folder per way, and one line in the table below.
//!
//! The file has its configuration keys (`…Config`, which is also its JSON Schema; the keys under `credentials`
//! determine the way), their checked form (`…Settings`, in which secrets are not read yet), and the login itself
//! ([`LogsIn`]). Everything else follows from the table: dispatch, error messages, schema texts, and the entry of
//! `landfall doctor`. Where and when something is presented is decided in `authorization`, for all of them.

use base64::Engine as _;
use futures::future::BoxFuture;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use crate::document::check::Check;
use crate::document::secret::{Environment, ReadSecrets, SecretSource};

use super::error::Cause;
use super::exchange::Session;
use super::host::Failure;

mod aws;
mod azure;
mod basic;
mod docker;
mod google;
mod helper;
mod pull_secret;
mod renewed;
mod token;
mod tools;

pub use basic::BasicLogin;
pub use pull_secret::{NoPullSecret, PullSecretName, PullSecretReader};
pub use token::TokenLogin;
pub use tools::LoginTools;
pub(super) use tools::SecretHash;

/// Generates everything that depends on the way from one line per way.
macro_rules! logins {
    ($( #[doc = $text:literal] $name:literal => $Kind:ident($Config:ty, $Settings:ty, $Login:ty); )*) => {
        crate::document::kinds::kinds! {
            /// The keys of each way, as written.
            enum LoginConfig, expecting "credentials as a mapping";
            $( #[doc = $text] $name => $Kind($Config), )*
        }

        impl LoginConfig {
            /// Checks the keys and returns the settings if they are valid.
            pub(crate) fn check(&self, check: &mut Check<'_, '_>) -> Option<LoginSettings> {
                match self {
                    $( Self::$Kind(config) => config.check(check).map(LoginSettings::$Kind), )*
                }
            }
        }

        /// How to log in to a registry, with secrets not yet read.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum LoginSettings {
            $( #[doc = $text] $Kind($Settings), )*
        }

        impl LoginSettings {
            /// The sources of its secrets, each with a description.
            #[must_use]
            pub fn secrets(&self) -> Vec<(&'static str, &SecretSource)> {
                match self {
                    $( Self::$Kind(settings) => <$Login as LogsIn>::secrets(settings), )*
                }
            }

            /// The identity it logs in as, for `landfall doctor`.
            #[must_use]
            pub fn who(&self) -> String {
                match self {
                    $( Self::$Kind(settings) => <$Login as LogsIn>::who(settings), )*
                }
            }
        }

        /// A running login. `Debug` shows no secret.
        #[derive(Debug, Clone)]
        pub enum RegistryLogin {
            $( #[doc = $text] $Kind($Login), )*
        }

        impl RegistryLogin {
            /// Opens it; makes no connection.
            ///
            /// # Errors
            /// Why it cannot be used, in words that show no secret.
            pub fn open(settings: &LoginSettings, opening: &LoginOpening<'_>) -> Result<Self, String> {
                match settings {
                    $( LoginSettings::$Kind(settings) => LogsIn::open(settings, opening).map(Self::$Kind), )*
                }
            }

            /// What to present for this repository, in the order to try; empty: nothing is known, so requests are anonymous.
            pub(super) fn proofs<'a>(&'a self, session: &'a Session<'_>) -> BoxFuture<'a, Result<Vec<Proof>, Failure>> {
                // Boxed, because the state of every login would otherwise be part of every request's future.
                match self {
                    $( Self::$Kind(login) => Box::pin(LogsIn::proofs(login, session)), )*
                }
            }

            /// Called when every proof was refused. Whether asking again may provide others.
            pub(super) async fn forget(&self, session: &Session<'_>) -> bool {
                match self {
                    $( Self::$Kind(login) => LogsIn::forget(login, session).await, )*
                }
            }
        }
    };
}

logins! {
    /// A name and a password: for a registry that requires `Basic`, or the token service of one that requires `Bearer`.
    "basic" => Basic(basic::BasicConfig, basic::BasicSettings, BasicLogin);
    /// A ready bearer token: for the registry itself if it requires `Bearer`; it is never exchanged for another.
    "token" => Token(token::TokenConfig, token::TokenSettings, TokenLogin);
    /// What a Docker `config.json` says of the registry: also a pull secret of Kubernetes, mounted as a file.
    "docker config" => Docker(docker::DockerConfig, docker::DockerSettings, docker::DockerLogin);
    /// What a pull secret says that is read from a cluster.
    "pull secret" => PullSecret(pull_secret::PullSecretConfig, PullSecretName, pull_secret::PullSecretLogin);
    /// What a credential helper program (`docker-credential-NAME`) says.
    "helper" => Helper(helper::HelperConfig, helper::HelperSettings, helper::HelperLogin);
    /// Amazon ECR, private or public, by the identity that the bot runs with, or by keys.
    "aws" => Aws(aws::AwsConfig, aws::AwsSettings, aws::AwsLogin);
    /// Google Artifact Registry and Container Registry, by the identity that the bot runs with, or by a credentials file.
    "google" => Google(google::GoogleConfig, google::GoogleSettings, google::GoogleLogin);
    /// Azure Container Registry, by the identity that the bot runs with, or by a client secret.
    "azure" => Azure(azure::AzureConfig, azure::AzureSettings, azure::AzureLogin);
}

impl LoginSettings {
    /// What a Docker `config.json` says.
    #[must_use]
    pub fn docker_config(file: SecretSource) -> Self {
        Self::Docker(docker::DockerSettings::new(file))
    }
}

/// What a login needs to open, besides its settings.
#[derive(Debug, Clone, Copy)]
pub struct LoginOpening<'a> {
    /// The registry's host, as images name it.
    pub host: &'a str,
    /// Its secrets, read.
    pub secrets: &'a ReadSecrets,
    /// The environment, in which clouds describe the identity that the bot runs with.
    pub environment: &'a Environment,
    /// What the logins of all registries share.
    pub tools: &'a LoginTools,
}

impl LoginOpening<'_> {
    /// A secret that was read.
    fn secret(&self, source: &SecretSource) -> Result<SecretString, String> {
        self.secrets.get(source).ok_or_else(|| format!("the secret in {source} was not read"))
    }

    /// The value of an environment variable; an empty one counts as not set.
    fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name)
    }
}

/// A running way to log in.
trait LogsIn: Sized {
    /// Its checked settings.
    type Settings;

    /// The sources of its secrets, each with a description.
    fn secrets(settings: &Self::Settings) -> Vec<(&'static str, &SecretSource)>;

    /// Opens it; makes no connection.
    fn open(settings: &Self::Settings, opening: &LoginOpening<'_>) -> Result<Self, String>;

    /// The identity it logs in as, for `landfall doctor`.
    fn who(settings: &Self::Settings) -> String;

    /// What to present, in the order to try. It is called only if the registry requires a login, so a way that has to fetch
    /// something may do so here.
    async fn proofs(&self, session: &Session<'_>) -> Result<Vec<Proof>, Failure>;

    /// Called when every proof that the session presented was refused. Whether asking again may provide others; not if they come from the
    /// configuration.
    async fn forget(&self, _: &Session<'_>) -> bool {
        false
    }
}

/// What is presented to log in.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// A name and a password as a header: for the registry if it requires `Basic`, for its token service if it requires `Bearer`.
    Pair(HeaderValue),
    /// A ready token as a header: for the registry itself if it requires `Bearer`.
    Bearer(HeaderValue),
    /// A refresh token (Docker's `identitytoken`): exchanged at the token service if the registry requires `Bearer`.
    Refresh(SecretString),
    /// Nothing: an anonymous request.
    Anonymous,
    /// The same, because what should be presented could not be had; if that is refused, this is told.
    Unavailable(Failure),
}

impl Proof {
    fn pair(username: &str, password: &SecretString) -> Result<Self, Failure> {
        let pair = format!("{username}:{}", password.expose_secret());
        secret_header("Basic", &base64::engine::general_purpose::STANDARD.encode(pair)).map(Self::Pair)
    }

    /// By what it is told from others.
    pub(super) fn id(&self) -> SecretHash {
        match self {
            Self::Pair(header) | Self::Bearer(header) => SecretHash::of(&[header.as_bytes()]),
            Self::Refresh(token) => SecretHash::of(&["refresh", token.expose_secret()]),
            Self::Anonymous | Self::Unavailable(_) => SecretHash::of(&[""]),
        }
    }

    fn bearer(token: &SecretString) -> Result<Self, Failure> {
        secret_header("Bearer", token.expose_secret()).map(Self::Bearer)
    }
}

/// `scheme secret` as a header that is marked as secret.
fn secret_header(scheme: &str, secret: &str) -> Result<HeaderValue, Failure> {
    secret_text(&format!("{scheme} {secret}"))
}

/// A header that is marked as secret.
fn secret_text(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Failure::from(Cause::Authentication(
            "the configured credentials contain characters that cannot be sent".to_owned(),
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}
