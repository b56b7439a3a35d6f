//! The ways to log in to a registry: one file or folder for each, and one line in the table below.
//!
//! A way's file has its keys in the configuration (`…Config`, which is also its JSON Schema: which keys stand under `credentials`
//! says which way it is), what they mean once they are checked (`…Settings`, in which secrets are not read yet), and the login
//! itself ([`LogsIn`]). Everything else follows from the table: dispatch, the words of errors, the schema's texts, and the entry
//! of `landfall doctor`. Where and when something is shown is decided in `authorization`, for all of them.

use http::HeaderValue;

use crate::document::check::Check;
use crate::document::secret::{ReadSecrets, SecretSource};

use super::error::Cause;
use super::host::Failure;

mod basic;
mod token;

pub use basic::BasicLogin;
pub use token::TokenLogin;

/// Makes everything that depends on the way from one line for each.
macro_rules! logins {
    ($( #[doc = $text:literal] $name:literal => $Kind:ident($Config:ty, $Settings:ty, $Login:ty); )*) => {
        crate::document::kinds::kinds! {
            /// The keys of each way, as they are written.
            enum LoginConfig, expecting "credentials as a mapping";
            $( #[doc = $text] $name => $Kind($Config), )*
        }

        impl LoginConfig {
            /// What the keys mean, where they are right.
            pub(crate) fn check(&self, check: &mut Check<'_, '_>) -> Option<LoginSettings> {
                match self {
                    $( Self::$Kind(config) => config.check(check).map(LoginSettings::$Kind), )*
                }
            }
        }

        /// How to log in to a registry, the secrets not yet read.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum LoginSettings {
            $( #[doc = $text] $Kind($Settings), )*
        }

        impl LoginSettings {
            /// Where its secrets are, each with what it is.
            #[must_use]
            pub fn secrets(&self) -> Vec<(&'static str, &SecretSource)> {
                match self {
                    $( Self::$Kind(settings) => <$Login as LogsIn>::secrets(settings), )*
                }
            }

            /// As whom it logs in, in the words of `landfall doctor`.
            #[must_use]
            pub fn who(&self) -> String {
                match self {
                    $( Self::$Kind(settings) => <$Login as LogsIn>::who(settings), )*
                }
            }
        }

        /// A login at work. `Debug` shows no secret.
        #[derive(Debug, Clone)]
        pub enum RegistryLogin {
            $( #[doc = $text] $Kind($Login), )*
        }

        impl RegistryLogin {
            /// Makes it ready; connects to nothing. `None`: a secret was not read.
            #[must_use]
            pub fn open(settings: &LoginSettings, secrets: &ReadSecrets) -> Option<Self> {
                match settings {
                    $( LoginSettings::$Kind(settings) => LogsIn::open(settings, secrets).map(Self::$Kind), )*
                }
            }

            /// What is to be shown.
            pub(super) async fn proof(&self) -> Result<Proof, Failure> {
                match self {
                    $( Self::$Kind(login) => LogsIn::proof(login).await, )*
                }
            }
        }
    };
}

logins! {
    /// A name and a password: for the registry where it asks for `Basic`, and for its token service where it asks for `Bearer`.
    "basic" => Basic(basic::BasicConfig, basic::BasicSettings, BasicLogin);
    /// A ready bearer token: for the registry itself where it asks for `Bearer`; never exchanged for another.
    "token" => Token(token::TokenConfig, token::TokenSettings, TokenLogin);
}

/// A way to log in, at work.
trait LogsIn: Sized {
    /// What it is made from.
    type Settings;

    /// Where its secrets are, each with what it is.
    fn secrets(settings: &Self::Settings) -> Vec<(&'static str, &SecretSource)>;

    /// Makes it ready; connects to nothing. `None`: a secret was not read.
    fn open(settings: &Self::Settings, secrets: &ReadSecrets) -> Option<Self>;

    /// As whom it logs in, in the words of `landfall doctor`.
    fn who(settings: &Self::Settings) -> String;

    /// What is to be shown: asked for only where the registry wants a login, so that one that has to fetch it may do so here.
    async fn proof(&self) -> Result<Proof, Failure>;
}

/// What is shown to be let in, as a header that is marked as secret.
#[derive(Debug)]
pub(super) enum Proof {
    /// A name and a password: for the registry where it asks for `Basic`, for its token service where it asks for `Bearer`.
    Pair(HeaderValue),
    /// A ready token: for the registry itself where it asks for `Bearer`.
    Bearer(HeaderValue),
}

/// A header that is marked as secret.
fn secret_header(scheme: &str, secret: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {secret}")).map_err(|_| {
        Failure::from(Cause::Authentication(
            "the configured credentials have characters that cannot be sent".to_owned(),
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}
