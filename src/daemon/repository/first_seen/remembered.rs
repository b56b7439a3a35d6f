//! The records as the bot last knew them, in its state folder: whoever may push the ref may also delete it, or set it back to what it
//! was before.

use serde::{Deserialize, Serialize};

use super::file::{File, RecordedRepository, RecordsOf};
use crate::git::{GitError, Mirror};
use crate::model::CommitId;
use crate::store::{self, Store};

/// What is remembered of one repository's records.
#[derive(Debug, Default)]
pub(super) enum Remembered {
    /// The state folder was not asked yet.
    #[default]
    Unread,
    /// It knows nothing that counts.
    Nothing,
    /// This.
    Known(Box<Known>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The last commit with records that counted; `None`: there was none yet.
    tip: Option<String>,
    /// The keys whose signatures were required: what was read without them counts only where none are.
    keys: String,
    /// Its records.
    pub(super) file: File,
}

impl Known {
    /// Whether a commit has what is remembered before it: it is the last one, or based on it.
    pub(super) fn is_before(&self, tip: &CommitId, mirror: &Mirror) -> Result<bool, GitError> {
        let Some(last) = self.tip.as_deref().and_then(|last| CommitId::parse(last).ok()) else { return Ok(true) };
        if last == *tip {
            return Ok(true);
        }
        match mirror.is_ancestor(&last, tip) {
            // A mirror made anew has only what the ref has.
            Err(GitError::UnknownCommit { .. } | GitError::Refused { .. }) => Ok(false),
            known => known,
        }
    }
}

impl Remembered {
    /// What the state folder knows.
    pub(super) fn load(
        &mut self,
        mirror: &Mirror,
        of: &RecordedRepository,
        (repository, store): (&str, &Store),
    ) -> Option<&Known> {
        if let Self::Unread = self {
            let stored = store.memory(&key(repository)).and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok());
            let counts = |known: &Known| known.keys == mirror.signing_keys() && known.file.is_of(of) == RecordsOf::This;
            *self = stored.filter(counts).map_or(Self::Nothing, |known| Self::Known(Box::new(known)));
        }
        match self {
            Self::Unread | Self::Nothing => None,
            Self::Known(known) => Some(known),
        }
    }

    /// Remembers these records from now on, and which commit they are of.
    pub(super) fn keep(
        &mut self,
        (tip, file): (Option<&CommitId>, File),
        mirror: &Mirror,
        (repository, store): (&str, &Store),
    ) {
        let tip = tip.map(|tip| tip.as_str().to_owned());
        let known = Known { tip, keys: mirror.signing_keys(), file };
        if matches!(self, Self::Known(before) if **before == known) {
            return;
        }
        if let Ok(bytes) = serde_json::to_vec(&known)
            && let Err(error) = store.write(&[store::Entry::Memory { key: key(repository), bytes }])
        {
            tracing::debug!(%error, "the records of first sight are not remembered");
        }
        *self = Self::Known(Box::new(known));
    }
}

fn key(repository: &str) -> String {
    format!("first-seen/{repository}")
}
