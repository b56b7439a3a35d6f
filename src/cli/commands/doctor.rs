//! `landfall doctor`: does everything in the configuration answer, and do alerts arrive?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::cluster::{Cluster, KindState, KindStatus, LeaseError, Now, Snapshot};
use crate::config::{NotifySettings, RepositorySettings, ServerSettings, Settings};
use crate::daemon::{self, Clock};
use crate::election::SELECTOR;
use crate::message;
use crate::model::{self, Digest, FailureCode, ImageName, Listing, Quota, Tag};
use crate::notify::{self, FailureKind, Pace, SinkSettings, Tested};
use crate::plan::{Answers, BRANCH_ROOT, RegistryQuery};
use crate::webhooks::SourceSettings;

use super::doctor_signatures::{self, Demanded};
use super::{CliError, Context, Exit, Output, Paint, bot, remote, settings, table};

/// How long a cluster may take to list its objects.
const LISTING: Duration = Duration::from_secs(20);

/// Arguments of `landfall doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall doctor                    repositories, forges, registries, clusters and webhooks
  landfall doctor --notify           a test message to every receiver
  landfall doctor --notify oncall    to this one only

Exit codes:
  0 everything works · 1 something failed · 2 no usable configuration · 4 something was refused")]
pub(in crate::cli) struct DoctorArgs {
    /// Send a test message to every receiver of alerts, or to the named one, instead of the other checks.
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    notify: Option<Option<String>>,
}

/// The result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Ok,
    /// Not checked, with the reason.
    Skipped,
    Failed,
    Refused,
}

#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// What was checked: repository, push, forge, registry, signatures, cluster, replicas, receiver or webhook.
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) message: String,
}

#[derive(Debug, Serialize)]
struct Report {
    checks: Vec<Check>,
}

pub(super) fn run(args: &DoctorArgs, context: &Context) -> Result<Exit, CliError> {
    let settings = settings::load(context)?.settings;
    let checks = match &args.notify {
        Some(name) => receivers(&settings, name.as_deref())?,
        None => connections(&settings)?,
    };
    let report = Report { checks };
    context.output.data(&report, |report| text(report, &context.output))?;
    let any = |status| report.checks.iter().any(|check| check.status == status);
    match (any(Status::Refused), any(Status::Failed)) {
        (true, _) => Err(CliError::new("something was refused; see above").authentication()),
        (false, true) => Ok(Exit::Negative),
        (false, false) => Ok(Exit::Done),
    }
}

fn text(report: &Report, output: &Output) -> String {
    let rows = report.checks.iter().map(|check| {
        let (paint, word) = match check.status {
            Status::Ok => (Paint::Good, "ok"),
            Status::Skipped => (Paint::Dim, "skipped"),
            Status::Failed => (Paint::Bad, "failed"),
            Status::Refused => (Paint::Bad, "refused"),
        };
        vec![output.paint(paint, word), format!("{} {}", check.kind, check.name), check.message.clone()]
    });
    table(&["STATUS", "WHAT", "MESSAGE"], rows)
}

/// Sends the test messages.
fn receivers(settings: &Settings, name: Option<&str>) -> Result<Vec<Check>, CliError> {
    let all: Vec<&str> = settings.notify.iter().map(|receiver| receiver.name.as_str()).collect();
    if all.is_empty() {
        return Err(CliError::new("no receiver is configured, so nobody would be notified")
            .hint("add one under `notify` in the configuration; config/landfall.yaml has examples"));
    }
    if let Some(name) = name.filter(|name| !all.contains(name)) {
        return Err(
            CliError::new(format!("there is no receiver `{name}`")).hint(format!("there are {}", all.join(", ")))
        );
    }
    let sinks = daemon::sinks(settings, &settings::environment())
        .map_err(|error| CliError::caused("the receivers cannot be set up", &error))?;
    let asked = |sink: &SinkSettings| name.is_none_or(|name| sink.name == name);
    let sinks: Vec<SinkSettings> = sinks.into_iter().filter(asked).collect();
    let tested = bot::block_on(async {
        Ok(notify::test(&sinks, message::alert, Clock::system().now(), Pace::default()).await)
    })?;
    Ok(tested.into_iter().map(receiver).collect())
}

fn receiver(tested: Tested) -> Check {
    let (status, message) = match tested.result {
        Ok(None) => (Status::Ok, "accepted the test message".to_owned()),
        Ok(Some(left_out)) => (Status::Failed, left_out),
        Err(failure) if failure.kind == FailureKind::Refused => (Status::Refused, failure.message),
        Err(failure) => (Status::Failed, failure.message),
    };
    Check { kind: format!("receiver ({})", tested.kind), name: tested.name, status, message }
}

