//! The filters that commands share: `--app`, `-e`, `--image`, `--repository`.

use crate::daemon::CycleOutcome;
use crate::model::{ImageName, Tracked, TrackedThing};
use crate::plan::Update;

/// What of everything is shown.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filters {
    /// Only this app.
    #[arg(id = "only_app", long = "app", value_name = "APP")]
    pub(super) app: Option<String>,
    /// Only this environment.
    #[arg(short, long, value_name = "ENV")]
    pub(super) environment: Option<String>,
    /// Only this image: its name, or the last part of it.
    #[arg(long, value_name = "IMAGE")]
    pub(super) image: Option<String>,
    /// Only this repository of the configuration.
    #[arg(long, value_name = "NAME")]
    pub(super) repository: Option<String>,
}

impl Filters {
    /// The same for an app that was given as an argument.
    pub(super) fn or_app<'a>(&'a self, app: Option<&'a String>) -> Option<&'a str> {
        app.or(self.app.as_ref()).map(String::as_str)
    }

    /// Whether a row is wanted. A repository or cluster as a whole is, unless an app or image is asked for.
    pub(super) fn wants(&self, row: &Tracked, app: Option<&str>) -> bool {
        let of_image = row.thing == TrackedThing::Image;
        app.is_none_or(|app| of_image && row.app == app)
            && self.image.as_ref().is_none_or(|image| of_image && row.image.is_called(image))
            && self.environment.as_ref().is_none_or(|name| row.environment.as_ref() == Some(name))
            && self.repository.as_ref().is_none_or(|name| row.repository == *name)
    }

    /// Whether an image of a repository is wanted.
    pub(super) fn wants_image(&self, name: &ImageName) -> bool {
        self.image.as_ref().is_none_or(|image| name.is_called(image))
    }

    /// Leaves of the outcomes what is wanted: whole actions with a wanted update, wanted holds. Problems stay with their
    /// repository: what could not be read may be what was asked for.
    pub(super) fn keep(&self, outcomes: &mut Vec<CycleOutcome>) {
        outcomes.retain(|outcome| self.repository.as_ref().is_none_or(|name| outcome.repository == *name));
        if self.app.is_none() && self.environment.is_none() && self.image.is_none() {
            return;
        }
        for outcome in outcomes {
            outcome.actions.retain(|action| {
                let updates = &action.action.updates;
                updates.iter().any(|update| self.wants_update(update))
                    // One without updates is about its environment.
                    || (updates.is_empty()
                        && self.app.is_none()
                        && self.image.is_none()
                        && action.action.environment == self.environment)
            });
            outcome.holds.retain(|hold| self.wants_update(&hold.update));
        }
    }

    fn wants_update(&self, update: &Update) -> bool {
        self.app.as_ref().is_none_or(|app| update.app == *app)
            && self.environment.as_ref().is_none_or(|name| update.environment.as_ref() == Some(name))
            && self.wants_image(&update.name)
    }
}
