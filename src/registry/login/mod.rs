//! The ways to log in to a registry: one file or folder per way, and one line in the table below.
//!
//! The file has its configuration keys (`…Config`, which is also its JSON Schema; the keys under `credentials`
//! determine the way), their checked form (`…Settings`, in which secrets are not read yet), and the login itself
//! ([`LogsIn`]). Everything else follows from the table: dispatch, error messages, schema texts, and the entry of
//! `landfall doctor`. Where and when something is presented is decided in `authorization`, for all of them.

use http::HeaderValue;

use crate::document::check::Check;
use crate::document::secret::{ReadSecrets, SecretSource};

use super::error::Cause;
use super::host::Failure;

mod basic;
mod token;

pub use basic::BasicLogin;
pub use token::TokenLogin;

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
            /// Opens it; makes no connection. `None`: a secret was not read.
            #[must_use]
            pub fn open(settings: &LoginSettings, secrets: &ReadSecrets) -> Option<Self> {
                match settings {
                    $( LoginSettings::$Kind(settings) => LogsIn::open(settings, secrets).map(Self::$Kind), )*
                }
            }

            /// What to present.
            pub(super) async fn proof(&self) -> Result<Proof, Failure> {
                match self {
                    $( Self::$Kind(login) => LogsIn::proof(login).await, )*
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
}

/// A running way to log in.
trait LogsIn: Sized {
    /// Its checked settings.
    type Settings;

    /// The sources of its secrets, each with a description.
    fn secrets(settings: &Self::Settings) -> Vec<(&'static str, &SecretSource)>;

    /// Opens it; makes no connection. `None`: a secret was not read.
    fn open(settings: &Self::Settings, secrets: &ReadSecrets) -> Option<Self>;

    /// The identity it logs in as, for `landfall doctor`.
    fn who(settings: &Self::Settings) -> String;

    /// What to present. It is called only if the registry requires a login, so a way that has to fetch something may do
    /// so here.
    async fn proof(&self) -> Result<Proof, Failure>;
}

/// What is presented to log in, as a header that is marked as secret.
#[derive(Debug)]
pub(super) enum Proof {
    /// A name and a password: for the registry if it requires `Basic`, for its token service if it requires `Bearer`.
    Pair(HeaderValue),
    /// A ready token: for the registry itself if it requires `Bearer`.
    Bearer(HeaderValue),
}

/// A header that is marked as secret.
fn secret_header(scheme: &str, secret: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {secret}")).map_err(|_| {
        Failure::from(Cause::Authentication(
            "the configured credentials contain characters that cannot be sent".to_owned(),
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}
