//! The controllers of the demo's cluster: what Argo CD, Flux, the workload controllers and a kubelet would do, in one
//! step that runs on request.
//!
//! Promise: what it leaves in the API server looks like what the real ones leave, field by field as far as any code
//! reads it. Nothing happens between two steps, so that a story has one order. From Git it knows only the branch, from
//! images only what the registry has, and everything else is in the API server, where people may change it.
//!
//! Invariant: two steps without a change between them write the same objects, except for the times of observation.

mod argo;
mod declared;
mod flux;
mod hands;
mod kubelet;
mod meta;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use jiff::Timestamp;

use super::kube::{KubeOptions, KubeStub};
use super::registry::DemoRegistry;
use super::world::BRANCH;
use crate::daemon::Clock;
use crate::git::Mirror;
use crate::model::BranchName;

pub use hands::Suspended;

/// The chart of api, and where it comes from.
const CHARTS: &str = "https://charts.example.com";
const CHART: &str = "1.8.2";

/// A running cluster with its controllers.
#[derive(Debug)]
pub struct Reconciler {
    kube: KubeStub,
    registry: Arc<DemoRegistry>,
    mirror: Mirror,
    /// The repository's address, as the controllers know it.
    url: String,
    /// The time of the current step.
    now: Mutex<Timestamp>,
    asked: Mutex<GitRequest>,
}

/// Pending requests of people.
#[derive(Debug, Default)]
struct GitRequest {
    /// Applications to sync in the next step.
    sync: BTreeSet<String>,
    /// Namespaces whose Deployments are refused, with the message.
    refused: BTreeMap<String, String>,
}

impl Reconciler {
    /// Starts an API server and configures its controllers. Nothing is reconciled yet.
    ///
    /// # Errors
    /// When the server cannot be started.
    pub async fn start(registry: Arc<DemoRegistry>, mirror: Mirror, url: String, clock: Clock) -> anyhow::Result<Self> {
        let now = Mutex::new(clock.now());
        let kube = KubeStub::with(KubeOptions { clock, ..KubeOptions::default() })
            .await
            .context("the API server cannot start")?;
        let reconciler = Self { kube, registry, mirror, url, now, asked: Mutex::default() };
        reconciler.install_argo()?;
        reconciler.install_flux()?;
        Ok(reconciler)
    }

    /// A kubeconfig for the API server.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.kube.kubeconfig()
    }

    /// One step of every controller, as of `now`: fetch, apply, roll out, report.
    ///
    /// # Errors
    /// When the repository cannot be read, or the API server has lost an object.
    pub async fn reconcile(&self, now: Timestamp) -> anyhow::Result<()> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
        let name = BranchName::parse(BRANCH)?.full();
        self.mirror.fetch(std::slice::from_ref(&name)).await?;
        let tip = self.mirror.tip(&name)?.context("the branch is gone")?;
        self.sync_argo(&tip)?;
        self.sync_flux(&tip)?;
        self.workloads()?;
        self.look_argo(&tip)
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, GitRequest> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
