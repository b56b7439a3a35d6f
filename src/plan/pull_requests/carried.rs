//! What a branch of the bot carries, read back from the trailers of its commit.

use crate::model::UpdateId;
use crate::plan::UpdatePlace;
use crate::plan::ledger::{ENVIRONMENT, IMAGE, OVERLAY, POLICY, RecordLimit, TO, UPDATE, sharing};

/// One update, according to a commit's trailers.
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
    /// The policy that requested it.
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

/// The updates recorded in a commit message, in order. A policy and environment after several updates without one apply
/// to all of them. A message beyond [`RecordLimit::PULL_REQUEST`] is not the bot's, and carries none.
#[must_use]
pub fn carried(message: &str) -> Vec<CarriedUpdate> {
    let mut all: Vec<CarriedUpdate> = Vec::new();
    if !RecordLimit::PULL_REQUEST.allows(message) {
        return all;
    }
    let mut shares = 0;
    for line in message.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim().to_owned();
        match (key, all.last_mut()) {
            (UPDATE, _) => all.extend(UpdateId::parse(&value).map(of)),
            (OVERLAY, Some(last)) => last.overlay = value,
            (IMAGE, Some(last)) => last.image = value,
            (TO, Some(last)) => last.to = value,
            (POLICY, Some(_)) if !value.is_empty() => {
                shares = sharing(all.iter().map(|update| update.policy.as_str()));
                all[shares..].iter_mut().for_each(|update| value.clone_into(&mut update.policy));
            }
            (ENVIRONMENT, Some(last)) => {
                let from = if last.policy.is_empty() { all.len() - 1 } else { shares };
                all[from..].iter_mut().for_each(|update| update.environment = Some(value.clone()));
                // Another environment without a policy of its own is the last update's.
                shares = all.len() - 1;
            }
            _ => {}
        }
    }
    all
}

fn of(id: UpdateId) -> CarriedUpdate {
    let none = String::new;
    CarriedUpdate { id, overlay: none(), image: none(), to: none(), policy: none(), environment: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_once_behind_several_updates_is_carried_by_each() {
        let update = |n: char, own: &str| {
            let id = n.to_string().repeat(16);
            format!(
                "Landfall-Update: {id}\nLandfall-Image: ghcr.io/acme/{n}\nLandfall-Overlay: apps/{n}\nLandfall-To: 1.0.0\n{own}"
            )
        };
        let once = "Landfall-Policy: all\nLandfall-Environment: prod\nLandfall-Gates: window\n";
        let places = |message: &str| {
            let place = |update: CarriedUpdate| (update.overlay, update.policy, update.environment);
            carried(message).into_iter().map(place).collect::<Vec<_>>()
        };
        let of = |n: char, policy: &str, environment: Option<&str>| {
            (format!("apps/{n}"), policy.to_owned(), environment.map(str::to_owned))
        };
        let message = format!("bump\n\n{}{}{}{once}", update('a', ""), update('b', ""), update('c', ""));
        let prod = |n| of(n, "all", Some("prod"));
        assert_eq!(places(&message), [prod('a'), prod('b'), prod('c')]);
        // As it was written before, and one without an environment behind one with.
        let message = format!("{}{}{}", update('a', once), update('b', once), update('c', "Landfall-Policy: rest\n"));
        assert_eq!(places(&message), [prod('a'), prod('b'), of('c', "rest", None)]);
    }
}
