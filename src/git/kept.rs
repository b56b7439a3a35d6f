//! What was read of a history once, kept beside the mirror for the next process: a file for each branch and use.
//!
//! Promise: a cache and no more. A file that was made from something else (another remote, another way of reading, another
//! branch) reads as absent, one that is damaged does so aloud, and what is absent is read from the mirror again. Every process
//! may read it while another one writes it. Files and their number are bounded.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::mirror::Mirror;

/// The form of the files; another one reads as absent.
const FORM: &[u8; 8] = b"landf 1\n";
/// Where the content begins: the form, what it was made from, its checksum.
const HEAD: usize = 8 + 32 + 32;
/// The largest content.
const MAX_BYTES: usize = 128 << 20;
/// How many files of one mirror are kept, the last written.
const MAX_FILES: usize = 64;

/// What a file is about, and what its content is made from.
#[derive(Debug, Clone, Copy)]
pub struct KeptKey<'a> {
    /// What it is for, and the branch: names the file.
    pub name: &'a str,
    /// What else decides about the content.
    pub made_from: &'a str,
}

impl Mirror {
    /// What was kept under this key.
    #[must_use]
    pub fn kept(&self, key: KeptKey<'_>) -> Option<Vec<u8>> {
        let path = self.kept_at(key);
        let mut bytes = match fs::metadata(&path).map(|there| there.len()) {
            Ok(size) if size <= (MAX_BYTES + HEAD) as u64 => fs::read(&path).ok()?,
            Ok(_) | Err(_) => return None,
        };
        if bytes.get(..8)? != FORM.as_slice() || bytes.get(8..40)? != self.made_from(key) {
            return None;
        }
        let content = bytes.split_off(HEAD.min(bytes.len()));
        if bytes.get(40..)? != hash(&content) {
            tracing::warn!(path = %path.display(), "an index of the history is damaged; the history is read again");
            return None;
        }
        Some(content)
    }

    /// Keeps something under this key. Where it cannot be written the next process only takes longer.
    pub fn keep(&self, key: KeptKey<'_>, content: &[u8]) {
        let path = self.kept_at(key);
        if content.len() > MAX_BYTES {
            return;
        }
        if let Err(error) = write(&path, &[FORM, self.made_from(key).as_slice(), &hash(content), content]) {
            tracing::debug!(path = %path.display(), %error, "an index of the history cannot be kept");
        }
    }

    fn kept_at(&self, key: KeptKey<'_>) -> PathBuf {
        let name: String = hash(key.name.as_bytes()).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        self.folder().join("past").join(name)
    }

    fn made_from(&self, key: KeptKey<'_>) -> Vec<u8> {
        hash(format!("{}\n{}\n{}", self.remote(), key.name, key.made_from).as_bytes())
    }
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

/// Writes a file whole or not at all, and removes the oldest of too many.
fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    // One that a killed process leaves is removed as any other file that is old.
    let new = path.with_extension(format!("{}-{}", std::process::id(), fastrand::u32(..)));
    let mut file = fs::File::create_new(&new)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    fs::rename(&new, path)?;
    let age = |path: &PathBuf| fs::metadata(path).and_then(|it| it.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut all: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    if all.len() > MAX_FILES {
        all.sort_by_cached_key(|path| std::cmp::Reverse(age(path)));
        all.iter().skip(MAX_FILES).try_for_each(fs::remove_file)?;
    }
    Ok(())
}
