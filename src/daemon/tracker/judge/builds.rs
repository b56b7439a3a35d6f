//! What is built from the files of one branch, in one pass.
//!
//! Promise: however the kustomizations of a repository name each other, a pass follows no more than [`MAX_STEPS`] links between them
//! for each branch. The tracker judges all repositories in one pass, so that whoever writes to one of them must not decide how long
//! that takes. Beyond, it is unknown what watches an image, and said.
//!
//! Design: several images are declared in one file, and several clusters ask about each; so what is found is kept during the pass,
//! within a bound.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::model::RepoPath;
use crate::model::wildcard::Steps;
use crate::overlay::{Reach, Reached};

/// Maximum number of links that are followed, and folders that are looked at, for one branch in one pass: about a second. A repository
/// with ten thousand images in ordinary overlays takes some hundred thousand.
const MAX_STEPS: u64 = 4_000_000;
/// Maximum number of folders that are kept: some megabytes.
const MAX_KEPT: usize = 200_000;

/// What is built from files takes more to find out than a branch may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon::tracker) struct Overrun;

impl Overrun {
    /// Why it is not known what watches an image.
    pub(in crate::daemon::tracker) fn why() -> String {
        "the repository's kustomizations build so much from each other that Landfall does not trace it to the end; next: look for long \
         chains of kustomizations on this branch, and shorten them"
            .to_owned()
    }
}

/// What is built from each file.
#[derive(Debug)]
pub(in crate::daemon::tracker) struct Builds<'b> {
    reach: &'b Reach,
    steps: RefCell<Steps>,
    known: RefCell<Known<'b>>,
}

#[derive(Debug, Default)]
struct Known<'b> {
    by_path: HashMap<RepoPath, Rc<Reached<'b>>>,
    folders: usize,
}

impl<'b> Builds<'b> {
    pub(in crate::daemon::tracker) fn new(reach: &'b Reach) -> Self {
        Self::within(reach, MAX_STEPS)
    }

    /// Within so many steps.
    fn within(reach: &'b Reach, steps: u64) -> Self {
        Self { reach, steps: RefCell::new(Steps::new(steps)), known: RefCell::default() }
    }

    /// Whether there were not enough steps, for something that was asked.
    pub(in crate::daemon::tracker) fn overran(&self) -> bool {
        self.steps.borrow().are_spent()
    }

    /// What is built from a file. Who asks looks at all of it, so that counts, too.
    ///
    /// # Errors
    /// If there are no steps left for it.
    pub(super) fn of(&self, path: &RepoPath) -> Result<Rc<Reached<'b>>, Overrun> {
        if self.overran() {
            return Err(Overrun);
        }
        let known = self.known.borrow().by_path.get(path).map(Rc::clone);
        let (reached, followed) = match known {
            Some(reached) => (reached, 0),
            None => {
                let reached = Rc::new(self.reach.of(path));
                let followed = reached.followed;
                self.known.borrow_mut().keep(path, &reached);
                (reached, followed)
            }
        };
        match self.steps.borrow_mut().take(1 + followed + folders(&reached)) {
            true => Ok(reached),
            false => Err(Overrun),
        }
    }
}

impl<'b> Known<'b> {
    fn keep(&mut self, path: &RepoPath, reached: &Rc<Reached<'b>>) {
        let folders = 1 + folders(reached);
        if self.folders + folders > MAX_KEPT {
            *self = Self::default();
        }
        self.folders += folders;
        self.by_path.insert(path.clone(), Rc::clone(reached));
    }
}

fn folders(reached: &Reached<'_>) -> usize {
    reached.kustomizations.len() + reached.charts.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::{FileChange, PinIndex};

    fn kustomization(overlay: usize) -> RepoPath {
        RepoPath::parse(&format!("o/{overlay}/kustomization.yaml")).unwrap()
    }

    /// Overlays, each built from the one before.
    fn chain(overlays: usize) -> Reach {
        let text =
            |below: Option<usize>| below.map_or("namespace: a\n".to_owned(), |n| format!("resources: [../{n}]\n"));
        let file = |n: usize| FileChange::File { path: kustomization(n), bytes: text(n.checked_sub(1)).into_bytes() };
        let mut index = PinIndex::new();
        index.update((0..overlays).map(file).collect());
        index.reach().clone()
    }

    #[test]
    fn what_is_built_from_a_file_is_traced_once_and_within_the_steps() {
        const OVERLAYS: usize = 1_000;
        let reach = chain(OVERLAYS);
        let spent = |builds: &Builds<'_>| MAX_STEPS - builds.steps.borrow().left();
        let builds = Builds::new(&reach);
        let first = builds.of(&kustomization(0)).unwrap();
        assert_eq!((folders(&first), spent(&builds)), (OVERLAYS, 2 * 1_000));
        for _ in 0..10 {
            assert_eq!(builds.of(&kustomization(0)).unwrap(), first);
        }
        assert_eq!(spent(&builds), 2_000 + 10 * 1_001, "looked at again, but not traced");

        // However much is asked.
        let builds = Builds::within(&reach, 1_000_000);
        let asked = (0..OVERLAYS).cycle().map(kustomization).take(100 * OVERLAYS);
        let answered = asked.take_while(|path| builds.of(path).is_ok()).count();
        assert!((500..10_000).contains(&answered), "{answered}");
        assert!(builds.overran() && builds.of(&kustomization(OVERLAYS - 1)) == Err(Overrun));

        let few = Builds::within(&reach, 100);
        assert_eq!(few.of(&kustomization(0)), Err(Overrun));
        assert!(few.overran());
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let reach = chain(1_000);
        let builds = Builds::new(&reach);
        for n in (0..1_000).map(kustomization) {
            drop(builds.of(&n));
            let known = builds.known.borrow();
            let kept: usize = known.by_path.values().map(|reached| 1 + folders(reached)).sum();
            assert!(kept == known.folders && kept <= MAX_KEPT, "{kept}");
        }
    }
}
