//! How much all repositories together may keep of what is in their files.
//!
//! A file of a few kilobytes can have hundreds of names and thousands of images under each, for a push of a few kilobytes.
//! So what is kept is counted in places ([`FileScan::places`](crate::overlay::FileScan::places)), each of one to four kilobytes. No
//! repository takes more than its part of the common room, and every repository has some room that others cannot take.

use std::sync::Mutex;
use std::sync::PoisonError;

/// Maximum number of places of one repository, all its branches together.
pub(super) const IN_ONE: usize = 50_000;
/// Maximum number of places of all repositories together, besides those that each may always have.
const IN_ALL: usize = 100_000;
/// The number of places that a repository has, whatever the others take.
const ALWAYS: usize = 10_000;

/// The room of this process.
pub(super) static ROOM: CommonRoom = CommonRoom { taken: Mutex::new(0) };

/// Room for places, and how much of it is taken.
#[derive(Debug)]
pub(super) struct CommonRoom {
    taken: Mutex<usize>,
}

/// What one branch of a repository takes of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Places {
    of: &'static CommonRoom,
    count: usize,
}

impl CommonRoom {
    /// None of it yet.
    pub(super) fn none(&'static self) -> Places {
        Places { of: self, count: 0 }
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) -> usize {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = change(*taken);
        *taken
    }
}

impl Places {
    /// Takes as many, and no longer the number from before.
    pub(super) fn hold(&mut self, count: usize) {
        self.of.change(|taken| (taken + count).saturating_sub(self.count));
        self.count = count;
    }

    /// How many it takes.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many it may take, where the same repository takes so many in other ways.
    pub(super) fn most(&self, beside: usize) -> usize {
        let left = IN_ALL.saturating_sub(self.of.change(|taken| taken).saturating_sub(self.count));
        let always = ALWAYS.saturating_sub(beside);
        IN_ONE.saturating_sub(beside).min(left.max(always))
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_and_everybody_has_some() {
        static ROOM: CommonRoom = CommonRoom { taken: Mutex::new(0) };
        let mut greedy = [ROOM.none(), ROOM.none(), ROOM.none()];
        for (one, most) in greedy.iter_mut().zip([IN_ONE, IN_ONE, ALWAYS]) {
            assert_eq!(one.most(0), most);
            one.hold(one.most(0));
        }
        let mut healthy = ROOM.none();
        assert_eq!((healthy.most(0), healthy.most(4_000), healthy.most(IN_ONE)), (ALWAYS, ALWAYS - 4_000, 0));
        healthy.hold(500);
        // What it takes itself is not in its own way.
        assert_eq!(
            (greedy[0].most(0), greedy[0].most(1_000)),
            (IN_ALL - IN_ONE - ALWAYS - 500, IN_ALL - IN_ONE - ALWAYS - 500)
        );
        drop(greedy);
        assert_eq!((healthy.most(0), healthy.most(1_000)), (IN_ONE, IN_ONE - 1_000));
        healthy.hold(100);
        assert_eq!((healthy.count(), *ROOM.taken.lock().unwrap()), (100, 100));
    }
}
