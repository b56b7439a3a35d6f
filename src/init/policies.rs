//! The policies that are proposed: for each environment what its stage allows, or what another tool was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::files::quoted;
use super::from::Translation;
use super::layout::{EnvironmentLayout, Layout};
use super::stage::Stage;
use crate::model::{ImageName, Pin};

/// Databases and the like, by the last part of their images' names: a new major needs a migration.
const STATEFUL: &[&str] = &[
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "mongo",
    "mongodb",
    "elasticsearch",
    "opensearch",
    "cassandra",
    "kafka",
    "zookeeper",
    "etcd",
    "rabbitmq",
    "influxdb",
    "clickhouse-server",
    "couchdb",
    "neo4j",
];

/// The name of the environment of everything that is in no other: the one there is, or what several share.
pub(super) fn rest_name(layout: &Layout) -> &'static str {
    if layout.environments.is_empty() { "main" } else { "shared" }
}

pub(super) fn policies(layout: &Layout, pins: &[Pin], from: Option<&Translation>) -> String {
    let mut text = "\
# What Landfall may change where. Every policy whose paths and images match applies, in this order; a later one's fields replace
# an earlier one's. `landfall explain PATH` shows what is in force for a file, and which line says so.
policies:
"
    .to_owned();
    let owner = if from.is_some() { Owner::Translated } else { Owner::Stage };
    rest(&mut text, layout, owner);
    let mut before: Option<&EnvironmentLayout> = None;
    for environment in &layout.environments {
        policy(&mut text, environment, before, owner);
        before = Some(environment);
    }
    match from {
        Some(from) => translated(&mut text, from),
        None => stateful(&mut text, pins),
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// What says how an environment is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The stage of the environment.
    Stage,
    /// What another tool was told, in policies that follow.
    Translated,
}

/// The policies of another tool, which say what is written.
fn translated(text: &mut String, from: &Translation) {
    _ = writeln!(text, "  # Translated from {}; only what these policies select is written.", from.tool);
    for policy in &from.policies {
        _ = write!(text, "  # {}\n  - name: {}\n    paths:\n", one_line(&policy.origin), quoted(&policy.name));
        for path in &policy.paths {
            _ = writeln!(text, "      - {}", quoted(path));
        }
        if !policy.images.is_empty() {
            text.push_str("    images:\n");
            for image in &policy.images {
                _ = writeln!(text, "      - {}", quoted(image));
            }
        }
        for (key, value) in &policy.fields {
            _ = writeln!(text, "    {key}: {value}");
        }
        text.push('\n');
    }
}

/// A text for a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn rest(text: &mut String, layout: &Layout, owner: Owner) {
    if layout.rest == 0 && !layout.environments.is_empty() {
        return;
    }
    let name = rest_name(layout);
    if owner == Owner::Translated {
        _ = write!(text, "  - name: {name}\n    paths: [\"**\"]\n    environment: {name}\n    write: never\n\n");
        return;
    }
    let why = if layout.environments.is_empty() {
        "Everything is one environment; people merge what changes there."
    } else {
        "What environments share, such as bases: it changes all of them at once, so people merge it."
    };
    _ = write!(
        text,
        "  # {why}\n  - name: {name}\n    paths: [\"**\"]\n    environment: {name}\n    write: pull-request\n    pullRequest: {{ group: \"{{app}}\" }}\n\n"
    );
}

fn policy(text: &mut String, environment: &EnvironmentLayout, before: Option<&EnvironmentLayout>, owner: Owner) {
    let EnvironmentLayout { name, stage, patterns, .. } = environment;
    let why = match stage {
        _ if owner == Owner::Translated => "Where it lives; the policies below say how it is written.",
        Stage::Development => "Follows new versions at once.",
        Stage::Test => "Follows new versions at once, too.",
        Stage::Staging => "Changes by pull request.",
        Stage::Production => "Changes only by a pull request that people merge.",
    };
    let name = quoted(name);
    _ = write!(text, "  # {why}\n  - name: {name}\n    environment: {name}\n    paths:\n");
    for pattern in patterns {
        _ = writeln!(text, "      - {}", quoted(pattern));
    }
    match stage {
        _ if owner == Owner::Translated => {
            text.push_str("    write: never\n    pullRequest: { group: \"{app}\" }\n");
        }
        Stage::Development | Stage::Test => text.push_str("    write: commit\n"),
        Stage::Staging | Stage::Production => {
            text.push_str("    write: pull-request\n    pullRequest: { group: \"{app}\" }\n");
        }
    }
    if let (Stage::Staging | Stage::Production, Some(before)) = (stage, before) {
        _ = write!(
            text,
            "    # Take only what has run well in the environment before for a day (it needs `clusters` in landfall.yaml):\n    # promoteFrom: {{ environment: {}, soakTime: 1d }}\n",
            quoted(&before.name)
        );
    }
    text.push('\n');
}

/// Databases stay in their major where the tags say which that is, and are left alone where they do not.
fn stateful(text: &mut String, pins: &[Pin]) {
    let mut images: BTreeMap<&ImageName, BTreeSet<Option<u64>>> = BTreeMap::new();
    for pin in pins {
        let last = pin.name.repository().rsplit('/').next().unwrap_or_default();
        if STATEFUL.contains(&last) {
            images.entry(&pin.name).or_default().insert(pin.version.tag.as_ref().and_then(|tag| major(tag.as_str())));
        }
    }
    if images.is_empty() {
        return;
    }
    text.push_str("  # A new major version of these needs a migration, so people upgrade it.\n");
    for (image, majors) in images {
        let label: String =
            image.repository().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let label: String = label.chars().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
        let what = match (majors.len(), majors.first()) {
            (1, Some(Some(major))) => format!("tags: {{ semver: \"^{major}\" }}"),
            _ => "write: never # Its tags do not show major versions.".to_owned(),
        };
        _ = write!(
            text,
            "  - name: {}\n    paths: [\"**\"]\n    images: [{}]\n    {what}\n",
            quoted(&format!("major-{}", label.trim_start_matches('-'))),
            quoted(&image.to_string()),
        );
    }
}

/// The major of a tag that is a whole semantic version.
fn major(tag: &str) -> Option<u64> {
    let numbers: Vec<&str> = tag.strip_prefix('v').unwrap_or(tag).split('.').collect();
    let plain = numbers.len() == 3
        && numbers.iter().all(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
    if plain { numbers.first()?.parse().ok() } else { None }
}
