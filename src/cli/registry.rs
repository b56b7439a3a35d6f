//! Queries a registry for the tags of one image, for `landfall tags IMAGE`.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;

use crate::config;
use crate::daemon::{self, Clock};
use crate::model::{Answer, FailureCode, ImageName, ImageReference};
use crate::plan::{Answers, RegistryQuery};
use crate::select::{TagPolicy, needs_created};

use super::{CliError, Context, bot, settings};

/// An image as given on the command line.
pub(super) fn reference(image: &str) -> Result<ImageReference, CliError> {
    ImageReference::parse_any(image).map_err(|error| CliError::caused("IMAGE is not an image reference", &error))
}

/// Every tag that the registry lists, with its creation time if the policy orders by it. The registry is queried with
/// the credentials and certificates of the configuration, if there is one.
pub(super) fn ask(
    image: &str,
    policy: &TagPolicy,
    context: &Context,
) -> Result<Vec<(String, Option<Timestamp>)>, CliError> {
    let name = reference(image)?.name;
    let (registries, clusters) = match context.config.is_some() || config::default_path(Path::new("")).is_some() {
        true => settings::load(context).map(|loaded| (loaded.settings.registries, loaded.settings.clusters))?,
        false => Default::default(),
    };
    let lookup = daemon::lookup(&registries, &clusters, None, &settings::environment(), Clock::system())
        .map_err(|error| CliError::caused("the registry cannot be asked", &error))?;
    bot::block_on(async {
        let since = Timestamp::MIN;
        let mut answers = Answers::default();
        lookup.answer(&BTreeSet::from([RegistryQuery::Listing(name.clone())]), since, &mut answers).await;
        let listing = known(answers.listings.remove(&name), &name)?;
        // Who asks by hand waits as long as it takes.
        let wanted = needs_created(policy, listing.tags.iter(), &|| false).unwrap_or_default().into_iter();
        let queries: BTreeSet<RegistryQuery> =
            wanted.map(|tag| RegistryQuery::Created(name.clone(), tag.to_tag())).collect();
        lookup.answer(&queries, since, &mut answers).await;
        let mut listed = Vec::with_capacity(listing.tags.len());
        for tag in listing.tags.iter() {
            let created = match answers.created.remove(&(name.clone(), tag.to_tag())) {
                None | Some(Answer::Absent { .. }) => None,
                asked @ Some(_) => known(asked, &name)?,
            };
            listed.push((tag.to_string(), created));
        }
        Ok(listed)
    })
}

fn known<T>(fact: Option<Answer<T>>, name: &ImageName) -> Result<T, CliError> {
    match fact {
        Some(Answer::Known(value)) => Ok(value),
        Some(Answer::Absent { message }) => Err(CliError::new(message)),
        Some(Answer::Failed { message, code: FailureCode::Authentication, .. }) => {
            Err(CliError::new(message).authentication())
        }
        Some(Answer::Failed { message, .. }) => Err(CliError::new(message)),
        None => Err(CliError::new(format!("there was no answer about {name}"))),
    }
}
