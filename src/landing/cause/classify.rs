//! What the messages of kubelet, API server and controllers mean.
//!
//! They report only prose; the meaning of each phrase is defined here and nowhere else. Names are removed before
//! anything is compared ([`words`]): an image called `x509-certificate-exporter`, a tag `build-1401` or a pod
//! `unauthorized-page` says nothing about certificates, status codes or permissions.

use crate::model::{Blame, CauseCode};

/// A message without the names in it: lower case, one space between words, and `*` for each word that is a name (an
/// image reference, a path, an address, anything quoted without a space in it).
pub(in crate::landing) fn words(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for word in message.split_whitespace() {
        let core = word.trim_matches(|c: char| matches!(c, '.' | ',' | ':' | ';' | '(' | ')' | '[' | ']' | '{' | '}'));
        let end = word.strip_suffix(':').map_or("", |_| ":");
        if is_name(core) {
            out.push('*');
            out.push_str(end);
        } else {
            out.push_str(&word.to_lowercase());
        }
        out.push(' ');
    }
    out
}

fn is_name(core: &str) -> bool {
    let quoted = core.len() >= 2 && core.starts_with(['"', '\'', '`']) && core.ends_with(['"', '\'', '`']);
    // `manifests/1.0: 404`, `web:1.4.0`, `10.0.0.10:53`, `/var/lib/x`; but `i/o`, and `desc="…`, which begins a sentence.
    let joined = core.contains('/') || core.contains('@') || core.trim_end_matches(':').contains(':');
    quoted || (joined && !matches!(core, "i/o" | "I/O") && !core.contains("=\""))
}

/// Whether a text contains one of these phrases as whole words: `unauthorized` is not in `unauthorized-page`.
fn has(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| has_phrase(text, phrase))
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let starts_with_word = phrase.starts_with(|c: char| part_of_a_name(c));
    let ends_with_word = phrase.ends_with(|c: char| part_of_a_name(c));
    text.match_indices(phrase).any(|(at, _)| {
        let before = text[..at].chars().next_back().filter(|_| starts_with_word);
        let after = text[at + phrase.len()..].chars().next().filter(|_| ends_with_word);
        !before.is_some_and(part_of_a_name) && !after.is_some_and(part_of_a_name)
    })
}

// What registries and container runtimes say, in lower case.
const DISK: &[&str] = &[
    "failed to extract layer",
    "failed to register layer",
    "mount callback failed",
    "no space left on device",
    "read-only file system",
    "input/output error",
    "failed to create temp dir",
    "failed to prepare extraction snapshot",
    "failed to mount",
    "error committing the finished image",
];
const RATE_LIMITED: &[&str] = &[
    "429 too many",
    "toomanyrequests",
    "too many requests",
    "rate limit",
    "pull rate",
    "status: 429",
    "code: 429",
    "status code 429",
];
const PLATFORM: &[&str] = &[
    "no match for platform",
    "no matching manifest for",
    "no image found in manifest list",
    "no image found in image index",
    "does not match the specified platform",
    "exec format error",
    "cannot be used on this platform",
];
const NETWORK: &[&str] = &[
    "dial tcp",
    "i/o timeout",
    "no such host",
    "connection refused",
    "connection reset",
    "tls handshake",
    "tls: ",
    "x509: ",
    "certificate",
    "context deadline exceeded",
    "unexpected eof",
    "server misbehaving",
    "500 internal",
    "502 bad",
    "503 service",
    "504 gateway",
    "no route to host",
    "request canceled",
    "network is unreachable",
    "server gave http response to https client",
];
const UNAUTHORIZED: &[&str] = &[
    "pull access denied",
    "unauthorized",
    "authentication required",
    "status: 401",
    "status code 401",
    "401 unauthorized",
    "403 forbidden",
    "access forbidden",
    "no basic auth credentials",
    "insufficient_scope",
    "authorization failed",
    "failed to authorize",
    "access denied",
    "denied: ",
    "requested access to the resource is denied",
    "invalid username",
    "permission denied",
    "authorization token has expired",
];
const NOT_FOUND: &[&str] = &[
    "not found",
    "manifest unknown",
    "manifest_unknown",
    "name unknown",
    "name_unknown",
    "repository name not known",
    "404 not",
    "does not exist",
    "notfound",
];