/// Checks repositories, whether they may be pushed to, their forges, the registries of their images, and clusters.
fn connections(settings: &Settings) -> Result<Vec<Check>, CliError> {
    let mut checks = Vec::new();
    let mut images: BTreeMap<ImageName, Option<Tag>> = BTreeMap::new();
    let mut demanded = Demanded::new();
    for repository in &settings.repositories {
        let (status, message) = match remote::read(settings, repository) {
            Ok(read) if !read.problems.is_empty() => {
                let first = read.problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
                (Status::Failed, format!("its policies cannot be used: {first}"))
            }
            Ok(read) => {
                doctor_signatures::collect(&read.policies, &read.found.pins, &mut demanded);
                let tag = |pin: &model::Pin| pin.version.tag.clone().filter(|tag| !tag.is_range());
                images.extend(read.found.pins.iter().map(|pin| (pin.name.clone(), tag(pin))));
                let count =
                    |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
                let policies = count(read.policies.policies().len(), "policy", "policies");
                (Status::Ok, format!("{}, {policies}", count(read.found.pins.len(), "pin", "pins")))
            }
            Err(error) => failed(&error),
        };
        let readable = status == Status::Ok;
        checks.push(Check { kind: "repository".to_owned(), name: repository.name.clone(), status, message });
        checks.extend(readable.then(|| push(settings, repository)));
        checks.extend(forge(settings, repository));
    }
    checks.extend(registries(settings, &images)?);
    checks.extend(doctor_signatures::checks(settings, &demanded)?);
    checks.extend(clusters(settings)?);
    checks.extend(leases(settings)?);
    checks.extend(configured_receivers(settings));
    checks.extend(webhooks(settings));
    Ok(checks)
}

/// Whether the remote would accept a push to the branch; nothing is pushed.
fn push(settings: &Settings, repository: &RepositorySettings) -> Check {
    let (status, message) = match remote::may_push(settings, repository) {
        Ok(branch) => {
            (Status::Ok, format!("a push to {branch} would be accepted, as far as the remote says in advance"))
        }
        Err(error) => failed(&error),
    };
    Check { kind: "push".to_owned(), name: repository.name.clone(), status, message }
}

/// Each cluster, with the kinds that cannot be read and the rule that permits reading them.
fn clusters(settings: &Settings) -> Result<Vec<Check>, CliError> {
    let wanted = daemon::clusters(&settings.clusters, &settings::environment())
        .map_err(|error| CliError::caused("the clusters cannot be asked", &error))?;
    bot::block_on(async {
        let clock = Clock::system();
        let now = move || clock.now();
        let started: Vec<Cluster> =
            wanted.into_iter().map(|cluster| Cluster::start(cluster, Now::new(now.clone()))).collect();
        let mut checks = Vec::new();
        for cluster in &started {
            let _in_time = tokio::time::timeout(LISTING, cluster.listed()).await;
            checks.extend(kinds(&cluster.snapshot()));
        }
        Ok(checks)
    })
}

/// Whether the Leases of several replicas can be listed. Nothing is written: whether they may be created and renewed is only
/// seen by `landfall run`, which says so.
fn leases(settings: &Settings) -> Result<Option<Check>, CliError> {
    let sharing = daemon::sharing(settings, &settings::environment(), &Clock::system());
    let sharing = sharing.map_err(|error| CliError::caused("the Leases cannot be asked for", &error))?;
    let Some(daemon::Sharing { leases, .. }) = sharing else { return Ok(None) };
    bot::block_on(async {
        let (status, message) = match leases.list(SELECTOR, LISTING).await {
            Ok(found) => {
                let held = found.iter().filter(|lease| lease.holder.is_some()).count();
                (Status::Ok, format!("{} can be listed, of which {held} are held", found.len()))
            }
            Err(error @ LeaseError::Forbidden { .. }) => (Status::Refused, error.to_string()),
            Err(error @ LeaseError::Failed { .. }) => (Status::Failed, error.to_string()),
        };
        Ok(Some(Check { kind: "replicas".to_owned(), name: "Leases".to_owned(), status, message }))
    })
}

