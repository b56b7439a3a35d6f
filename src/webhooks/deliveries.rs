//! The deliveries that were taken, so that one that is repeated makes no second request to a registry.
//!
//! Only hashes are kept, and only so many: a sender that repeats something older wakes the bot once more, which costs
//! one request.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

/// How many are remembered per source.
const MOST: usize = 4096;

/// The last deliveries of one source.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    hasher: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Deliveries {
    /// Whether a delivery with this id has not been taken yet; it then counts as taken.
    pub(super) fn is_new(&mut self, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_delivery_is_known_and_memory_is_bounded() {
        let mut deliveries = Deliveries::default();
        assert!(deliveries.is_new("a") && !deliveries.is_new("a"));
        for number in 0..3 * MOST {
            assert!(deliveries.is_new(&number.to_string()));
        }
        assert_eq!((deliveries.known.len(), deliveries.order.len()), (MOST, MOST));
        assert!(deliveries.is_new("a"), "forgotten by now");
    }
}