/// Why an image could not be pulled, from what the kubelet and the container runtime say.
pub(in crate::landing) fn pull(reason: &str, message: &str) -> CauseCode {
    if matches!(reason, "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError") {
        return CauseCode::ImagePull;
    }
    let text = words(origin(message));
    // The disk comes first, since its permissions are not the registry's. The network comes before "unauthorized",
    // because an unreachable token server is reported as a failure to authorize.
    let kinds = [
        (RATE_LIMITED, CauseCode::ImageRateLimited),
        (PLATFORM, CauseCode::ImagePlatform),
        (DISK, CauseCode::ImagePull),
        (NETWORK, CauseCode::ImagePull),
        (UNAUTHORIZED, CauseCode::ImageUnauthorized),
        (NOT_FOUND, CauseCode::ImageNotFound),
    ];
    let known = kinds.into_iter().find(|(phrases, _)| has(&text, phrases));
    known.map_or(CauseCode::ImagePull, |(_, code)| code)
}

/// Whether a failed pull may be over at the next attempt: the registry, the network or the kubelet's own limits failed, and
/// nothing that anybody declared is wrong. A certificate or a scheme that is not accepted does not mend by itself.
pub(in crate::landing) fn pull_may_pass(reason: &str, message: &str) -> bool {
    let text = words(origin(message));
    if pull(reason, message) != CauseCode::ImagePull || has(&text, DISK) {
        return false;
    }
    reason == "RegistryUnavailable" || is_transient(&text) || has(&text, &["pull qps exceeded", "context canceled"])
}

/// Whether a request failed since a server or the network did, so that the next one may succeed.
pub(in crate::landing) fn may_pass(message: &str) -> bool {
    is_transient(&words(message))
}

fn is_transient(text: &str) -> bool {
    let lasting = ["x509: ", "certificate", "server gave http response to https client"];
    let server = [
        "500 internal",
        "502 bad",
        "503 service",
        "504 gateway",
        "status code: 500",
        "status code: 502",
        "status code: 503",
        "status code: 504",
        "status code 500",
        "status code 502",
        "status code 503",
        "status code 504",
        "server misbehaving",
        "request canceled",
        "context deadline exceeded",
        "connection timed out",
        "operation timed out",
    ];
    !has(text, &lasting) && (has(text, UNREACHABLE) || has(text, &server))
}

/// Why the artifact of a Flux source or chart could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum ArtifactFailure {
    /// There is none yet, or not of the newest specification: normal after each change.
    NotYet,
    /// It has no such path.
    Path,
    /// source-controller does not hand it out.
    Unreachable,
    /// Anything else.
    Other,
}

/// Why the artifact of a Flux source or chart could not be used.
pub(in crate::landing) fn artifact(message: &str) -> ArtifactFailure {
    let text = words(message);
    let has = |phrases: &[&str]| has(&text, phrases);
    if has(&["path not found", "invalid path", "no such file or directory", "kustomization path"]) {
        ArtifactFailure::Path
    } else if has(&["failed to download", "giving up after"]) || is_transient(&text) {
        ArtifactFailure::Unreachable
    } else if has(&[
        "has not been reconciled",
        "does not have an artifact",
        "artifact not found",
        "no artifact available",
    ]) {
        ArtifactFailure::NotYet
    } else {
        ArtifactFailure::Other
    }
}

/// What the image's own registry said. CRI-O and Podman put the mirrors' failures before it, in parentheses and brackets.
fn origin(message: &str) -> &str {
    let after = message.split_once("Mirrors also failed").and_then(|(_, rest)| rest.split_once("]):"));
    after.map_or(message, |(_, rest)| rest)
}

