//! Why objects could not be created, changed or applied.

use crate::model::{Blame, CauseCode};

use super::outage::UNREACHABLE;
use super::words::{has, words};

/// Why objects could not be created, changed or applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum Refusal {
    /// A field that cannot be changed once it is set.
    Immutable,
    /// A ResourceQuota.
    Quota,
    /// A LimitRange.
    LimitRange,
    /// The pods' service account does not exist.
    ServiceAccount,
    /// Their PriorityClass does not exist.
    PriorityClass,
    /// Their RuntimeClass does not exist.
    RuntimeClass,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// The namespace does not exist.
    NamespaceMissing,
    /// The object itself is not valid.
    Invalid,
    /// A manifest of a namespaced kind that names no namespace.
    NoNamespace,
    /// A kind that the cluster does not serve.
    KindMissing,
    /// An admission or conversion webhook that could not be called.
    WebhookDown,
    /// The API server did not answer in time, or asked to retry later.
    ServerBusy,
    /// The API server could not be reached at all.
    ServerUnreachable,
    /// Helm holds the release: another operation is running, or one that was interrupted left its mark.
    ReleaseLocked,
    /// An admission policy, webhook or plugin.
    Policy,
    /// RBAC.
    Rbac,
    /// The AppProject.
    Project,
    /// A hook.
    Hook,
}

const IMMUTABLE: &[&str] = &[
    "field is immutable",
    "is immutable",
    "fields other than",
    "may not change once set",
    "cannot be changed",
    "immutable field",
    "cannot change",
];
const QUOTA: &[&str] =
    &["exceeded quota", "quota exceeded", "failed quota", "must specify limits", "insufficient quota to match"];
const LIMIT_RANGE: &[&str] = &[
    "maximum cpu usage",
    "maximum memory usage",
    "minimum cpu usage",
    "minimum memory usage",
    "maximum ephemeral-storage usage",
    "minimum ephemeral-storage usage",
    "max limit to request ratio",
    "maximum storage usage",
    "minimum storage usage",
    "usage per container is",
    "usage per pod is",
];
const WEBHOOK_DOWN: &[&str] = &[
    "no endpoints available",
    "context deadline exceeded",
    "connection refused",
    "connection reset",
    "i/o timeout",
    "no such host",
    "no route to host",
    "dial tcp",
    "x509: ",
    "tls: ",
    "certificate",
    "eof",
    "request canceled",
    "client.timeout exceeded",
    "502 bad",
    "503 service",
    "504 gateway",
    "not found",
    "the server is currently unable to handle the request",
];
const SERVER_BUSY: &[&str] = &[
    "the server is currently unable to handle the request",
    "the server was unable to return a response in the time allotted",
    "etcdserver:",
    "too many requests",
    "client rate limiter wait returned an error",
    "apiserver not ready",
    "please try again later",
    "the object has been modified",
    "http2: client connection lost",
    "an error on the server",
    "internal error occurred: resource quota evaluation timed out",
];
const POLICY: &[&str] = &[
    "admission webhook",
    "violates podsecurity",
    "validatingadmissionpolicy",
    "denied the request",
    "denied request",
    "blocked by policy",
    "image policy webhook",
    "unable to validate against any security context constraint",
    "unable to validate against any pod security policy",
    "disallowed by",
];
const RBAC: &[&str] = &[
    "cannot get resource",
    "cannot list resource",
    "cannot watch resource",
    "cannot create resource",
    "cannot update resource",
    "cannot patch resource",
    "cannot delete resource",
    "cannot deletecollection resource",
    "cannot impersonate resource",
    "cannot bind resource",
    "cannot escalate resource",
    "cannot approve resource",
    "cannot sign resource",
    "cannot use resource",
    "cannot set blockownerdeletion",
    "not currently held",
    "not permitted",
];
const PROJECT: &[&str] = &["is not permitted in project", "not permitted in project", "is not allowed in project"];
const HOOK: &[&str] = &["waiting for completion of hook", "hook failed", "hooks failed"];

