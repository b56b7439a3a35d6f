//! How much of somebody else's commit is examined at one time.
//!
//! What a commit's files say is read beside the index, which has its own room ([`places`](super::places)): whoever may push a branch
//! decides how much that is. So no more is held of one commit than a repository may have in the index, and of all commits with much in
//! them one is examined at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::places::IN_ONE;
use crate::model::Pin;
use crate::overlay::places_of;

/// From this size of a file, or this number of places, on, a commit has much in it.
const LARGE_FILE: usize = 128 << 10;
const MANY: usize = 5_000;

/// Held while a commit with much in it is examined.
static ALONE: Mutex<()> = Mutex::new(());

/// What is held of one commit; dropped when nothing is.
#[derive(Debug)]
pub(super) struct Examined {
    left: usize,
    alone: Option<MutexGuard<'static, ()>>,
}

impl Examined {
    pub(super) fn nothing() -> Self {
        Self { left: IN_ONE, alone: None }
    }

    /// Before a file of so many bytes is read: waits its turn, if that is large.
    pub(super) fn begin(&mut self, bytes: usize) {
        if bytes > LARGE_FILE || IN_ONE - self.left > MANY {
            self.alone.get_or_insert_with(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Takes the room of these pins.
    ///
    /// # Errors
    /// If there is no room for them: so many the bot has never written.
    pub(super) fn hold(&mut self, pins: &[Pin]) -> Result<(), TooMany> {
        self.left = self.left.checked_sub(places_of(pins)).ok_or(TooMany)?;
        Ok(())
    }
}

/// A commit's files have more in them than a repository may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RepoPath;
    use crate::overlay::scan_file;

    #[test]
    fn a_commit_has_the_room_of_a_repository_and_long_texts_take_more_of_it() {
        let pins = |name: &str, count: usize| {
            let text = format!("{name}:\n") + &"- image: acme/web:1.2.3\n".repeat(count);
            scan_file(&RepoPath::parse("values.yaml").unwrap(), text.as_bytes()).values
        };
        let (short, long) = (pins("a", 100), pins(&"a".repeat(900), 100));
        assert_eq!((short.len(), long.len()), (100, 100));
        let held = |pins: &[Pin]| {
            let mut examined = Examined::nothing();
            (0..).take_while(|_| examined.hold(pins).is_ok()).count()
        };
        assert_eq!((held(&short), held(&long)), (IN_ONE / 100, IN_ONE / 200));
        let mut examined = Examined::nothing();
        examined.begin(LARGE_FILE);
        assert!(examined.alone.is_none());
        examined.hold(&pins("a", MANY + 1)).unwrap();
        examined.begin(1);
        assert!(examined.alone.is_some() && ALONE.try_lock().is_err());
    }
}
