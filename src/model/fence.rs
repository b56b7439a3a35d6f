//! Whether this process may still write for a repository.

use std::fmt;
use std::sync::Arc;

/// Why this replica may not write for a repository now, and what follows, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotHeld(pub String);

/// Asked right before each write for a repository, by its name: where several replicas share the repositories, only the
/// one that holds a repository's Lease may write for it.
#[derive(Clone)]
pub struct Fence(Option<Arc<Ask>>);

type Ask = dyn Fn(&str) -> Result<(), NotHeld> + Send + Sync;

impl Fence {
    /// One that permits everything: nobody shares the work.
    #[must_use]
    pub fn open() -> Self {
        Self(None)
    }

    /// One that asks this.
    #[must_use]
    pub fn new(ask: impl Fn(&str) -> Result<(), NotHeld> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ask)))
    }

    /// Whether a write for this repository may begin now.
    ///
    /// # Errors
    /// If this replica does not hold it.
    pub fn check(&self, repository: &str) -> Result<(), NotHeld> {
        self.0.as_ref().map_or(Ok(()), |ask| ask(repository))
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Fence" } else { "Fence::open" })
    }
}
