//! What `landfall doctor` says of signatures: can the trusted root be used, and is what is declared signed as the policies demand?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::Settings;
use crate::daemon::{self, Clock, Lookup};
use crate::model::{Answer, Digest, FailureCode, ImageName, Pin, SignatureVerdict, Verification, Version};
use crate::plan::{Answers, RegistryQuery};
use crate::policy::{PolicySet, Write};

use super::doctor::{Check, Status, failed};
use super::{CliError, bot, settings};

/// How many declared images are looked at: each costs a registry a few requests.
const MOST: usize = 20;

/// The images whose signatures are demanded, with what is declared and what is demanded.
pub(super) type Demanded = BTreeMap<(ImageName, Version), BTreeSet<Arc<Verification>>>;

/// Adds what the policies of a repository demand of what it declares.
pub(super) fn collect(policies: &PolicySet, pins: &[Pin], demanded: &mut Demanded) {
    for pin in pins {
        let effective = policies.effective(&pin.path, &pin.name);
        if effective.write == Write::Never || pin.version.is_range() {
            continue;
        }
        let demands: Vec<Arc<Verification>> =
            effective.fields.verifications().map(|demand| Arc::clone(&demand.value)).collect();
        if !demands.is_empty() {
            demanded.entry((pin.name.clone(), pin.version.clone())).or_default().extend(demands);
        }
    }
}

/// The checks; none where nothing is said of signatures.
pub(super) fn checks(settings: &Settings, demanded: &Demanded) -> Result<Vec<Check>, CliError> {
    if demanded.is_empty() && settings.trusted_root.is_none() {
        return Ok(Vec::new());
    }
    let check =
        |name: &str, status, message| Check { kind: "signatures".to_owned(), name: name.to_owned(), status, message };
    let root = match daemon::trusted_root(settings) {
        Ok(root) => root,
        Err(error) => {
            let (status, message) = failed(&CliError::caused("keyless signatures cannot be verified", &error));
            return Ok(vec![check("trusted root", status, message)]);
        }
    };
    let whose = match &settings.trusted_root {
        Some(path) => path.display().to_string(),
        None => "Sigstore's public instance, as this version knows it".to_owned(),
    };
    let mut checks = vec![check("trusted root", Status::Ok, whose)];
    let lookup =
        daemon::lookup(&settings.registries, &settings.clusters, None, &settings::environment(), Clock::system())
            .map_err(|error| CliError::caused("the registries cannot be asked", &error))?
            .trusting(root);
    bot::block_on(async {
        for ((name, version), demands) in demanded.iter().take(MOST) {
            let (status, message) = declared(&lookup, (name, version), demands).await;
            checks.push(check(&format!("{name}:{version}"), status, message));
        }
        Ok(())
    })?;
    if let Some(more) = demanded.len().checked_sub(MOST).filter(|more| *more > 0) {
        checks.push(check("others", Status::Skipped, format!("{more} more declared images were not looked at")));
    }
    Ok(checks)
}

/// Whether a declared version is signed as demanded. That it is not says nothing against what is declared, which may be older than the
/// policy; but the next one is held if it is like this one.
async fn declared(
    lookup: &Lookup,
    (name, version): (&ImageName, &Version),
    demands: &BTreeSet<Arc<Verification>>,
) -> (Status, String) {
    let digest = match digest(lookup, name, version).await {
        Ok(digest) => digest,
        Err(wrong) => return wrong,
    };
    let query =
        |demand: &Arc<Verification>| RegistryQuery::Signatures(name.clone(), digest.clone(), Arc::clone(demand));
    let queries: BTreeSet<RegistryQuery> = demands.iter().map(query).collect();
    let mut answers = Answers::default();
    lookup.answer(&queries, jiff::Timestamp::MIN, &mut answers).await;
    let mut proofs = Vec::new();
    for answer in answers.signatures.into_values() {
        match answer {
            Answer::Known(SignatureVerdict::Verified(evidence)) => {
                proofs.extend(evidence.proofs.iter().map(ToString::to_string));
            }
            Answer::Known(SignatureVerdict::Refused { reason }) => {
                return (Status::Failed, format!("what is declared would not be written today: {reason}"));
            }
            other => return unknown(other),
        }
    }
    (Status::Ok, proofs.join("; "))
}

async fn digest(lookup: &Lookup, name: &ImageName, version: &Version) -> Result<Digest, (Status, String)> {
    match (&version.digest, &version.tag) {
        (Some(digest), _) => Ok(digest.clone()),
        (None, None) => Err((Status::Skipped, "no version is declared".to_owned())),
        (None, Some(tag)) => {
            let key = (name.clone(), tag.clone());
            match lookup.resolve_now(&BTreeSet::from([key.clone()])).await.remove(&key) {
                Some(Answer::Known(digest)) => Ok(digest),
                Some(other) => Err(unknown(other)),
                None => Err((Status::Failed, "there was no answer".to_owned())),
            }
        }
    }
}

fn unknown<T>(answer: Answer<T>) -> (Status, String) {
    match answer {
        Answer::Failed { message, code: FailureCode::Authentication, .. } => (Status::Refused, message),
        Answer::Absent { message } | Answer::Failed { message, .. } => (Status::Failed, message),
        Answer::Known(_) => (Status::Ok, String::new()),
    }
}
