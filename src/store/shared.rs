//! What a process remembers, as values, and how it shares that with commands beside it, which may not open its cache.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Store;

impl Store {
    /// What the cache remembers under a key; what cannot be read is forgotten, and the log says so.
    #[must_use]
    pub fn remembered<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.memory(key)?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!(%error, key, "what was remembered cannot be read; what is open may be notified once more");
                None
            }
        }
    }
}

/// As it is remembered.
pub fn json<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

/// The file by which the process that has the cache shares what it remembers: a command beside a running daemon knows what
/// the daemon knows.
#[derive(Debug)]
pub struct SharedMemory(Option<PathBuf>);

impl SharedMemory {
    /// In this state folder, where there is one.
    #[must_use]
    pub fn in_folder(state: Option<&Path>) -> Self {
        Self(state.map(|state| state.join("tracker.json")))
    }

    /// What is remembered under a key: by the own cache, or, where another process has it, by what that shares.
    #[must_use]
    pub fn read<T: DeserializeOwned + Default>(&self, store: &Store, key: &str) -> T {
        if store.is_kept() {
            return store.remembered(key).unwrap_or_default();
        }
        // A file that is not there or half written is as if nothing were remembered.
        let shared = self.0.as_ref().and_then(|path| std::fs::read(path).ok());
        shared.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Shares it, where the cache is our own.
    pub fn write<T: Serialize>(&self, store: &Store, memory: &T) {
        let (Some(path), Some(bytes)) = (self.0.as_ref().filter(|_| store.is_kept()), json(memory)) else { return };
        if let Err(error) = replace(path, &bytes) {
            tracing::debug!(path = %path.display(), %error, "what is remembered cannot be shared");
        }
    }
}

/// Writes a file that nobody else may read, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new)?.write_all(bytes)?;
    std::fs::rename(&new, path)
}
