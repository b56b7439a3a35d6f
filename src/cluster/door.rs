//! The one place that makes a client for an API server.
//!
//! Promise: connecting is bounded; nothing is retried behind the caller's back, so that a server that refuses is seen to
//! refuse; no error quotes a kubeconfig, a token or what a credential helper printed.

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::fault::{Fault, of_kubeconfig};
use super::settings::{Access, Settings};

/// Time to send a request.
const WRITE: Duration = Duration::from_secs(30);
/// A client is not made again more often than after so many first pauses, however many watches are refused.
const RENEWAL: u32 = 5;

/// Makes the client of one cluster when it is first needed, and again when its credentials are refused.
pub(super) struct Door {
    access: Access,
    context: Option<String>,
    connect: Duration,
    renewal: Duration,
    client: Mutex<Option<(Instant, kube::Client)>>,
}

impl Door {
    pub(super) fn new(settings: &Settings) -> Self {
        let (access, context) = (settings.access.clone(), settings.context.clone());
        let renewal = settings.pace.backoff.saturating_mul(RENEWAL);
        Self { access, context, connect: settings.pace.connect, renewal, client: Mutex::new(None) }
    }

    /// The client; all watches of a cluster share it with its connections.
    pub(super) async fn client(&self) -> Result<kube::Client, Fault> {
        let mut client = self.client.lock().await;
        if let Some((_, client)) = &*client {
            return Ok(client.clone());
        }
        let made = self.make().await?;
        *client = Some((Instant::now(), made.clone()));
        Ok(made)
    }

    /// The credentials were refused: the next client is made from what the kubeconfig says then.
    pub(super) async fn renew(&self) {
        let mut client = self.client.lock().await;
        if client.as_ref().is_some_and(|(made, _)| made.elapsed() >= self.renewal) {
            *client = None;
        }
    }

    async fn make(&self) -> Result<kube::Client, Fault> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(self.connect);
        // A watch may be quiet for minutes; each request has a deadline of its own.
        config.read_timeout = None;
        config.write_timeout = Some(WRITE);
        // Up to fifteen hidden tries, each up to 1,000 s apart, would look like a server that is merely slow.
        config.default_retry = false;
        kube::Client::try_from(config).map_err(Fault::from)
    }

    async fn config(&self) -> Result<kube::Config, Fault> {
        let kubeconfig = match &self.access {
            Access::InCluster => {
                return kube::Config::incluster().map_err(|_| {
                    Fault::failed(
                        "this process has no service account of a cluster: run it in a pod, or name a `kubeconfig`",
                    )
                });
            }
            Access::File(path) => Kubeconfig::read_from(path),
            Access::Text(text) => Kubeconfig::from_yaml(text.expose_secret()),
        };
        let kubeconfig = kubeconfig.map_err(|error| of_kubeconfig(&error))?;
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| of_kubeconfig(&error))
    }
}