/// The image that a message of the kubelet or the runtime is about. For a failed image volume, this is the only place
/// that names it.
pub(in crate::landing) fn pulled_image(message: &str) -> Option<&str> {
    let starts = ["pulling image \"", "pull image \"", "unpack image \"", "resolve reference \""];
    let found = starts.iter().find_map(|start| message.split_once(start));
    found.and_then(|(_, rest)| rest.split('"').next()).filter(|image| !image.is_empty())
}

/// Why a container could not be created or started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum StartFailure {
    /// The binary is for another architecture.
    Platform,
    /// The memory limit is too small for the container to start.
    Memory,
    /// The container runtime was too slow, or is busy with an earlier attempt: the kubelet tries again.
    Runtime,
    /// What the container refers to is missing or wrong.
    Config,
}

/// Why a container could not be created or started, from the runtime's message.
pub(in crate::landing) fn start(message: &str) -> StartFailure {
    let text = words(message);
    if has(&text, PLATFORM) {
        StartFailure::Platform
    } else if has(&text, &["oom-killed", "out of memory", "cannot allocate memory", "memory limit too low"]) {
        StartFailure::Memory
    } else if has(
        &text,
        &[
            "failed to reserve container name",
            "failed to reserve sandbox name",
            "unable to apply cgroup configuration",
            "unable to start unit",
            "message recipient disconnected from message bus",
            "failed to create containerd task: failed to start shim",
            "failed to start shim",
            "ttrpc: closed",
            "dbus: connection closed by user",
            "failed to write to cgroup",
            "cgroup deleted",
            "is reserved for",
            "is already in use",
            "context deadline exceeded",
            "context canceled",
            "deadline exceeded",
            "code = unavailable",
            "transport is closing",
            "no space left on device",
            "resource temporarily unavailable",
            "device or resource busy",
        ],
    ) {
        StartFailure::Runtime
    } else {
        StartFailure::Config
    }
}

/// Why a pod's volumes are not mounted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum VolumeFailure {
    /// A Secret, ConfigMap, key or claim that does not exist, or a path of the wrong type. Waiting does not help.
    Missing,
    /// The volume is still attached to another node.
    MultiAttach,
    /// The node's CSI driver has not registered yet, as on every node that has just joined.
    Driver,
    /// Anything else: it is retried.
    Other,
}

/// Why a volume could not be mounted or attached.
pub(in crate::landing) fn volume(message: &str) -> VolumeFailure {
    let text = words(message);
    let has = |phrases: &[&str]| has(&text, phrases);
    if has(&["multi-attach error", "already exclusively attached", "already used by"]) {
        VolumeFailure::MultiAttach
    } else if has(&["list of registered csi drivers", "csi driver", "csinode"]) {
        VolumeFailure::Driver
    } else if message.contains("kube-root-ca.crt") || has(&["not registered", "timed out", "context deadline exceeded"])
    {
        // Every new namespace gets a `kube-root-ca.crt`; the other objects exist, but the kubelet has not seen them
        // yet.
        VolumeFailure::Other
    } else if has(&["references non-existent", "type check failed"])
        || (has(&["not found"]) && has(&["secret", "secrets", "configmap", "configmaps", "persistentvolumeclaim"]))
    {
        VolumeFailure::Missing
    } else {
        VolumeFailure::Other
    }
}

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
/// What a client says that does not get through to an API server. A bare "context deadline exceeded" may also be the end of
/// Helm's own patience, so it counts only after a request.
const UNREACHABLE: &[&str] = &[
    "cluster unreachable",
    "dial tcp",
    "connection refused",
    "connection reset",
    "i/o timeout",
    "no such host",
    "no route to host",
    "network is unreachable",
    "tls handshake timeout",
    "client.timeout exceeded",
    "unexpected eof",
    "get *: context deadline exceeded",
    "post *: context deadline exceeded",
    "put *: context deadline exceeded",
    "patch *: context deadline exceeded",
    "delete *: context deadline exceeded",
    "get *: eof",
    "post *: eof",
    "put *: eof",
    "patch *: eof",
    "delete *: eof",
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

/// Why Argo CD or Flux could not compare or render a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum RenderFailure {
    /// The destination cluster does not answer, or refuses Argo CD's credentials.
    Cluster,
    /// No such cluster is registered.
    ClusterUnknown,
    /// Argo CD's repo-server, which renders, does not answer.
    RepoServer,
    /// Argo CD's own cache (Redis) refuses it or does not answer.
    Cache,
    /// The AppProject does not exist.
    ProjectMissing,
    /// The AppProject does not allow the source, the destination or a kind.
    ProjectForbids,
    /// The source could not be fetched.
    Fetch,
    /// The fetched files do not build.
    Build,
}

