//! The one place that creates a client for an API server.
//!
//! Promise: connecting takes bounded time. Nothing is retried behind the caller's back, so that a refusing server is
//! seen to refuse. No error quotes a kubeconfig, a token or the output of a credential helper.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use kube::config::{ExecConfig, KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::fault::{ApiFault, of_kubeconfig};
use super::settings::{Access, Settings};
use crate::process;

/// Maximum time to send a request.
const WRITE: Duration = Duration::from_secs(30);
/// A new client is made at most once in this many initial backoff pauses, however many watches are refused.
const RENEWAL: u32 = 5;

type Making = Shared<BoxFuture<'static, Result<kube::Client, ApiFault>>>;

/// Creates the client of one cluster when it is first needed, and again when its credentials are refused.
pub(super) struct ApiClient {
    access: Access,
    context: Option<String>,
    connect: Duration,
    renewal: Duration,
    client: Mutex<Option<(Instant, Making)>>,
}

impl ApiClient {
    pub(super) fn new(settings: &Settings) -> Self {
        let (access, context) = (settings.access.clone(), settings.context.clone());
        let renewal = settings.pace.backoff.saturating_mul(RENEWAL);
        Self { access, context, connect: settings.pace.connect, renewal, client: Mutex::new(None) }
    }

    /// The client. All watches of a cluster share it with its connections, and wait for the same one.
    pub(super) async fn client(&self) -> Result<kube::Client, ApiFault> {
        let (begun, making) = self.lock().get_or_insert_with(|| (Instant::now(), self.making())).clone();
        let made = making.await;
        if made.is_err() {
            let mut client = self.lock();
            if client.as_ref().is_some_and(|(other, _)| *other == begun) {
                *client = None;
            }
        }
        made
    }

    /// The credentials were refused: the next client is made from the kubeconfig's content at that time.
    pub(super) fn renew(&self) {
        let mut client = self.lock();
        if client.as_ref().is_some_and(|(begun, _)| begun.elapsed() >= self.renewal) {
            *client = None;
        }
    }

    /// A kubeconfig may name a program that provides the token, and kube waits for it without yielding. A separate
    /// thread keeps a hanging program from holding up other clusters.
    fn making(&self) -> Making {
        let (access, context, connect) = (self.access.clone(), self.context.clone(), self.connect);
        let runtime = tokio::runtime::Handle::current();
        let made = tokio::task::spawn_blocking(move || runtime.block_on(make(&access, context, connect)));
        let outcome =
            async { made.await.unwrap_or_else(|_| Err(ApiFault::failed("creating a client for the server panicked"))) };
        outcome.boxed().shared()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Making)>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn make(access: &Access, context: Option<String>, connect: Duration) -> Result<kube::Client, ApiFault> {
    let mut config = config(access, context).await?;
    config.connect_timeout = Some(connect);
    // A watch may be quiet for minutes; each request has its own deadline.
    config.read_timeout = None;
    config.write_timeout = Some(WRITE);
    // Up to fifteen hidden retries, each up to 1,000 s apart, would look like a server that is merely slow.
    config.default_retry = false;
    kube::Client::try_from(config).map_err(ApiFault::from)
}

/// Hides from the program what it does not need; it gets what the kubeconfig itself sets.
fn fence(plugin: &mut ExecConfig) {
    #[expect(clippy::disallowed_methods, reason = "what a credential program sees of our environment is decided here")]
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let given: Vec<&String> = plugin.env.iter().flatten().filter_map(|variable| variable.get("name")).collect();
    let hidden = |name: &String| !process::may_see(name) && !given.contains(&name);
    plugin.drop_env = Some(names.filter(hidden).collect());
}

/// The names of a kubeconfig's contexts; none if it cannot be read.
#[must_use]
pub fn contexts(path: &std::path::Path) -> Vec<String> {
    let kubeconfig = Kubeconfig::read_from(path);
    kubeconfig.map(|found| found.contexts.into_iter().map(|context| context.name).collect()).unwrap_or_default()
}

async fn config(access: &Access, context: Option<String>) -> Result<kube::Config, ApiFault> {
    let kubeconfig = match access {
        Access::InCluster => {
            return kube::Config::incluster().map_err(|_| {
                ApiFault::failed(
                    "this process has no service account of a cluster: run it in a pod, or set a `kubeconfig`",
                )
            });
        }
        Access::File(path) => Kubeconfig::read_from(path),
        Access::Text(text) => Kubeconfig::from_yaml(text.expose_secret()),
    };
    let mut kubeconfig = kubeconfig.map_err(|error| of_kubeconfig(&error))?;
    let plugins = kubeconfig.auth_infos.iter_mut().filter_map(|user| user.auth_info.as_mut()?.exec.as_mut());
    plugins.for_each(fence);
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| of_kubeconfig(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_credential_program_sees_only_what_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{ name: c, context: {{ cluster: c, user: u }} }}]\n\
             clusters: [{{ name: c, cluster: {{ server: 'http://127.0.0.1:1' }} }}]\nusers:\n  - name: u\n    user:\n      exec:\n        \
             apiVersion: client.authentication.k8s.io/v1\n        command: sh\n        interactiveMode: Never\n        \
             env: [{{ name: GIVEN, value: given }}]\n        args: ['-c', 'env > {}; exit 1']\n",
            seen.display()
        );
        let access = Access::Text(kubeconfig.into());
        assert!(make(&access, None, Duration::from_secs(1)).await.is_err());
        let seen = std::fs::read_to_string(seen).unwrap();
        let names: Vec<&str> = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        assert!(names.contains(&"PATH") && names.contains(&"GIVEN"), "{names:?}");
        // What the shell sets by itself.
        let own = ["PWD", "OLDPWD", "SHLVL", "_", "GIVEN", "KUBERNETES_EXEC_INFO"];
        let odd = |name: &&&str| !own.contains(name) && !process::may_see(name);
        assert_eq!(names.iter().find(odd), None);
    }
}