/// The state of a cluster's kinds: one row for those that can be read, one for those that are not installed, one for each
/// that should be readable and is not; several with one failure of the server share a row.
fn kinds(snapshot: &Snapshot) -> Vec<Check> {
    let name = snapshot.cluster.to_string();
    let check = |status, name: String, message| Check { kind: "cluster".to_owned(), name, status, message };
    let (mut readable, mut absent) = (Vec::new(), Vec::new());
    let mut lost: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut refused = Vec::new();
    for (kind, KindStatus { state, .. }) in &snapshot.kinds {
        let resource = kind.resource();
        match state {
            KindState::Synced { .. } => readable.push(resource),
            KindState::NotInstalled => absent.push(resource),
            KindState::Starting => {
                lost.entry("no answer yet: check that the API server answers").or_default().push(resource);
            }
            KindState::Disconnected { message, .. } => lost.entry(message).or_default().push(resource),
            KindState::Forbidden { verb, namespace, rule, .. } => {
                let place = namespace.as_ref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
                let message = format!(
                    "not permitted to {verb} them{place}: add this to the bot's role, as in deploy/kubernetes/rbac.yaml:\n{}",
                    rule.trim_end()
                );
                refused.push(check(Status::Refused, format!("{name} {resource}"), message));
            }
        }
    }
    let mut checks = Vec::new();
    if !readable.is_empty() {
        checks.push(check(Status::Ok, name.clone(), format!("can read:\n{}", in_lines(readable))));
    }
    if !absent.is_empty() {
        checks.push(check(Status::Skipped, name.clone(), format!("not installed:\n{}", in_lines(absent))));
    }
    let lost = lost.into_iter().map(|(why, kinds)| {
        check(Status::Failed, name.clone(), format!("{why}; unknown because of it:\n{}", in_lines(kinds)))
    });
    checks.extend(lost);
    checks.extend(refused);
    checks
}

/// How many resources of an API group are on a line.
const IN_A_LINE: usize = 4;

