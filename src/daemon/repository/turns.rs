//! Turns, first come, first served: who asks again stands behind all who wait.

use std::sync::{Condvar, Mutex, PoisonError};

/// One at a time has its turn.
#[derive(Debug)]
pub(super) struct Turns {
    /// The number of those who came, and of those who have gone.
    count: Mutex<(u64, u64)>,
    gone: Condvar,
}

/// Somebody's turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'t>(&'t Turns);

impl Turns {
    pub(super) const fn new() -> Self {
        Self { count: Mutex::new((0, 0)), gone: Condvar::new() }
    }

    /// Waits for a turn behind all who wait.
    pub(super) fn wait(&self) -> Turn<'_> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let place = count.0;
        count.0 += 1;
        drop(self.gone.wait_while(count, |(_, gone)| *gone != place));
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.count.lock().unwrap_or_else(PoisonError::into_inner).1 += 1;
        self.0.gone.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;

    #[test]
    fn who_asks_again_stands_behind_those_who_wait() {
        let (turns, order) = (Turns::new(), std::sync::Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            let mine = turns.wait();
            let other = scope.spawn(|| {
                let _turn = turns.wait();
                order.lock().unwrap().push("other");
            });
            while turns.count.lock().unwrap().0 < 2 {
                std::thread::yield_now();
            }
            order.lock().unwrap().push("first");
            drop(mine);
            let again = turns.wait();
            order.lock().unwrap().push("again");
            drop(again);
            other.join().unwrap();
        });
        assert_eq!(*order.lock().unwrap(), ["first", "other", "again"]);
    }
}
