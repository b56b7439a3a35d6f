//! Faults between a watch and its server, classified by what to do about them.

use std::time::Duration;

use kube::config::KubeconfigError;
use kube::core::Status;

/// Maximum length of a server's message that is kept.
const MAX_MESSAGE: usize = 300;
/// The longest pause that a server may request.
const MAX_PAUSE: u32 = 300;

/// Why a watch cannot continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApiFault {
    /// 404: nothing is served there.
    Missing,
    /// 403.
    Forbidden,
    /// 410: the version to continue from is too old; list again.
    Expired,
    /// 401: the credentials are not, or no longer, valid.
    Unauthorized(String),
    /// Anything else, with the pause that the server requested.
    Failed {
        /// The message, without secrets.
        message: String,
        /// The minimum pause before the next request.
        pause: Option<Duration>,
    },
}

impl ApiFault {
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), pause: None }
    }

    /// Classifies an answer with a status that is no success.
    pub(super) fn of_answer(code: u16, said: &[u8]) -> Self {
        let status = serde_json::from_slice::<Status>(said).unwrap_or_else(|_| {
            // A proxy's page, or the plain text for a path that does not exist.
            let text = String::from_utf8_lossy(said);
            Status::failure(text.trim(), "").with_code(code)
        });
        Self::of_status(&status)
    }

    /// Classifies a refusal of the server.
    pub(super) fn of_status(status: &Status) -> Self {
        match status.code {
            404 => Self::Missing,
            403 => Self::Forbidden,
            410 => Self::Expired,
            401 => Self::Unauthorized(
                "the server does not accept the credentials (401): renew the token or kubeconfig of this cluster"
                    .to_owned(),
            ),
            code => {
                let pause = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|n| *n > 0);
                Self::Failed {
                    message: clean(&format!("the server answered {code}: {}", status.message)),
                    pause: pause.map(|seconds| Duration::from_secs(seconds.min(MAX_PAUSE).into())),
                }
            }
        }
    }
}

impl From<kube::Error> for ApiFault {
    fn from(error: kube::Error) -> Self {
        use kube::Error;
        match error {
            Error::Api(status) => Self::of_status(&status),
            // The messages of these contain a helper program's output or the server's answer, possibly a token.
            Error::Auth(_) => Self::Unauthorized(
                "no credentials for the server are available: the helper program or token file of the kubeconfig failed"
                    .to_owned(),
            ),
            Error::SerdeError(error) => Self::failed(format!(
                "the server's answer is not what a Kubernetes API server sends (line {}, column {})",
                error.line(),
                error.column()
            )),
            Error::FromUtf8(_) => Self::failed("the server's answer is not text"),
            Error::Service(error) => Self::failed(chain(error.as_ref())),
            Error::HyperError(error) => Self::failed(chain(&error)),
            Error::ReadEvents(error) => Self::failed(format!("the watch broke off: {}", chain(&error))),
            Error::RustlsTls(_) => Self::failed("the certificates of the kubeconfig cannot be used"),
            _ => Self::failed("the request could not be made"),
        }
    }
}

/// What is wrong with a kubeconfig, without quoting any of its content.
pub(super) fn of_kubeconfig(error: &KubeconfigError) -> ApiFault {
    let message = match error {
        KubeconfigError::ReadConfig(error, path) => {
            format!("the kubeconfig {} cannot be read: {error}", path.display())
        }
        KubeconfigError::Parse(_) => "the kubeconfig is not a valid kubeconfig in YAML".to_owned(),
        KubeconfigError::CurrentContextNotSet => {
            "the kubeconfig has no current context: name one with `context`".to_owned()
        }
        KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context `{name}`"),
        KubeconfigError::LoadClusterOfContext(name) => format!("the kubeconfig has no cluster `{name}`"),
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
            "the kubeconfig's cluster has no valid address".to_owned()
        }
        KubeconfigError::LoadCertificateAuthority(_) => {
            "the kubeconfig's certificate authority cannot be read".to_owned()
        }
        KubeconfigError::LoadClientCertificate(_) => "the kubeconfig's client certificate cannot be read".to_owned(),
        KubeconfigError::LoadClientKey(_) => "the kubeconfig's client key cannot be read".to_owned(),
        _ => "the kubeconfig cannot be used".to_owned(),
    };
    ApiFault::failed(clean(&message))
}

/// An error with its causes on one line: hyper's outermost error says only that something went wrong.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    clean(&text)
}

/// One line without control characters, of bounded length.
pub(super) fn clean(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0);
            line.truncate(end);
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str, pause: u32) -> Status {
        let mut status = Status::failure(message, "Why").with_code(code);
        status.details = serde_json::from_value(serde_json::json!({ "retryAfterSeconds": pause })).unwrap();
        status
    }

    #[test]
    fn refusals_are_sorted_by_what_to_do() {
        let failed = |message: &str, pause: Option<u64>| ApiFault::Failed {
            message: message.to_owned(),
            pause: pause.map(Duration::from_secs),
        };
        for (code, message, pause, expected) in [
            (404, "404 page not found", 0, ApiFault::Missing),
            (403, "pods is forbidden", 0, ApiFault::Forbidden),
            (410, "too old resource version", 0, ApiFault::Expired),
            (429, "too many", 7, failed("the server answered 429: too many", Some(7))),
            (429, "too many", 1 << 30, failed("the server answered 429: too many", Some(300))),
            (503, "a\u{7}\nb", 0, failed("the server answered 503: a b", None)),
        ] {
            assert_eq!(ApiFault::of_status(&status(code, message, pause)), expected, "{code}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = clean(&"ü".repeat(10_000));
        assert!(cut.len() <= MAX_MESSAGE + '…'.len_utf8() && cut.ends_with('…'), "{}", cut.len());
    }

    #[test]
    fn a_broken_kubeconfig_is_not_quoted() {
        let text = "apiVersion: v1\nkind: Config\nusers: [{ name: a, user: { token: hunter2 }\n";
        let error = kube::config::Kubeconfig::from_yaml(text).unwrap_err();
        let told = format!("{:?}", of_kubeconfig(&error));
        assert!(!told.contains("hunter2") && told.contains("kubeconfig"), "{told}");
    }
}