/// Why something was refused, as far as the message shows. Every admission plugin says "is forbidden", and so does
/// RBAC; the text after it gives the reason.
pub(in crate::landing) fn refusal(message: &str) -> Option<Refusal> {
    let text = words(message);
    let has = |phrases: &[&str]| has(&text, phrases);
    let missing = has(&["not found", "no preemption", "does not exist"]);
    let missing_class =
        missing || has(&["no priorityclass", "was found", "must not be specified", "the integer value of"]);
    let found = if has(IMMUTABLE) {
        // "updates to statefulset spec for fields other than … are forbidden" is not about permissions.
        Refusal::Immutable
    } else if has(QUOTA) {
        Refusal::Quota
    } else if has(LIMIT_RANGE) {
        Refusal::LimitRange
    } else if has(&["being terminated", "is terminating"]) {
        Refusal::NamespaceTerminating
    } else if (has(&["failed calling webhook", "failed to call webhook"]) && !has(&["denied the request"]))
        || (has(&["image policy webhook"]) && has(WEBHOOK_DOWN) && !has(&["denied one or more images"]))
        || (has(&["conversion webhook"]) && has(WEBHOOK_DOWN))
    {
        Refusal::WebhookDown
    } else if has(&[
        "another operation (install/upgrade/rollback) is in progress",
        "another operation * is in progress",
    ]) {
        Refusal::ReleaseLocked
    } else if has(&["looking up service account", "serviceaccount"]) && has(&["not found", "looking up"]) {
        Refusal::ServiceAccount
    } else if has(&["no priorityclass", "priorityclass", "priority class"]) && missing_class {
        Refusal::PriorityClass
    } else if has(&["runtimeclass"]) && missing {
        Refusal::RuntimeClass
    } else if has(POLICY) {
        Refusal::Policy
    } else if has(PROJECT) {
        Refusal::Project
    } else if has(RBAC) {
        Refusal::Rbac
    } else if has(&["namespace not specified"]) {
        Refusal::NoNamespace
    } else if has(&[
        "no matches for kind",
        "the server could not find the requested resource",
        "ensure crds are installed",
    ]) {
        Refusal::KindMissing
    } else if has(&["namespaces * not found", "namespace * not found"]) {
        Refusal::NamespaceMissing
    } else if has(&["cluster unreachable", "error synchronizing cache state", "failed to get cluster info"]) {
        Refusal::ServerUnreachable
    } else if has(&["pod * is invalid:"]) {
        Refusal::Invalid
    } else if has(&["is forbidden", "forbidden:"]) {
        // RBAC names what "cannot" be done, so this is one of the many admission plugins.
        Refusal::Policy
    } else if has(HOOK) {
        Refusal::Hook
    } else if has(SERVER_BUSY) {
        Refusal::ServerBusy
    } else if has(UNREACHABLE) {
        Refusal::ServerUnreachable
    } else {
        return None;
    };
    Some(found)
}

impl Refusal {
    /// Its cause code; `otherwise` for what can happen to any request to an API server.
    pub(in crate::landing) fn code(self, otherwise: CauseCode) -> CauseCode {
        match self {
            Self::Immutable => CauseCode::ImmutableField,
            Self::Quota | Self::LimitRange => CauseCode::Quota,
            Self::ServiceAccount | Self::PriorityClass | Self::RuntimeClass | Self::Invalid => CauseCode::ConfigError,
            Self::NamespaceTerminating | Self::NamespaceMissing | Self::WebhookDown | Self::ServerUnreachable => {
                CauseCode::Dependency
            }
            Self::KindMissing | Self::NoNamespace | Self::ServerBusy | Self::ReleaseLocked => otherwise,
            Self::Policy => CauseCode::AdmissionDenied,
            Self::Rbac | Self::Project => CauseCode::Forbidden,
            Self::Hook => CauseCode::Hook,
        }
    }

