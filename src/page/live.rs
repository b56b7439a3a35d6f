//! What has changed in the matrix since it was last looked at: only those cells are sent to who has the page open.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use serde::Serialize;

use super::facts::Facts;
use super::html;
use super::matrix::Matrix;

/// A cell that has changed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CellPatch {
    /// The id of its element.
    pub id: String,
    /// What the element contains now.
    pub html: String,
    /// The tone's class.
    pub tone: &'static str,
    /// What is said to who does not see it.
    pub said: String,
}

/// The cells as they were last looked at.
#[derive(Debug, Default)]
pub struct LiveCells {
    known: HashMap<String, u64>,
    /// Counts, banners, problems: what stands around the cells.
    around: u64,
}

/// What has changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// The cells.
    pub cells: Vec<CellPatch>,
    /// Whether something else has: cells have come or gone, or what stands around them differs.
    pub around: bool,
}

impl Changes {
    /// Whether nothing has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty() && !self.around
    }
}

impl LiveCells {
    /// Takes the matrix of everything; returns what differs from the last one.
    pub fn take(&mut self, facts: &Facts<'_>, matrix: &Matrix) -> Changes {
        let mut changes = Changes::default();
        let mut known = HashMap::with_capacity(self.known.len());
        for app in &matrix.apps {
            for cell in &app.cells {
                let id = html::cell_id(&app.repository, &app.app, cell.environment.as_deref());
                let hash = hashed(cell);
                match self.known.remove(&id) {
                    Some(before) if before == hash => {}
                    Some(_) => changes.cells.push(CellPatch {
                        html: html::finish(html::cell_content(facts, app, cell).into_string()),
                        tone: cell.tone.as_str(),
                        said: html::finish(html::said(app, cell)),
                        id: id.clone(),
                    }),
                    None => changes.around = true,
                }
                known.insert(id, hash);
            }
        }
        let counts: Vec<_> = matrix.counts.iter().map(|count| (&count.state, count.count)).collect();
        let banners: Vec<_> = matrix.banners.iter().map(|it| (&it.repository, &it.file, &it.reason)).collect();
        let around = hashed(&(counts, banners, &matrix.problems, &matrix.notes, facts.incidents.len()));
        changes.around |= !self.known.is_empty() || around != self.around;
        (self.known, self.around) = (known, around);
        changes
    }
}

fn hashed(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
