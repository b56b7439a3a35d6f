//! A person's checkout, as far as it says where it came from. Nothing is written, and no program is run.

use std::path::{Path, PathBuf};

/// What a checkout says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// Its top folder.
    pub root: PathBuf,
    /// The address of the remote `origin`, as configured.
    pub origin: Option<String>,
    /// The branch that the remote's `HEAD` named when it was cloned, else the one that is checked out.
    pub branch: Option<String>,
}

/// Why a folder is not a checkout that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckoutError {
    /// No repository at or above it.
    #[error("{0} is not in a Git checkout")]
    None(PathBuf),
    /// A repository without files.
    #[error("{0} is a bare repository, which has no files to look at")]
    Bare(PathBuf),
}

impl Checkout {
    /// Finds the checkout that a folder is in.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(folder: &Path) -> Result<Self, CheckoutError> {
        let repository = gix::discover(folder).map_err(|_| CheckoutError::None(folder.to_owned()))?;
        let root = repository.workdir().ok_or_else(|| CheckoutError::Bare(repository.path().to_owned()))?.to_owned();
        let origin = repository.config_snapshot().string("remote.origin.url").map(|url| url.to_string());
        let branch = default_branch(&repository).or_else(|| {
            let head = repository.head_name().ok().flatten()?;
            Some(head.shorten().to_string())
        });
        Ok(Self { root, origin, branch })
    }
}

/// The target of `refs/remotes/origin/HEAD`.
fn default_branch(repository: &gix::Repository) -> Option<String> {
    let head = repository.find_reference("refs/remotes/origin/HEAD").ok()?;
    let target = head.target().try_name()?.as_bstr().to_string();
    target.strip_prefix("refs/remotes/origin/").map(str::to_owned)
}
