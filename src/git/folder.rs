//! The mirror's folder: created, checked, repaired, and shared with other processes.
//!
//! ```text
//! <dir>/lock         held shared by every user; the one that gets it exclusively may remove what a killed process left
//! <dir>/opening      held while a process opens the folder and possibly creates the mirror
//! <dir>/remote       the address it mirrors; for another address it is recreated
//! <dir>/damaged      present if something unreadable was found; the next start recreates the mirror
//! <dir>/home/        the empty home of git processes
//! <dir>/past/        what of histories the next process need not read again
//! <dir>/mirror.git/  the bare repository
//! ```

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::GitError;
use super::read::MAX_COMMIT;

/// Locks of refs and files, and half-received packs: leftovers of a killed git that block the next one.
const LOCKED: &[&str] = &["HEAD.lock", "packed-refs.lock", "config.lock", "shallow.lock", "gc.pid", "gc.pid.lock"];

/// The whole configuration of a mirror; everything else is passed on the command line.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";

/// The folder of one mirror.
#[derive(Debug)]
pub(super) struct MirrorFolder {
    dir: PathBuf,
    lock: File,
}

impl MirrorFolder {
    /// Opens or creates the folder for the mirror of `remote`.
    pub(super) fn open(dir: &Path, remote: &str) -> Result<Self, GitError> {
        let made = || -> io::Result<Self> {
            fs::create_dir_all(dir.join("home"))?;
            let dir = dir.canonicalize()?;
            let lock = File::options().create(true).truncate(false).write(true).open(dir.join("lock"))?;
            lock.lock_shared()?;
            Ok(Self { dir, lock })
        };
        let folder = made().map_err(|error| GitError::disk(dir, &error))?;
        let _alone = folder.alone_in_opening().map_err(|error| GitError::disk(dir, &error))?;
        folder.clear_remains();
        let remembered = fs::read_to_string(folder.dir.join("remote")).unwrap_or_default();
        if remembered != remote || folder.dir.join("damaged").exists() || folder.check().is_err() {
            folder.make_anew(remote)?;
        }
        Ok(folder)
    }