/// Resources, each API group on a line of its own, and the rest of a long one below it: no line outgrows a terminal.
fn in_lines(resources: Vec<String>) -> String {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in resources {
        let (plural, group) = resource.split_once('.').unwrap_or((&resource, ""));
        groups.entry(group.to_owned()).or_default().push(plural.to_owned());
    }
    let line = |(group, plurals): (String, Vec<String>)| {
        let lines: Vec<String> = plurals.chunks(IN_A_LINE).map(|some| some.join(", ")).collect();
        match group.as_str() {
            "" => lines.join(",\n  "),
            group => format!("{group}: {}", lines.join(",\n  ")),
        }
    };
    groups.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Receivers get nothing unless requested; whether their secrets can be read is known without that.
fn configured_receivers(settings: &Settings) -> Vec<Check> {
    let wrong = daemon::sinks(settings, &settings::environment()).err();
    let receiver = |sink: &NotifySettings| {
        let (status, message) = match &wrong {
            Some(error) => failed(&CliError::caused("the receivers cannot be set up", error)),
            None => (Status::Skipped, format!("`landfall doctor --notify {}` sends it a test message", sink.name)),
        };
        Check { kind: "receiver".to_owned(), name: sink.name.clone(), status, message }
    };
    settings.notify.iter().map(receiver).collect()
}

/// Whether the secret of each source of webhooks can be used, and where it takes them.
fn webhooks(settings: &Settings) -> Vec<Check> {
    let environment = settings::environment();
    let sources = settings.server.iter().flat_map(|server| server.webhooks.iter().map(move |source| (server, source)));
    let check = |(server, source): (&ServerSettings, &SourceSettings)| {
        let (status, message) = match daemon::webhook_source(source, &environment) {
            Ok(opened) => {
                (Status::Ok, format!("`landfall run` takes it at http://{}{}", server.listen, opened.address()))
            }
            Err(error) => failed(&CliError::caused("it cannot be received", &error)),
        };
        Check { kind: format!("webhook ({})", source.kind.as_str()), name: source.name.clone(), status, message }
    };
    sources.map(check).collect()
}

pub(super) fn failed(error: &CliError) -> (Status, String) {
    let status = if error.exit_code() == 4 { Status::Refused } else { Status::Failed };
    (status, error.in_one_line())
}

fn forge(settings: &Settings, repository: &RepositorySettings) -> Option<Check> {
    let environment = settings::environment();
    let name = &repository.name;
    let asked = bot::block_on(async {
        let wrong = |error: daemon::SetupError| CliError::caused("the forge cannot be asked", &error);
        let state = daemon::state_dir(settings, &environment).map_err(wrong)?;
        let opened = daemon::repository(repository, &state, &environment).await.map_err(wrong)?;
        opened.pulls().forge().doctor(BRANCH_ROOT).await.map_err(|error| {
            let refused = error.code == FailureCode::Authentication;
            let told = CliError::new(error.message);
            if refused { told.authentication() } else { told }
        })
    });
    let (status, message) = match asked {
        Ok(None) => return None,
        Ok(Some(message)) => (Status::Ok, message),
        Err(error) => failed(&error),
    };
    Some(Check { kind: "forge".to_owned(), name: name.clone(), status, message })
}

/// Queries each registry for the tags of one pinned image, and for what its written tag stands for, because only that
/// shows whether the credentials work and allow what the bot needs.
fn registries(settings: &Settings, images: &BTreeMap<ImageName, Option<Tag>>) -> Result<Vec<Check>, CliError> {
    let lookup =
        daemon::lookup(&settings.registries, &settings.clusters, None, &settings::environment(), Clock::system())
            .map_err(|error| CliError::caused("the registries cannot be asked", &error))?;
    let hosts: BTreeSet<&str> = settings.registries.hosts.iter().map(|registry| registry.host.as_str()).collect();
    let hosts: BTreeSet<&str> = hosts.into_iter().chain(images.keys().map(ImageName::registry)).collect();
    let mut checks = Vec::new();
    for host in hosts {
        let (status, mut message) = match images.iter().find(|(image, _)| image.registry() == host) {
            None => (Status::Skipped, "no image of it is pinned, so there is nothing to query".to_owned()),
            Some((image, tag)) => bot::block_on(async {
                let mut answers = Answers::default();
                let query = BTreeSet::from([RegistryQuery::Listing(image.clone())]);
                lookup.answer(&query, jiff::Timestamp::MIN, &mut answers).await;
                let (mut status, mut message) = listing(answers.listings.remove(image), image);
                if let Some(tag) = tag.clone().filter(|_| status == Status::Ok) {
                    let query = RegistryQuery::Digest(image.clone(), tag);
                    lookup.answer(&BTreeSet::from([query]), jiff::Timestamp::MIN, &mut answers).await;
                    if let Some(problem) = answers.digests.into_values().next().and_then(manifest) {
                        (status, message) = problem;
                    }
                }
                if let Some(quota) = lookup.quota(image) {
                    message = format!("{message}; {}", left(&quota));
                }
                Ok((status, message))
            })?,
        };
        let said = settings.registries.hosts.iter().find(|registry| registry.host == host);
        let own = said.and_then(|registry| registry.login.as_ref());
        if let Some(login) = own.or(settings.registries.login.as_ref()) {
            message = format!("{message} (login: {})", login.who());
        }
        checks.push(Check { kind: "registry".to_owned(), name: host.to_owned(), status, message });
    }
    Ok(checks)
}

/// What is wrong with reading a manifest. A tag that is gone is none of the credentials' doing.
fn manifest(answer: model::Answer<Digest>) -> Option<(Status, String)> {
    match answer {
        model::Answer::Known(_) | model::Answer::Absent { .. } => None,
        model::Answer::Failed { message, code: FailureCode::Authentication, .. } => {
            Some((Status::Refused, format!("its tags may be listed, but its manifests may not be read: {message}")))
        }
        model::Answer::Failed { message, .. } => Some((Status::Failed, message)),
    }
}

/// How many requests a registry still accepts.
fn left(quota: &Quota) -> String {
    let of = quota.limit.map_or(String::new(), |limit| format!(" of {limit}"));
    let minutes = |span: Duration| span.as_secs().div_ceil(60);
    let when = match (quota.reset, quota.window) {
        (Some(reset), _) => format!(", and there are more in {} min", minutes(reset)),
        (None, Some(window)) => format!(" in {} min", minutes(window)),
        (None, None) => String::new(),
    };
    format!("it accepts {}{of} more requests{when}", quota.remaining)
}

fn listing(answer: Option<model::Answer<Listing>>, image: &ImageName) -> (Status, String) {
    match answer {
        Some(model::Answer::Known(listing)) => (Status::Ok, format!("{} tags of {image}", listing.tags.len())),
        Some(model::Answer::Failed { message, code: FailureCode::Authentication, .. }) => (Status::Refused, message),
        Some(model::Answer::Absent { message } | model::Answer::Failed { message, .. }) => (Status::Failed, message),
        None => (Status::Failed, format!("there was no answer about {image}")),
    }
}