/// Why a controller could not compare or render a revision.
pub(in crate::landing) fn render(message: &str) -> RenderFailure {
    let text = words(message);
    let has = |phrases: &[&str]| has(&text, phrases);
    if has(&["which does not exist", "project * does not exist", "appproject * not found", "referencing project"]) {
        RenderFailure::ProjectMissing
    } else if has(&[
        "do not match any of the allowed destinations",
        "does not match any of the allowed destinations",
        "is not permitted in project",
        "not permitted in project",
        "not allowed in project",
        "is not permitted to use",
    ]) {
        RenderFailure::ProjectForbids
    } else if has(&[
        "there are no clusters with this name",
        "there are 0 clusters with this name",
        "unable to find destination server",
        "error validating destination",
        "cluster * not found",
        "has not been configured",
        "can't have both name and server defined",
        "destination server missing",
    ]) {
        RenderFailure::ClusterUnknown
    } else if has(&[
        "failed to load live state",
        "failed to get cluster info",
        "error synchronizing cache state",
        "failed to sync cluster",
        "failed to get server version",
        "the server has asked for the client to provide credentials",
        "failed to get api group resources",
        "failed to list resources",
        "cluster cache",
    ]) {
        RenderFailure::Cluster
    } else if has(&["noauth", "wrongpass", "redis:", "error getting cached app managed resources"]) {
        RenderFailure::Cache
    } else if has(&["code = unavailable", "code = deadlineexceeded", "code = resourceexhausted", "code = canceled"])
        || message.contains("argocd-repo-server")
    {
        RenderFailure::RepoServer
    } else if has(FETCH) {
        RenderFailure::Fetch
    } else {
        RenderFailure::Build
    }
}

const FETCH: &[&str] = &[
    "authentication required",
    "authorization failed",
    "repository not found",
    "unable to resolve",
    "unable to ls-remote",
    "ls-remote",
    "could not read username",
    "ssh: handshake",
    "knownhosts",
    "unknown revision",
    "failed to list refs",
    "failed to fetch",
    "failed to checkout",
    "failed to clone",
    "error creating ssh",
    "dial tcp",
    "couldn't find remote ref",
    "connection refused",
    "i/o timeout",
    "no such host",
    "failed to initialize repository",
    "error fetching",
    "permission denied (publickey)",
    "invalid credentials",
];

impl RenderFailure {
    /// Its cause code.
    pub(in crate::landing) fn code(self) -> CauseCode {
        match self {
            Self::Cluster | Self::RepoServer | Self::Cache => CauseCode::Dependency,
            Self::ClusterUnknown | Self::ProjectMissing => CauseCode::ConfigError,
            Self::ProjectForbids => CauseCode::Forbidden,
            Self::Fetch => CauseCode::FetchFailed,
            Self::Build => CauseCode::BuildFailed,
        }
    }

    /// Whether it recovers on its own after an outage.
    pub(in crate::landing) fn mends_by_waiting(self) -> bool {
        matches!(self, Self::Cluster | Self::RepoServer | Self::Cache)
    }
}

/// At which step Argo CD's hydrator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum Hydration {
    /// It could not push what it rendered.
    Push,
    /// It could not render.
    Build,
}