    /// Two processes that open the same folder at once would both create the mirror. The lock is held as long as the
    /// file is open; if its holder is frozen, the other waits only a few seconds.
    fn alone_in_opening(&self) -> io::Result<File> {
        let opening = File::options().create(true).truncate(false).write(true).open(self.dir.join("opening"))?;
        for _ in 0..100 {
            if opening.try_lock().is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Ok(opening)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn git_dir(&self) -> PathBuf {
        self.dir.join("mirror.git")
    }

    pub(super) fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// Records that the mirror is unreadable, for the next start. If this fails (a full disk), only the record is lost.
    pub(super) fn mark_damaged(&self) {
        if let Err(error) = fs::write(self.dir.join("damaged"), b"") {
            tracing::debug!(dir = %self.dir.display(), %error, "cannot mark the mirror as damaged");
        }
    }

    /// Replaces whatever is there with an empty bare repository. Readers that have files of the old one open keep them.
    pub(super) fn make_anew(&self, remote: &str) -> Result<(), GitError> {
        let (new, old, now) = (self.dir.join("new.git"), self.dir.join("old.git"), self.git_dir());
        let remake = || -> io::Result<()> {
            remove(&new)?;
            remove(&old)?;
            bare(&new, "landfall-mirror")?;
            fs::write(new.join("config"), CONFIG)?;
            if now.symlink_metadata().is_ok() {
                fs::rename(&now, &old)?;
            }
            fs::rename(&new, &now)?;
            remove(&old)?;
            remove(&self.dir.join("damaged"))?;
            fs::write(self.dir.join("remote"), remote)
        };
        remake().map_err(|error| GitError::disk(&self.dir, &error))
    }

    /// Removes what killed processes left, if no other process uses the mirror. Returns whether there was anything to
    /// remove.
    pub(super) fn clear_remains(&self) -> bool {
        // Converting a lock is not portable, so it is released first; whoever gets it in between sees a complete
        // mirror.
        if self.lock.unlock().is_err() {
            return false;
        }
        let cleared = self.lock.try_lock().is_ok() && self.remove_remains();
        if let Err(error) = self.lock.unlock().and_then(|()| self.lock.lock_shared()) {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot lock the mirror's folder");
        }
        cleared
    }

    /// Whether another process uses the mirror right now.
    pub(super) fn is_shared(&self) -> bool {
        let shared = self.lock.unlock().is_ok() && self.lock.try_lock().is_err();
        if let Err(error) = self.lock.unlock().and_then(|()| self.lock.lock_shared()) {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot lock the mirror's folder");
        }
        shared
    }

    fn remove_remains(&self) -> bool {
        let git_dir = self.git_dir();
        let mut found: Vec<PathBuf> = LOCKED.iter().map(|name| git_dir.join(name)).filter(|p| p.exists()).collect();
        collect(&git_dir.join("refs"), &mut found, |name| name.ends_with(".lock"), 20);
        collect(
            &git_dir.join("objects"),
            &mut found,
            |name| name.starts_with("tmp_") || name.starts_with("incoming-"),
            1,
        );
        for path in &found {
            if let Err(error) = remove(path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove what a killed process left");
            }
        }
        !found.is_empty()
    }

    /// Checks that the repository opens, its packs are complete and every branch points to a readable commit and tree.
    /// This is cheap: it does not read every object; deeper damage is found when it is read.
    fn check(&self) -> Result<(), String> {
        // Git runs with this configuration: it could name programs, other object stores or other remotes.
        let config = fs::read_to_string(self.git_dir().join("config")).map_err(|error| error.to_string())?;
        if config != CONFIG || self.git_dir().join("objects/info/alternates").exists() {
            return Err("its configuration was changed".to_owned());
        }
        complete_packs(&self.git_dir().join("objects/pack")).map_err(|error| error.to_string())?;
        let repo = open(&self.git_dir())?;
        let refs = repo.references().map_err(|error| error.to_string())?;
        for name in refs.all().map_err(|error| error.to_string())? {
            let id = name.map_err(|error| error.to_string())?.id();
            // What somebody may have made large is named when it is read.
            if id.header().map_err(|error| error.to_string())?.size() > MAX_COMMIT {
                continue;
            }
            let commit = repo.find_commit(id).map_err(|error| error.to_string())?;
            commit.tree().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Whether a fetch has left out large files.
    pub(super) fn is_partial(&self) -> bool {
        let entries = fs::read_dir(self.git_dir().join("objects/pack")).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".promisor"))
    }

    /// Whether there are too many packs or, by the sample that Git itself takes, too many loose objects.
    pub(super) fn needs_upkeep(&self) -> bool {
        let count = |dir: &str, wanted: &str| {
            let entries = fs::read_dir(self.git_dir().join("objects").join(dir)).into_iter().flatten().flatten();
            entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(wanted)).count()
        };
        count("pack", ".pack") > 50 || count("17", "") > 27
    }
}

/// Bytes of decoded objects that a handle keeps while it walks trees.
pub(super) const OBJECT_CACHE: usize = 8 << 20;

/// Opens a repository with its own configuration only.
///
/// gix has a fixed number of slots for packs; without spare ones, a handle fails after some thirty fetches.
pub(super) fn open(git_dir: &Path) -> Result<gix::Repository, String> {
    let options = gix::open::Options::isolated()
        .with(gix::sec::Trust::Full)
        .open_path_as_is(true)
        .object_store_slots(gix::odb::store::init::Slots::Given(4096));
    let mut repo = options.open(git_dir).map_err(|error| error.to_string())?.to_thread_local();
    repo.object_cache_size_if_unset(OBJECT_CACHE);
    Ok(repo)
}

/// An empty bare repository whose `HEAD` is `branch`.
pub(super) fn bare(dir: &Path, branch: &str) -> io::Result<()> {
    gix::create::into(dir, gix::create::Kind::Bare, gix::create::Options::default())
        .map_err(|error| io::Error::other(error.to_string()))?;
    fs::write(dir.join("HEAD"), format!("ref: refs/heads/{branch}\n"))
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(kind) if kind.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Files and folders below `dir`, up to `depth` folders deep, whose name is `wanted`. Links are not followed.
fn collect(dir: &Path, into: &mut Vec<PathBuf>, wanted: fn(&str) -> bool, depth: usize) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if wanted(&entry.file_name().to_string_lossy()) {
            into.push(entry.path());
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), into, wanted, depth - 1);
        }
    }
}

/// A pack ends with a checksum that its index repeats, so a truncated one is detected without reading it.
fn complete_packs(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let pack = entry?.path();
        if pack.extension().is_some_and(|extension| extension == "pack") {
            let own: [u8; 20] = tail(&pack)?;
            let index: [u8; 40] = tail(&pack.with_extension("idx"))?;
            if index[..20] != own {
                return Err(io::Error::other(format!("{} does not match its index", pack.display())));
            }
        }
    }
    Ok(())
}

fn tail<const N: usize>(path: &Path) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-(N as i64)))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
