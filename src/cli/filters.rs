//! The filters that commands share: `--app`, `-e`, `--image`, `--repository`.
//!
//! Promise: a filter that names nothing is an error that says what there is. An empty answer means that nothing of what was
//! named is there, never that a name was misspelt.

use std::collections::BTreeSet;

use crate::config::Settings;
use crate::daemon::{Bot, CycleOutcome, Repository};
use crate::model::{ImageName, Tracked, TrackedThing};
use crate::plan::{KnownNames, Update};

use super::{CliError, names};

/// Which images are shown.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct ImageFilters {
    /// Only this app.
    #[arg(id = "only_app", long = "app", value_name = "APP")]
    pub(super) app: Option<String>,
    /// Only this environment.
    #[arg(short, long, value_name = "ENV")]
    pub(super) environment: Option<String>,
    /// Only this image: its name, or the last part of it.
    #[arg(long, value_name = "IMAGE")]
    pub(super) image: Option<String>,
}

/// What of everything is shown.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filters {
    #[command(flatten)]
    pub(super) images: ImageFilters,
    /// Only this repository of the configuration.
    #[arg(long, value_name = "NAME")]
    pub(super) repository: Option<String>,
}

impl ImageFilters {
    /// Whether everything is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.app.is_none() && self.environment.is_none() && self.image.is_none()
    }

    /// Whether an app or environment is asked for.
    pub(super) fn names_place(&self) -> bool {
        self.app.is_some() || self.environment.is_some()
    }

    /// Whether an image of any place is wanted.
    pub(super) fn wants_image(&self, name: &ImageName) -> bool {
        self.image.as_ref().is_none_or(|image| name.is_called(image))
    }

    /// Whether an app in an environment is wanted.
    pub(super) fn wants_place(&self, app: &str, environment: Option<&str>) -> bool {
        self.app.as_ref().is_none_or(|wanted| app == wanted)
            && self.environment.as_ref().is_none_or(|wanted| environment == Some(wanted))
    }

    /// Checks that each name is one of these.
    pub(super) fn check(&self, known: &KnownNames) -> Result<(), CliError> {
        self.check_with(self.app.as_deref(), known)
    }

    /// The same for an app that was given as an argument.
    fn check_with(&self, app: Option<&str>, known: &KnownNames) -> Result<(), CliError> {
        let among = |what: &str, name: Option<&str>, known: &BTreeSet<String>| match name {
            Some(name) if !known.contains(name) => Err(names::unknown(what, name, known.iter().map(String::as_str))),
            _ => Ok(()),
        };
        among("app", app, &known.apps)?;
        among("environment", self.environment.as_deref(), &known.environments)?;
        match &self.image {
            Some(image) if !known.images.iter().any(|name| name.is_called(image)) => {
                Err(names::unknown("image", image, known.images.iter().map(ImageName::short)))
            }
            _ => Ok(()),
        }
    }
}

impl Filters {
    /// The app, which may also be given as an argument.
    pub(super) fn or_app<'a>(&'a self, app: Option<&'a String>) -> Option<&'a str> {
        app.or(self.images.app.as_ref()).map(String::as_str)
    }

    /// Checks that the repository is in the configuration.
    pub(super) fn check_repository(&self, settings: &Settings) -> Result<(), CliError> {
        match &self.repository {
            Some(name) => {
                names::chosen(Some(name.as_str()), settings.repositories.iter().map(|it| it.name.as_str())).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Checks that each name is in one of the wanted repositories, as they were last read.
    pub(super) fn check_names(&self, app: Option<&String>, bot: &Bot) -> Result<(), CliError> {
        if self.or_app(app).is_none() && self.images.is_empty() {
            return Ok(());
        }
        let wanted = bot.repositories.iter().filter(|it| self.wants_repository(it.name()));
        // What could not be read may have the name.
        let Some(all) = wanted.map(Repository::known).collect::<Option<Vec<KnownNames>>>() else { return Ok(()) };
        let mut known = KnownNames::default();
        all.into_iter().for_each(|names| known.add(names));
        self.images.check_with(self.or_app(app), &known)
    }

    /// Whether a repository is wanted.
    pub(super) fn wants_repository(&self, name: &str) -> bool {
        self.repository.as_ref().is_none_or(|wanted| name == wanted)
    }

    /// Whether a row is wanted. A repository or cluster as a whole is in the environments that it holds up, unless an app or image
    /// is asked for.
    pub(super) fn wants(&self, row: &Tracked, app: Option<&str>) -> bool {
        let of_image = row.thing == TrackedThing::Image;
        let affects = |name: &String| {
            row.affects.is_empty() || row.affects.iter().any(|it| it.environment.as_ref() == Some(name))
        };
        let is_in = |name: &String| if of_image { row.environment.as_ref() == Some(name) } else { affects(name) };
        app.is_none_or(|app| of_image && row.app == app)
            && (self.images.image.is_none() || (of_image && self.images.wants_image(&row.image)))
            && self.images.environment.as_ref().is_none_or(is_in)
            && self.wants_repository(&row.repository)
    }

    /// Leaves of the outcomes what is wanted: whole actions with a wanted update, wanted holds. Problems stay with their
    /// repository: what could not be read may be what was asked for.
    pub(super) fn keep(&self, outcomes: &mut Vec<CycleOutcome>) {
        outcomes.retain(|outcome| self.wants_repository(&outcome.repository));
        if self.images.is_empty() {
            return;
        }
        for outcome in outcomes {
            outcome.actions.retain(|action| {
                let updates = &action.action.updates;
                updates.iter().any(|update| self.wants_update(update))
                    // One without updates is about its environment.
                    || (updates.is_empty()
                        && self.images.app.is_none()
                        && self.images.image.is_none()
                        && action.action.environment == self.images.environment)
            });
            outcome.holds.retain(|hold| self.wants_update(&hold.update));
        }
    }

    fn wants_update(&self, update: &Update) -> bool {
        self.images.wants_place(&update.app, update.environment.as_deref()) && self.images.wants_image(&update.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Affected, Landing, State, Tag, UpdateId, Version};

    #[test]
    fn a_lost_cluster_is_shown_with_the_environments_that_it_holds_up() {
        let version = Version { tag: Some(Tag::parse("v1").unwrap()), digest: None };
        let landing = Landing { state: State::Unknown, rung: None, cause: None };
        let image = ImageName::parse("registry.example/acme/web").unwrap();
        let id = UpdateId::parse("0123456789abcdef").unwrap();
        let row = |thing, affects: &[&str]| {
            let affects = affects.iter().map(|name| Affected { environment: Some((*name).to_owned()), policy: None });
            let row = Tracked::new(id.clone(), "deploys", "web", image.clone(), version.clone(), landing.clone());
            Tracked { thing, affects: affects.collect(), ..row }
        };
        let in_prod = Filters {
            images: ImageFilters { environment: Some("prod".to_owned()), ..ImageFilters::default() },
            ..Filters::default()
        };
        for (row, wanted) in [
            (row(TrackedThing::Cluster, &["dev", "prod"]), true),
            (row(TrackedThing::Cluster, &["dev"]), false),
            (row(TrackedThing::Repository, &[]), true),
            (row(TrackedThing::Image, &[]), false),
        ] {
            assert_eq!(in_prod.wants(&row, None), wanted, "{row:?}");
            assert!(Filters::default().wants(&row, None));
            assert_eq!(Filters::default().wants(&row, Some("web")), row.thing == TrackedThing::Image);
        }
    }
}
