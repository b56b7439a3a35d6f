//! The Git edge: a bare mirror per repository, read and written through gix; fetch and push through the git program.
//!
//! Promises:
//!
//! - **No foreign commit is lost (G2).** Every push names the exact id that the ref must have, so a ref that somebody
//!   else moved is left alone ([`RefResult::LostRace`]). A base branch ([`Force::No`]) only ever moves forward: that
//!   the new commit descends from the expected one is proven here before anything is sent, because a lease that holds
//!   would otherwise let Git force the push.
//! - **No secret leaks (G5).** Credentials are in no argument, address, file, error or message ([`Program`]).
//! - **Only the named files change.** Commits are built from objects, without a work tree; only regular files are
//!   replaced, their mode is kept, and a symlink or submodule anywhere on a path refuses the commit.
//! - **The mirror is a cache.** Deleting it loses nothing; a damaged one is recreated automatically.
//! - **Everything is bounded.** Each operation with a remote has a time limit for its whole process group, each answer
//!   a size limit.
//!
//! Design: [`Mirror`] holds the folder and the remote. `mirror` lists and fetches, `push` pushes, `read`, `log`,
//! `write` and `merge` work on objects, `made` has commits made by a forge, `history` answers questions about one branch's past, `kept` stores results for
//! the next process, `folder` manages the files; `command` runs the program, `output` parses its output (pure), `url`
//! and `settings` are a remote's settings.

mod checkout;
mod command;
mod error;
mod folder;
mod history;
mod kept;
mod log;
mod made;
mod merge;
mod mirror;
mod output;
mod push;
mod read;
mod retry;
mod settings;
mod signature;
mod touched;
mod tree;
mod url;
mod write;

pub use checkout::{Checkout, CheckoutError};
pub use command::{MINIMUM_GIT, Program};
pub use error::GitError;
pub use history::{
    Ancestry, AncestryGap, CommitInfo, FormerPin, History, HistoryLimits, IntroducedBy, PinKey, TipMove, ValueAt,
    ValueChange, ValueOrigin,
};
pub use kept::KeptKey;
pub use log::{CameBy, LogEntry, MarkedCommit, MarkedLog};
pub use made::{CommitOrder, MadeCommit, MakesCommits, NotMade, OrderedChange, OrderedFile};
pub use merge::MergeOutcome;
pub use mirror::Mirror;
pub use push::{Force, RefResult, RefUpdate, RefusalKind};
pub use retry::ATTEMPTS;
pub(crate) use retry::{Attempt, retry_on_lost_race};
pub use settings::{ClientCertificate, GitCredentials, KeyFile, LendsToken, NoToken, RemoteSettings};
pub use signature::{CommitSigner, KeyError};
pub use tree::{Blob, BlobId, MAX_BLOB, TreeBudget, TreeChange, TreeEntry, TreePath, WatchedFiles};
pub use url::{RemoteUrl, Transport};
pub use write::{EditComparison, NewCommit, NewFiles, NewTree, Stamp, create_bare};
