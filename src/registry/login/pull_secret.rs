//! A pull secret of Kubernetes, read by name from a cluster, again when it is five minutes old or refused.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::document::at::At;
use crate::document::check::{Check, optional};
use crate::document::secret::SecretSource;
use crate::document::value;
use crate::registry::error::Cause;
use crate::registry::exchange::Session;
use crate::registry::host::Failure;

use super::docker::DockerLogin;
use super::{LoginOpening, LogsIn, Proof};

/// How long what was read is used without reading it again.
const LIFE: Duration = Duration::from_secs(300);
/// What is refused is not read again before it is this old; what could not be read is not tried again before, either: every
/// request to the registry would wait for the cluster.
const YOUNG: Duration = Duration::from_secs(30);

/// The keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PullSecretConfig {
    /// A pull secret (`kubernetes.io/dockerconfigjson`) in a cluster.
    pull_secret: At<PullSecretKeys>,
}

/// Which.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PullSecretKeys {
    /// The secret's name.
    name: At<String>,
    /// Its namespace.
    namespace: At<String>,
    /// One of `clusters`; default: the cluster that the bot runs in.
    cluster: Option<At<String>>,
}

impl PullSecretConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<PullSecretName> {
        let keys = &self.pull_secret.value;
        let name = check.text(&keys.name, value::object_name);
        let namespace = check.text(&keys.namespace, value::namespace);
        let cluster = optional(keys.cluster.as_ref(), |at| check.text(at, value::name));
        Some(PullSecretName { cluster: cluster?, namespace: namespace?, name: name? })
    }
}

/// Which pull secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSecretName {
    /// The name of a configured cluster; `None`: the one that the bot runs in.
    pub cluster: Option<String>,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Why a pull secret cannot be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPullSecret {
    /// A person has to do something.
    Refused(String),
    /// It may be there the next time.
    Unavailable(String),
}

/// What reads pull secrets of the configured clusters.
pub trait PullSecretReader: Send + Sync {
    /// Whether there is a cluster of this name.
    fn knows(&self, cluster: &str) -> bool;

    /// Reads one, as the text of a Docker `config.json`.
    fn read<'a>(&'a self, secret: &'a PullSecretName) -> BoxFuture<'a, Result<SecretString, NoPullSecret>>;
}

/// A pull secret and what it said last. `Debug` shows no secret.
#[derive(Clone)]
pub struct PullSecretLogin {
    secret: PullSecretName,
    reader: Arc<dyn PullSecretReader>,
    memory: Arc<Mutex<Memory>>,
}

/// What was read last, and what went wrong since, and when.
#[derive(Default)]
struct Memory {
    kept: Option<Kept>,
    failed: Option<(Instant, NoPullSecret)>,
}

struct Kept {
    read: Instant,
    login: DockerLogin,
}

impl std::fmt::Debug for PullSecretLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PullSecretLogin").field(&self.secret).finish()
    }
}

impl PullSecretLogin {
    /// What the secret says: as it was read at most five minutes ago. An old reading outlives a failure to read it again.
    async fn login(&self, now: Instant) -> Result<DockerLogin, Failure> {
        let mut memory = self.memory.lock().await;
        if let Some(kept) = memory.kept.as_ref().filter(|kept| now.duration_since(kept.read) < LIFE) {
            return Ok(kept.login.clone());
        }
        let failed = memory.failed.as_ref().filter(|(at, _)| now.duration_since(*at) < YOUNG);
        let problem = match failed.map(|(_, problem)| problem.clone()) {
            Some(problem) => problem,
            None => match self.read().await {
                Ok(login) => {
                    *memory = Memory { kept: Some(Kept { read: now, login: login.clone() }), failed: None };
                    return Ok(login);
                }
                Err(problem) => {
                    if let (NoPullSecret::Unavailable(reason), Some(_)) = (&problem, &memory.kept) {
                        tracing::warn!("{reason}; going on with what it said before");
                    }
                    memory.failed = Some((now, problem.clone()));
                    problem
                }
            },
        };
        match (problem, &memory.kept) {
            (NoPullSecret::Unavailable(_), Some(kept)) => Ok(kept.login.clone()),
            (NoPullSecret::Unavailable(reason), None) => Err(Cause::Unreachable(reason).into()),
            (NoPullSecret::Refused(reason), _) => {
                memory.kept = None;
                Err(Cause::Authentication(reason).into())
            }
        }
    }

    async fn read(&self) -> Result<DockerLogin, NoPullSecret> {
        let text = self.reader.read(&self.secret).await?;
        let what = self.secret.label();
        let (login, dropped) =
            DockerLogin::read(&text).map_err(|reason| NoPullSecret::Refused(format!("{what}: {reason}")))?;
        for reason in dropped {
            tracing::warn!("{what} is used without {reason}");
        }
        // As with the kubelet: a cluster's object never names a program to run here.
        Ok(login.without_helpers())
    }
}

