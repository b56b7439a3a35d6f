//! What the Leases are called, and how they are found.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};

/// The label that all Leases of the bot have, and its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "landfall");
/// The label that says what a Lease is for.
const COMPONENT: &str = "app.kubernetes.io/component";
/// Finds them all.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=landfall";

/// How the name of a slot begins; its number follows.
const SLOT: &str = "landfall-replica-";
/// How the name of a repository's Lease begins.
const REPOSITORY: &str = "landfall-repository-";
/// The most of a repository's name that its Lease has.
const MOST: usize = 30;

/// What a Lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseKind {
    /// Working for a repository.
    Repository,
    /// Being alive.
    Replica,
}

/// The labels of a Lease.
#[must_use]
pub fn labels(kind: LeaseKind) -> BTreeMap<String, String> {
    let component = match kind {
        LeaseKind::Repository => "repository",
        LeaseKind::Replica => "replica",
    };
    [MANAGED_BY, (COMPONENT, component)].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// The name of a repository's Lease: its own name as far as that can be one of Kubernetes, and a hash of it and its
/// address, so that two installations in one namespace never share what is not the same.
#[must_use]
pub fn repository_lease(name: &str, address: &str) -> String {
    let mut plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    plain.truncate(MOST);
    let hash = hex(&format!("{name}\0{address}"));
    format!("{REPOSITORY}{}-{hash}", plain.trim_matches('-'))
}

/// The name of a slot.
#[must_use]
pub fn slot_lease(number: u32) -> String {
    format!("{SLOT}{number}")
}

/// The number of the slot with this name, if it is one.
#[must_use]
pub fn slot_of(name: &str) -> Option<u32> {
    name.strip_prefix(SLOT)?.parse().ok()
}

/// The same for the same repositories.
pub(super) fn fingerprint(units: &BTreeSet<String>) -> String {
    hex(&units.iter().map(String::as_str).collect::<Vec<_>>().join("\0"))
}

fn hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref()[..5].iter().map(|byte| format!("{byte:02x}")).collect()
}
