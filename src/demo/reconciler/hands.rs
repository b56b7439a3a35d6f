//! What people do to a cluster: with kubectl, with the tools of Argo CD and Flux, and with policies.

use serde_json::json;

use super::Reconciler;
use super::flux::{KUSTOMIZATIONS, NAMESPACE};
use super::meta::{StatusWriter, managed};
use crate::demo::kube::StubError;

impl Reconciler {
    /// `kubectl -n NAMESPACE set image deployment/NAME CONTAINER=IMAGE`: the field's manager changes, and the server
    /// records it.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn kubectl_set_image(
        &self,
        namespace: &str,
        name: &str,
        container: &str,
        image: &str,
    ) -> Result<(), StubError> {
        let writer = StatusWriter { manager: "kubectl-set", operation: "Update", time: self.now() };
        drop(self.kube.apply(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "namespace": namespace, "name": name,
                "managedFields": [managed(writer, "apps/v1", &["spec", "template", "spec"], container)]
            },
            "spec": { "template": { "spec": {
                "containers": [{ "name": container, "image": image, "imagePullPolicy": "IfNotPresent" }]
            } } }
        }))?);
        Ok(())
    }

    /// `argocd app sync NAME`: tries again, whatever was tried before.
    pub fn argocd_sync(&self, application: &str) {
        self.asked().sync.insert(application.to_owned());
    }

    /// `flux suspend|resume kustomization NAME`.
    ///
    /// # Errors
    /// When there is no such Kustomization.
    pub fn flux_suspend(&self, name: &str, suspended: Suspended) -> Result<(), StubError> {
        if self.kube.object(KUSTOMIZATIONS, NAMESPACE, name).is_none() {
            let (resource, namespace) = (KUSTOMIZATIONS.to_owned(), NAMESPACE.to_owned());
            return Err(StubError::NotFound { resource, namespace, name: name.to_owned() });
        }
        let suspend = match suspended {
            Suspended::Yes => json!(true),
            // The tool removes the field.
            Suspended::No => json!(null),
        };
        drop(self.kube.apply(json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": { "namespace": NAMESPACE, "name": name }, "spec": { "suspend": suspend }
        }))?);
        Ok(())
    }

    /// Lets a cluster policy refuse every Deployment in a namespace with this message.
    pub fn refuse(&self, namespace: &str, words: &str) {
        drop(self.asked().refused.insert(namespace.to_owned(), words.to_owned()));
    }

    /// Lets the policy accept them again.
    pub fn admit(&self, namespace: &str) {
        drop(self.asked().refused.remove(namespace));
    }
}

/// Whether a Kustomization is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspended {
    /// Suspended.
    Yes,
    /// Resumed.
    No,
}