impl PullSecretName {
    fn label(&self) -> String {
        let cluster = self.cluster.as_ref().map(|cluster| format!(" of cluster {cluster}")).unwrap_or_default();
        format!("the pull secret {}/{}{cluster}", self.namespace, self.name)
    }
}

impl LogsIn for PullSecretLogin {
    type Settings = PullSecretName;

    fn secrets(_: &PullSecretName) -> Vec<(&'static str, &SecretSource)> {
        Vec::new()
    }

    fn open(secret: &PullSecretName, opening: &LoginOpening<'_>) -> Result<Self, String> {
        let reader = opening.tools.pull_secrets();
        if let Some(cluster) = secret.cluster.as_ref().filter(|cluster| !reader.knows(cluster)) {
            return Err(format!("`pullSecret` names the cluster {cluster}, which `clusters` does not have"));
        }
        Ok(Self { secret: secret.clone(), reader, memory: Arc::default() })
    }

    fn who(secret: &PullSecretName) -> String {
        format!("as {} says", secret.label())
    }

    async fn proofs(&self, session: &Session<'_>) -> Result<Vec<Proof>, Failure> {
        self.login(Instant::now()).await?.proofs(session).await
    }

    async fn forget(&self, _: &Session<'_>) -> bool {
        let mut memory = self.memory.lock().await;
        let old = memory.kept.as_ref().is_some_and(|kept| kept.read.elapsed() >= YOUNG);
        if old {
            memory.kept = None;
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Lock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Says one after the other, the last one again.
    struct Says(Lock<Vec<Result<&'static str, NoPullSecret>>>, AtomicUsize);

    impl PullSecretReader for Says {
        fn knows(&self, cluster: &str) -> bool {
            cluster == "eu-1"
        }

        fn read<'a>(&'a self, _: &'a PullSecretName) -> BoxFuture<'a, Result<SecretString, NoPullSecret>> {
            self.1.fetch_add(1, Ordering::SeqCst);
            let said = self.0.lock().unwrap().remove(0);
            Box::pin(std::future::ready(said.map(SecretString::from)))
        }
    }

    fn login(says: Vec<Result<&'static str, NoPullSecret>>) -> (PullSecretLogin, Arc<Says>) {
        let reader = Arc::new(Says(Lock::new(says), AtomicUsize::new(0)));
        let secret = PullSecretName { cluster: None, namespace: "landfall".to_owned(), name: "pull".to_owned() };
        (PullSecretLogin { secret, reader: reader.clone(), memory: Arc::default() }, reader)
    }

    const GOOD: &str = r#"{"auths":{"ghcr.io":{"registrytoken":"hunter2"}},"credsStore":"pass"}"#;

    #[tokio::test]
    async fn it_is_read_again_after_five_minutes_and_outlives_an_outage() {
        let down = || Err(NoPullSecret::Unavailable("down".to_owned()));
        let gone = Err(NoPullSecret::Refused("it does not exist".to_owned()));
        let (login, reader) = login(vec![down(), Ok(GOOD), down(), gone]);
        let (start, count) = (Instant::now(), || reader.1.load(Ordering::SeqCst));
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in [0, 29] {
            assert!(matches!(login.login(at(seconds)).await.unwrap_err().cause, Cause::Unreachable(_)));
        }
        assert_eq!(count(), 1, "it is left alone for a while");
        for seconds in [30, 329] {
            login.login(at(seconds)).await.unwrap();
        }
        assert_eq!(count(), 2);
        for seconds in [331, 360] {
            login.login(at(seconds)).await.unwrap();
        }
        assert_eq!(count(), 3, "it was asked once, and the old one goes on");
        // What is gone is not used any longer.
        for seconds in [361, 390] {
            assert!(matches!(login.login(at(seconds)).await.unwrap_err().cause, Cause::Authentication(_)));
        }
        assert_eq!(count(), 4);
    }

    #[tokio::test]
    async fn it_names_no_program_and_shows_nothing() {
        let (login, _) = login(vec![Ok(GOOD)]);
        let read = format!("{:?} {:?}", login.login(Instant::now()).await.unwrap(), login);
        assert!(read.contains("store: None") && !read.contains("hunter2"), "{read}");
    }

    #[tokio::test]
    async fn what_is_no_docker_configuration_is_told_without_its_text() {
        let (login, _) = login(vec![Ok("hunter2")]);
        let error = format!("{:?}", login.login(Instant::now()).await.unwrap_err());
        assert!(error.contains("landfall/pull") && error.contains("line 1") && !error.contains("hunter2"), "{error}");
    }
}
