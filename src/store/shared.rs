//! The stored values of a process, and how it shares them with commands that run next to it and cannot open its cache.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Store;

impl Store {
    /// The value stored under a key; one that cannot be read is dropped, and logged.
    #[must_use]
    pub fn remembered<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.memory(key)?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!(%error, key, "stored data cannot be read; open incidents may be notified once more");
                None
            }
        }
    }
}

/// A value in its stored form.
pub fn json<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

/// The file through which the process that has the cache open shares what it stores, so that a command next to a
/// running daemon knows what the daemon knows.
#[derive(Debug)]
pub struct SharedMemory(Option<PathBuf>);

impl SharedMemory {
    /// The file in this state folder, if there is one.
    #[must_use]
    pub fn in_folder(state: Option<&Path>) -> Self {
        Self(state.map(|state| state.join("tracker.json")))
    }

    /// The value under a key: from the own cache or, if another process has it open, from what that process shares.
    #[must_use]
    pub fn read<T: DeserializeOwned + Default>(&self, store: &Store, key: &str) -> T {
        if store.is_kept() {
            return store.remembered(key).unwrap_or_default();
        }
        // A missing or half-written file counts as empty.
        let shared = self.0.as_ref().and_then(|path| std::fs::read(path).ok());
        shared.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Shares a value, if the cache is our own.
    pub fn write<T: Serialize>(&self, store: &Store, memory: &T) {
        let (Some(path), Some(bytes)) = (self.0.as_ref().filter(|_| store.is_kept()), json(memory)) else { return };
        if let Err(error) = replace(path, &bytes) {
            tracing::debug!(path = %path.display(), %error, "stored data cannot be shared");
        }
    }
}

/// Writes a file that only this user can read, completely or not at all.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new)?.write_all(bytes)?;
    std::fs::rename(&new, path)
}
