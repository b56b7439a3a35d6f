//! Why a container could not be started, or its volumes mounted.

use super::pull::PLATFORM;
use super::words::{has, words};

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
