//! What a branch of the bot carries, read back from the trailers of its commit.

use crate::model::UpdateId;
use crate::plan::UpdatePlace;
use crate::plan::ledger::{ENVIRONMENT, IMAGE, OVERLAY, POLICY, TO, UPDATE};

/// One update as a commit's trailers tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedUpdate {
    /// Its id.
    pub id: UpdateId,
    /// The overlay's folder.
    pub overlay: String,
    /// The image's normalised name.
    pub image: String,
    /// The version it goes to.
    pub to: String,
    /// The policy that asked for it.
    pub policy: String,
    /// The environment.
    pub environment: Option<String>,
}

impl CarriedUpdate {
    /// Where it was to be made.
    #[must_use]
    pub fn place(&self) -> UpdatePlace {
        let policy = if self.environment.is_some() { String::new() } else { self.policy.clone() };
        UpdatePlace {
            overlay: self.overlay.clone(),
            image: self.image.clone(),
            environment: self.environment.clone(),
            policy,
        }
    }
}

/// The updates that a commit message records, in order.
#[must_use]
pub fn carried(message: &str) -> Vec<CarriedUpdate> {
    let mut all: Vec<CarriedUpdate> = Vec::new();
    for line in message.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim().to_owned();
        match (key, all.last_mut()) {
            (UPDATE, _) => all.extend(UpdateId::parse(&value).map(of)),
            (OVERLAY, Some(last)) => last.overlay = value,
            (IMAGE, Some(last)) => last.image = value,
            (TO, Some(last)) => last.to = value,
            (POLICY, Some(last)) => last.policy = value,
            (ENVIRONMENT, Some(last)) => last.environment = Some(value),
            _ => {}
        }
    }
    all
}

fn of(id: UpdateId) -> CarriedUpdate {
    let none = String::new;
    CarriedUpdate { id, overlay: none(), image: none(), to: none(), policy: none(), environment: None }
}