/// At which step Argo CD's hydrator failed.
pub(in crate::landing) fn hydration(message: &str) -> Hydration {
    let text = words(message);
    let pushes = ["permission to * denied", "protected branch", "pre-receive hook declined", "not allowed to push"];
    if has(&text, &pushes) { Hydration::Push } else { Hydration::Build }
}

/// What a timed-out health check says about the objects it waited for.
pub(in crate::landing) fn health(message: &str) -> CauseCode {
    let text = message.to_lowercase();
    let failed = ["status: 'failed'", "stalled resources"].iter().any(|phrase| text.contains(phrase));
    if failed { CauseCode::ProgressDeadline } else { CauseCode::NotReady }
}

/// The object that a message names as refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::landing) struct Subject {
    /// The kind as the message writes it: `Job`.
    pub(in crate::landing) kind: String,
    /// The namespace, if the message names it.
    pub(in crate::landing) namespace: Option<String>,
    /// Its name.
    pub(in crate::landing) name: String,
}

/// The object that was refused: `Job/web/migrate dry-run failed`, `Job.batch "migrate" is invalid`.
pub(in crate::landing) fn subject(message: &str) -> Option<Subject> {
    let all: Vec<&str> = message.split_whitespace().collect();
    let by_path =
        all.windows(2).find(|pair| pair[1].starts_with("dry-run") || pair[1].starts_with("apply")).and_then(|pair| {
            let parts: Vec<&str> = pair[0].trim_matches(|c: char| !c.is_alphanumeric()).split('/').collect();
            match parts.as_slice() {
                [kind, namespace, name] => Some(Subject {
                    kind: (*kind).to_owned(),
                    namespace: Some((*namespace).to_owned()),
                    name: (*name).to_owned(),
                }),
                [kind, name] => Some(Subject { kind: (*kind).to_owned(), namespace: None, name: (*name).to_owned() }),
                _ => None,
            }
        });
    by_path.or_else(|| {
        let found = all.windows(3).find(|it| it[2] == "is" && it[1].starts_with('"') && it[1].ends_with('"'))?;
        let kind = found[0].trim_matches(|c: char| !c.is_alphanumeric() && c != '.');
        let kind = kind.split('.').next().filter(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))?;
        Some(Subject { kind: kind.to_owned(), namespace: None, name: found[1].trim_matches('"').to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_are_told_apart() {
        use CauseCode as C;
        for (message, code) in [
            (
                "failed to resolve reference \"ghcr.io/acme/web:1.4.0\": ghcr.io/acme/web:1.4.0: not found",
                C::ImageNotFound,
            ),
            ("manifest for acme/web:9 not found: manifest unknown: manifest unknown", C::ImageNotFound),
            (
                "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                C::ImageUnauthorized,
            ),
            (
                "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
                C::ImageUnauthorized,
            ),
            (
                "unexpected status from HEAD request to https://ghcr.io/v2/x/manifests/1: 403 Forbidden",
                C::ImageUnauthorized,
            ),
            (
                "failed to fetch oauth token: dial tcp: lookup auth.docker.io on 10.0.0.10:53: no such host",
                C::ImagePull,
            ),
            ("toomanyrequests: You have reached your pull rate limit", C::ImageRateLimited),
            ("unexpected status code [manifests 1.429.0]: 429 Too Many Requests", C::ImageRateLimited),
            ("no match for platform in manifest: not found", C::ImagePlatform),
            ("Back-off pulling image \"ghcr.io/acme/web:1.404.0\"", C::ImagePull),
            (
                "(Mirrors also failed: [m.corp/acme/web:1: pinging container registry m.corp: dial tcp: no such host]): ghcr.io/acme/web:1: reading manifest 1 in ghcr.io/acme/web: manifest unknown",
                C::ImageNotFound,
            ),
            (
                "(Mirrors also failed: [m.corp/acme/web:1: manifest unknown]): ghcr.io/acme/web:1: pinging container registry ghcr.io: dial tcp: i/o timeout",
                C::ImagePull,
            ),
            (
                "failed to do request: Head \"https://r/v2/\": x509: certificate signed by unknown authority",
                C::ImagePull,
            ),
        ] {
            assert_eq!(pull("ErrImagePull", message), code, "{message}");
        }
    }

    #[test]
    fn pulls_that_may_pass_are_told_from_those_that_will_not() {
        for (reason, message, passes) in [
            (
                "ErrImagePull",
                "unexpected status from HEAD request to https://r.corp/v2/x/manifests/1: 502 Bad Gateway",
                true,
            ),
            ("ErrImagePull", "pull QPS exceeded", true),
            ("ErrImagePull", "rpc error: code = Canceled desc = failed to pull: context canceled", true),
            ("ErrImagePull", "dial tcp: lookup r.corp on 10.0.0.10:53: no such host", true),
            ("RegistryUnavailable", "the registry is away", true),
            ("ErrImagePull", "tls: failed to verify certificate: x509: certificate signed by unknown authority", false),
            ("ErrImagePull", "failed to extract layer sha256:aa: connection reset by the snapshotter", false),
            ("ErrImagePull", "manifest unknown", false),
            ("InvalidImageName", "couldn't parse image reference", false),
            ("ImagePullBackOff", "Back-off pulling image \"r.corp/x:1\"", false),
        ] {
            assert_eq!(pull_may_pass(reason, message), passes, "{message}");
        }
    }

    #[test]
    fn artifacts_are_told_apart() {
        for (message, failure) in [
            ("kustomization path not found: stat /tmp/k-1/apps/web: no such file or directory", ArtifactFailure::Path),
            (
                "failed to download archive: GET http://source.flux./x.tgz giving up after 5 attempt(s): connection refused",
                ArtifactFailure::Unreachable,
            ),
            (
                "HelmChart 'flux/web' is not ready: latest generation of object has not been reconciled",
                ArtifactFailure::NotYet,
            ),
            ("HelmChart 'flux/web' is not ready: does not have an artifact", ArtifactFailure::NotYet),
            ("Source artifact not found, retrying in 30s", ArtifactFailure::NotYet),
            ("failed to verify archive digest", ArtifactFailure::Other),
        ] {
            assert_eq!(artifact(message), failure, "{message}");
        }
    }

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
        for (message, failure) in [
            ("failed to generate manifest for source 1 of 1: kustomize build failed", RenderFailure::Build),
            ("unable to resolve 'main' to a commit SHA", RenderFailure::Fetch),
            (
                "Failed to load live state: failed to get cluster info for \"https://10.0.0.1\": dial tcp 10.0.0.1:443: i/o timeout",
                RenderFailure::Cluster,
            ),
            (
                "failed to generate manifest: rpc error: code = Unavailable desc = connection error: dial tcp 10.96.1.1:8081: connect: connection refused",
                RenderFailure::RepoServer,
            ),
            (
                "application repo https://git.example/x is not permitted in project 'team-a'",
                RenderFailure::ProjectForbids,
            ),
            ("Application referencing project team-a which does not exist", RenderFailure::ProjectMissing),
            ("there are no clusters with this name: eu-9", RenderFailure::ClusterUnknown),
        ] {
            assert_eq!(render(message), failure, "{message}");
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

    #[test]
    fn the_object_that_was_refused_is_named() {
        let job = |namespace: Option<&str>| {
            Some(Subject { kind: "Job".to_owned(), namespace: namespace.map(str::to_owned), name: "mig".to_owned() })
        };
        assert_eq!(subject("Job/dev/mig dry-run failed (Invalid): Job.batch \"mig\" is invalid: x"), job(Some("dev")));
        assert_eq!(subject("Job.batch \"mig\" is invalid: spec.template: field is immutable"), job(None));
        assert_eq!(subject("cannot patch \"web\" with kind Job: Job.batch \"mig\" is invalid: x"), job(None));
        assert_eq!(subject("one or more objects failed to apply"), None);
    }
}