    /// Whether another version of the image would fare better.
    pub(in crate::landing) fn blame(self) -> Blame {
        match self {
            Self::Immutable | Self::Policy | Self::Hook | Self::Invalid => Blame::Version,
            Self::Quota
            | Self::LimitRange
            | Self::ServiceAccount
            | Self::PriorityClass
            | Self::RuntimeClass
            | Self::NamespaceTerminating
            | Self::NamespaceMissing
            | Self::KindMissing
            | Self::NoNamespace
            | Self::WebhookDown
            | Self::ServerBusy
            | Self::ServerUnreachable
            | Self::ReleaseLocked
            | Self::Rbac
            | Self::Project => Blame::Platform,
        }
    }

    /// Whether retrying unchanged is bound to fail until somebody changes something.
    pub(in crate::landing) fn is_final(self) -> bool {
        match self {
            Self::Immutable
            | Self::Quota
            | Self::LimitRange
            | Self::ServiceAccount
            | Self::PriorityClass
            | Self::RuntimeClass
            | Self::Policy
            | Self::Invalid
            | Self::NoNamespace
            | Self::Rbac
            | Self::Project => true,
            // Something applied in the same sync may provide what is missing.
            Self::NamespaceTerminating | Self::NamespaceMissing | Self::KindMissing => false,
            Self::WebhookDown | Self::ServerBusy | Self::ServerUnreachable | Self::ReleaseLocked | Self::Hook => false,
        }
    }

    /// Whether it recovers on its own after an outage, without anybody changing something.
    pub(in crate::landing) fn mends_by_waiting(self) -> bool {
        matches!(self, Self::WebhookDown | Self::ServerBusy | Self::ServerUnreachable)
    }
}

/// Why objects could not be applied, built, fetched or created; `otherwise` if the message is not recognised.
pub(in crate::landing) fn apply(message: &str, otherwise: CauseCode) -> CauseCode {
    refusal(message).map_or(otherwise, |refusal| refusal.code(otherwise))
}

#[cfg(test)]
mod tests {
    use super::super::pull::pull;
    use super::*;

    #[test]
    fn failures_to_apply_are_told_apart() {
        use CauseCode as C;
        for (message, code) in [
            (
                "Job.batch \"m\" is invalid: spec.template: Invalid value: core.PodTemplateSpec{}: field is immutable",
                C::ImmutableField,
            ),
            (
                "StatefulSet.apps \"db\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas'",
                C::ImmutableField,
            ),
            ("pods \"web-1\" is forbidden: exceeded quota: compute, requested: cpu=1", C::Quota),
            ("admission webhook \"validate.kyverno.svc\" denied the request: no latest", C::AdmissionDenied),
            ("pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\"", C::AdmissionDenied),
            (
                "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:x:y\" cannot patch resource",
                C::Forbidden,
            ),
            ("one or more objects failed to apply", C::SyncFailed),
        ] {
            assert_eq!(apply(message, C::SyncFailed), code, "{message}");
        }
    }

    #[test]
    fn names_say_nothing() {
        use CauseCode as C;
        for (message, code) in [
            ("docker.io/enix/x509-certificate-exporter:3.18.1: not found", C::ImageNotFound),
            ("manifest for ghcr.io/acme/web:build-1401 not found: manifest unknown", C::ImageNotFound),
            ("manifest for acme/unauthorized-page:429 not found: manifest unknown", C::ImageNotFound),
            (
                "failed to resolve reference \"ghcr.io/acme/not-found:1\": unexpected status: 401 Unauthorized",
                C::ImageUnauthorized,
            ),
            (
                "failed to extract layer sha256:aa: mkdir /var/lib/containerd/usr: permission denied: unknown",
                C::ImagePull,
            ),
        ] {
            assert_eq!(pull("ErrImagePull", message), code, "{message}");
        }
        let immutable = "services \"quota-exceeded\" is forbidden: User \"x\" cannot patch resource \"services\"";
        assert_eq!(refusal(immutable), Some(Refusal::Rbac));
        assert_eq!(refusal("Deployment.apps \"immutable-field\" is invalid: spec.replicas: Invalid value: -1"), None);
        // Helm's own patience ends with the same words as a request that nobody answers.
        assert_eq!(
            refusal("resource Deployment/web/web not ready. status: InProgress: context deadline exceeded"),
            None
        );
    }

    #[test]
    fn what_is_forbidden_has_many_reasons() {
        for (reason, refusal_found) in [
            ("error looking up service account web/web: serviceaccount \"web\" not found", Refusal::ServiceAccount),
            ("no PriorityClass with name high was found", Refusal::PriorityClass),
            ("pod rejected: RuntimeClass \"gvisor\" not found", Refusal::RuntimeClass),
            (
                "unable to create new content in namespace web because it is being terminated",
                Refusal::NamespaceTerminating,
            ),
            ("exceeded quota: compute, requested: cpu=1, used: cpu=10, limited: cpu=10", Refusal::Quota),
            ("[maximum memory usage per Container is 1Gi, but limit is 2Gi]", Refusal::LimitRange),
            ("image policy webhook backend denied one or more images: x is not signed", Refusal::Policy),
            ("violates PodSecurity \"restricted:latest\": runAsNonRoot != true", Refusal::Policy),
            ("User \"system:serviceaccount:a:b\" cannot create resource \"pods\" in API group", Refusal::Rbac),
            (
                "User \"system:serviceaccount:a:b\" cannot impersonate resource \"serviceaccounts\" in API group",
                Refusal::Rbac,
            ),
            ("User \"x\" cannot deletecollection resource \"pods\" in API group", Refusal::Rbac),
            (
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>",
                Refusal::Rbac,
            ),
            ("insufficient quota to match these scopes: [{PriorityClass In [critical]}]", Refusal::Quota),
            ("some plugin that nobody knows says no", Refusal::Policy),
        ] {
            let message = format!("pods \"web-7d9-\" is forbidden: {reason}");
            assert_eq!(refusal(&message), Some(refusal_found), "{message}");
        }
        for (message, refusal_found) in [
            (
                "Internal error occurred: failed calling webhook \"p.example.com\": failed to call webhook: Post \"https://p.svc:443/v\": no endpoints available for service \"p\"",
                Refusal::WebhookDown,
            ),
            ("admission webhook \"p.example.com\" denied the request: connection refused is no label", Refusal::Policy),
            ("the server is currently unable to handle the request", Refusal::ServerBusy),
            ("etcdserver: mvcc: database space exceeded", Refusal::ServerBusy),
            (
                "conversion webhook for example.com/v1, Kind=Widget failed: Post \"https://conv.example.svc:443/convert\": no endpoints available for service \"conv\"",
                Refusal::WebhookDown,
            ),
            (
                "Helm upgrade failed: Kubernetes cluster unreachable: Get \"https://10.1.0.1:443/version\": context deadline exceeded",
                Refusal::ServerUnreachable,
            ),
            ("Patch \"https://10.1.0.1:443/apis/apps/v1/x\": context deadline exceeded", Refusal::ServerUnreachable),
            ("Get \"https://10.1.0.1:443/api\": net/http: TLS handshake timeout", Refusal::ServerUnreachable),
            ("Post \"https://10.1.0.1:443/api\": dial tcp 10.1.0.1:443: i/o timeout", Refusal::ServerUnreachable),
            ("another operation (install/upgrade/rollback) is in progress", Refusal::ReleaseLocked),
            (
                "ConfigMap/x namespace not specified: the server could not find the requested resource",
                Refusal::NoNamespace,
            ),
        ] {
            assert_eq!(refusal(message), Some(refusal_found), "{message}");
        }
    }
}
