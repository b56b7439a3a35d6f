//! From policy files to policies.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::model::BranchName;
use crate::policy::{
    CURRENT, Enough, Fields, GroupTemplate, ImagePattern, PathPattern, Policy, PolicySet, PromoteFrom,
    PullRequestFields, Rate, Require, Rollback, Schedule, SourceLocation, Sourced, Window, WindowKind, Write,
};
use crate::select::{Filter, IgnoreGlob, Order, SelectError, TagPolicy, VersionRange};

use super::at::At;
use super::decode::decode;
use super::diagnostic::Diagnostic;
use super::fault::{Mark, Sink};
use super::raw_policy as raw;
use super::{value, yaml};

mod key_paths;
mod pull_request;
mod starving;
mod verify;

pub(super) use verify::verify;

/// Maximum number of policies in one file, and of paths or images in one policy.
const MAX_ENTRIES: usize = 1_000;
/// Maximum number of policies in one repository, and of policies with a filter: each is kept compiled.
const MAX_POLICIES: usize = 4_000;
const MAX_FILTERS: usize = 1_000;
/// Maximum size of all patterns in one repository's policies. Anybody with write access to the repository may write these.
const MAX_PATTERNS: usize = 64 << 10;
/// As how many bytes a pattern counts at least: each is compared with each file, and a glob of images takes thousands once compiled.
const LEAST_PATH: usize = 16;
const LEAST_GLOB: usize = 32;

/// Parses the text of one policy file; `file_name` is its name in diagnostics and origins.
///
/// # Errors
/// Everything that is wrong with the file, in its order.
pub fn parse_policies(file_name: &str, text: &str) -> Result<Vec<Policy>, Vec<Diagnostic>> {
    let mut sink = Sink::new(file_name);
    let policies = match yaml::parse(text) {
        Ok(root) => {
            let (file, faults) = decode::<raw::PolicyFile>(&root);
            sink.shape(faults);
            file.map(|file| build(&file, &mut sink)).unwrap_or_default()
        }
        Err(fault) => {
            sink.fault(fault);
            Vec::new()
        }
    };
    let diagnostics = sink.finish();
    if diagnostics.is_empty() { Ok(policies) } else { Err(diagnostics) }
}

/// Parses several policy files, given in layering order. Returns all usable policies and all errors, including those
/// across files.
#[must_use]
pub fn parse_policy_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Vec<Policy>, Vec<Diagnostic>) {
    let mut policies: Vec<Policy> = Vec::new();
    let mut diagnostics = Vec::new();
    let (mut patterns, mut filters, mut texts) = (0, 0, 0);
    for (name, text) in files {
        match parse_policies(name, text) {
            Ok(more) => {
                patterns += more.iter().map(pattern_bytes).sum::<usize>();
                texts += more.iter().map(key_paths::patterns).sum::<usize>();
                filters += more.iter().filter(|policy| has_filter(policy)).count();
                let refused = match () {
                    () if patterns > MAX_PATTERNS => Some(too_many_patterns()),
                    () if filters > MAX_FILTERS => Some(format!("more than {MAX_FILTERS} filters")),
                    () if texts > key_paths::MAX_PATTERNS => {
                        Some(format!("more than {} key paths with a `pattern`", key_paths::MAX_PATTERNS))
                    }
                    () if policies.len() + more.len() > MAX_POLICIES => {
                        Some(format!("more than {MAX_POLICIES} entries"))
                    }
                    () => None,
                };
                if let Some(refused) = refused {
                    let origin = SourceLocation { file: name.to_owned(), line: 1, column: 1 };
                    let message = format!("with this file, the policies have {refused}");
                    diagnostics.push(Diagnostic::error(&origin, message));
                    break;
                }
                policies.extend(more);
            }
            Err(more) => diagnostics.extend(more),
        }
    }
    let mut seen: BTreeMap<&str, &Sourced<String>> = BTreeMap::new();
    for policy in &policies {
        if let Some(first) = seen.insert(&policy.name.value, &policy.name)
            && first.origin.file != policy.name.origin.file
        {
            let message = format!("another policy is named `{}`, at {}", policy.name.value, first.origin);
            diagnostics
                .push(Diagnostic::error(&policy.name.origin, message).with_hint("give one of them another name"));
        }
    }
    (policies, diagnostics)
}

/// Warnings about policies that are valid but may not be intended, or that this version does not support yet.
#[must_use]
pub fn policy_warnings(set: &PolicySet) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    if !set.policies().is_empty() && set.policies().iter().all(|policy| policy.fields.write.is_none()) {
        let origin = &set.policies()[0].origin;
        let message = "no policy sets `write`, so nothing is ever written";
        warnings.push(Diagnostic::warning(origin, message).with_hint("add `write: commit` or `write: pull-request`"));
    }
    warnings.extend(starving::warnings(set));
    warnings.extend(verify::warnings(set));
    warnings
}

fn has_filter(policy: &Policy) -> bool {
    policy.fields.tags.as_ref().is_some_and(|tags| tags.value.filter.is_some())
}

fn pattern_bytes(policy: &Policy) -> usize {
    let paths = policy.paths.iter().map(|pattern| pattern.as_str().len().max(LEAST_PATH));
    let tags = policy.fields.tags.as_ref().map(|tags| &tags.value);
    let ignore = tags.map_or(0, |tags| tags.ignore.iter().map(|glob| glob.as_str().len().max(LEAST_GLOB)).sum());
    let images = policy.images.iter().map(|pattern| pattern.as_str().len().max(LEAST_GLOB));
    paths.chain(images).chain([ignore, key_paths::bytes(policy)]).sum()
}

fn too_many_patterns() -> String {
    format!(
        "more than {} KiB of paths and images (each counts as {LEAST_PATH} bytes, and each image as {LEAST_GLOB}, at least); next: write \
         fewer patterns that match more, such as `apps/{{app}}/**`",
        MAX_PATTERNS / 1024
    )
}

fn raw_pattern_bytes(policy: &raw::Policy) -> usize {
    let counted =
        |all: &[At<String>], least: usize| all.iter().map(|pattern| pattern.value.len().max(least)).sum::<usize>();
    let images = policy.images.iter().map(|images| counted(&images.value, LEAST_GLOB));
    counted(&policy.paths.value, LEAST_PATH) + images.sum::<usize>()
}

fn build(file: &raw::PolicyFile, sink: &mut Sink<'_>) -> Vec<Policy> {
    if file.policies.is_empty() {
        sink.absent(Mark::START, "the file has no policies");
    }
    if file.policies.len() > MAX_ENTRIES {
        sink.error(Mark::START, format!("the file has more than {MAX_ENTRIES} policies"));
        return Vec::new();
    }
    if file.policies.iter().map(|at| raw_pattern_bytes(&at.value)).sum::<usize>() > MAX_PATTERNS {
        sink.error(Mark::START, format!("the file has {}", too_many_patterns()));
        return Vec::new();
    }
    let mut names: BTreeMap<&str, Mark> = BTreeMap::new();
    let mut policies = Vec::new();
    for at in &file.policies {
        let name = &at.value.name;
        if let Some(first) = names.insert(&name.value, name.mark) {
            let message = format!("another policy is named `{}`, in line {}", name.value, first.line);
            sink.error_with_hint(name.mark, message, "give one of them another name");
        }
        policies.extend(policy(at, sink));
    }
    policies
}

fn policy(at: &At<raw::Policy>, sink: &mut Sink<'_>) -> Option<Policy> {
    let raw = &at.value;
    let name = sink.read(&raw.name, |name| value::name(name));
    let paths = list(&raw.paths, sink, PathPattern::parse);
    let images = raw.images.as_ref().map(|images| list(images, sink, ImagePattern::parse)).unwrap_or_default();
    let key_paths = key_paths::key_paths(raw, &paths, sink);
    let fields = fields(raw, &paths, sink);
    Some(Policy { name: name?, paths, images, key_paths, fields, origin: sink.origin(at.mark) })
}

/// A list that must not be empty; errors of `parse` are collected.
fn list<T, E: std::fmt::Display>(
    at: &At<Vec<At<String>>>,
    sink: &mut Sink<'_>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Vec<T> {
    if at.value.is_empty() {
        sink.error_with_hint(at.mark, "the list is empty", "add an entry, or remove the key if it is optional");
    }
    if at.value.len() > MAX_ENTRIES {
        sink.error(at.mark, format!("the list has more than {MAX_ENTRIES} entries"));
        return Vec::new();
    }
    at.value.iter().filter_map(|entry| sink.read(entry, |text| parse(text))).map(|sourced| sourced.value).collect()
}

fn fields(raw: &raw::Policy, paths: &[PathPattern], sink: &mut Sink<'_>) -> Fields {
    // Paths that were refused have unknown captures; errors about those would only confuse.
    let complete = paths.len() == raw.paths.value.len() && !paths.is_empty();
    let first = paths.first().map(PathPattern::captures).unwrap_or_default();
    let everywhere = |name: &&str| paths.iter().all(|path| path.captures().iter().any(|c| c == *name));
    let captures: Vec<&str> = first.iter().map(String::as_str).filter(everywhere).collect();
    let group = |at: Option<&At<String>>, sink: &mut Sink<'_>| {
        let at = at.filter(|_| complete)?;
        sink.read(at, |text| GroupTemplate::parse(text, &captures))
    };
    let commit_group = group(raw.group.as_ref(), sink);
    let pull_request = match raw.pull_request.as_ref().map(|at| &at.value) {
        None => PullRequestFields::default(),
        Some(raw) => {
            let group = group(raw.group.as_ref(), sink);
            pull_request::fields(raw, group, sink)
        }
    };
    let environment = raw.environment.as_ref().filter(|_| complete);
    let tags = raw.tags.as_ref().map(|at| tags(at, sink));
    let (tags, platforms) = tags.unwrap_or_default();
    Fields {
        environment: sink.read_opt(environment, |text| environment_template(text, &captures)),
        write: sink.keep(raw.write.as_ref()),
        branch: sink.read_opt(raw.branch.as_ref(), |text| BranchName::parse(text)),
        tags,
        platforms,
        adopt: sink.keep(raw.adopt.as_ref()),
        pin: sink.keep(raw.pin.as_ref()),
        ranges: sink.keep(raw.ranges.as_ref()),
        group: commit_group,
        land_within: sink.read_opt(raw.land_within.as_ref(), |text| value::duration(text)),
        review_within: sink.read_opt(raw.review_within.as_ref(), |text| value::duration(text)),
        pull_request,
        minimum_release_age: sink.read_opt(raw.minimum_release_age.as_ref(), |text| value::duration(text)),
        windows: raw.windows.as_ref().map(|at| windows(at, sink)),
        cap_windows: Vec::new(),
        promote_from: raw.promote_from.as_ref().and_then(|at| promote_from(at, sink)),
        rate: raw.rate.as_ref().and_then(|at| rate(at, sink)),
        debounce: sink.read_opt(raw.debounce.as_ref(), |text| value::duration(text)),
        resume: sink.keep(raw.resume.as_ref()),
        rollback: raw.rollback.as_ref().and_then(|at| rollback(at, sink)),
        on_retag: sink.keep(raw.on_retag.as_ref()),
        verify: raw.verify.as_ref().and_then(|at| verify(at, sink)),
        cap_verify: Vec::new(),
    }
}

/// An environment is a name, possibly with captures that every path of the policy has.
fn environment_template(text: &str, captures: &[&str]) -> Result<String, String> {
    let names =
        crate::policy::template_names(text).map_err(|reason| format!("`{text}` is not an environment: {reason}"))?;
    let mut sample = text.to_owned();
    for name in names {
        if !captures.contains(&name.as_str()) {
            return Err(format!("`{{{name}}}` is not captured by every one of this policy's `paths`"));
        }
        sample = sample.replace(&format!("{{{name}}}"), "x");
    }
    value::name(&sample)?;
    Ok(text.to_owned())
}

pub(super) fn windows(at: &At<Vec<At<raw::Window>>>, sink: &mut Sink<'_>) -> Sourced<Vec<Window>> {
    if at.value.is_empty() {
        sink.error_with_hint(
            at.mark,
            "the list is empty",
            "without windows updates are written at any time: remove the key",
        );
    }
    let windows = window_list(&at.value, sink);
    Sourced { value: windows, origin: sink.origin(at.mark) }
}

/// Recurring windows, of policies and of receivers to be muted.
pub(super) fn window_list(windows: &[At<raw::Window>], sink: &mut Sink<'_>) -> Vec<Window> {
    let mut list = Vec::new();
    for window in windows {
        let raw = &window.value;
        let zone = match &raw.time_zone {
            None => Some(TimeZone::UTC),
            Some(at) => sink.read(at, |text| value::time_zone(text)).map(|zone| zone.value),
        };
        let opens = zone.and_then(|zone| sink.read(&raw.cron, |text| Schedule::parse(text, zone)));
        let duration = sink.read(&raw.duration, |text| value::duration(text));
        let kind = raw.kind.as_ref().map_or(WindowKind::Allow, |at| at.value);
        if let (Some(opens), Some(duration)) = (opens, duration) {
            list.push(Window { kind, opens: opens.value, duration: duration.value });
        }
    }
    list
}

pub(super) fn promote_from(at: &At<raw::PromoteFrom>, sink: &mut Sink<'_>) -> Option<Sourced<PromoteFrom>> {
    let raw = &at.value;
    let one = raw.environment.as_ref().and_then(|at| sink.read(at, |text| value::name(text)));
    let several = raw.environments.as_ref().map(|at| list(at, sink, value::name)).unwrap_or_default();
    match (&raw.environment, &raw.environments) {
        (Some(_), Some(second)) => {
            sink.error_with_hint(second.mark, "`environment` and `environments` are both set", "keep one of them");
        }
        (None, None) => sink.error_with_hint(
            at.mark,
            "the upstream environment is missing",
            "add `environment: NAME`, or `environments: [NAME, …]`",
        ),
        _ => {}
    }
    let mut environments: Vec<String> = one.map(|name| name.value).into_iter().chain(several).collect();
    let mut seen = std::collections::BTreeSet::new();
    environments.retain(|name| seen.insert(name.clone()));
    let mut span = |at: Option<&At<String>>| match at {
        None => Some(std::time::Duration::ZERO),
        Some(at) => sink.read(at, |text| value::duration(text)).map(|span| span.value),
    };
    let (soak_time, after_soak_time) = (span(raw.soak_time.as_ref()), span(raw.after_soak_time.as_ref()));
    let after = raw.after.as_ref().map(|at| list(at, sink, value::name)).unwrap_or_default();
    let checks = raw.checks.as_ref().map(|at| list(at, sink, value::line)).unwrap_or_default();
    let value = PromoteFrom {
        environments,
        of: raw.of.as_ref().map_or(Enough::All, |at| at.value),
        soak_time: soak_time?,
        require: raw.require.as_ref().map_or(Require::Landed, |at| at.value),
        after,
        after_soak_time: after_soak_time?,
        checks,
    };
    (!value.environments.is_empty()).then(|| Sourced { value, origin: sink.origin(at.mark) })
}

fn rate(at: &At<raw::Rate>, sink: &mut Sink<'_>) -> Option<Sourced<Rate>> {
    let per = sink.read(&at.value.per, |text| value::duration(text))?;
    let updates = at.value.updates.value;
    if updates == 0 {
        let hint = "write `write: never` to stop all updates";
        sink.error_with_hint(at.value.updates.mark, "with 0 nothing would ever be written", hint);
        return None;
    }
    Some(Sourced { value: Rate { updates, per: per.value }, origin: sink.origin(at.mark) })
}

/// A platform, or the word for those of the current image.
fn platform(text: &str) -> Result<String, String> {
    if text == CURRENT { Ok(text.to_owned()) } else { value::platform(text) }
}

fn rollback(at: &At<raw::Rollback>, sink: &mut Sink<'_>) -> Option<Sourced<Rollback>> {
    let after = sink.read(&at.value.after, |text| value::duration(text));
    let write = at.value.write.as_ref().map(|at| (at.value, at.mark));
    if let Some((Write::Never, mark)) = write {
        let message = "a rollback is written as `commit` or `pull-request`";
        sink.error_with_hint(mark, message, "without a rollback, remove the whole key");
    }
    let value = Rollback { after: after?.value, write: write.map(|(write, _)| write) };
    Some(Sourced { value, origin: sink.origin(at.mark) })
}

type Tags = (Option<Sourced<TagPolicy>>, Option<Sourced<Vec<String>>>);

fn tags(at: &At<raw::Tags>, sink: &mut Sink<'_>) -> Tags {
    let raw = &at.value;
    let order = order(at, sink);
    if let (Some(extract), None) = (&raw.extract, &raw.filter) {
        let message = "`extract` takes its text from the groups of `filter`, which is missing";
        sink.error_with_hint(extract.mark, message, "add `filter` with a group, such as ^v?(?P<version>.+)$");
    }
    let filter = raw.filter.as_ref().and_then(|filter| {
        let alone = select(filter, sink, |text| Filter::new(text, None))?;
        match &raw.extract {
            None => Some(alone),
            // The filter alone is valid, so any error now is in the template.
            Some(extract) => select(extract, sink, |text| Filter::new(&filter.value, Some(text))),
        }
    });
    let ignore = raw.ignore.iter().filter_map(|glob| select(glob, sink, IgnoreGlob::new)).collect();
    let platforms =
        raw.platforms.as_ref().map(|at| Sourced { value: list(at, sink, platform), origin: sink.origin(at.mark) });
    let tags = order.map(|order| {
        let value = TagPolicy { filter, ignore, prereleases: raw.prereleases, ..TagPolicy::new(order) };
        Sourced { value, origin: sink.origin(at.mark) }
    });
    (tags, platforms)
}

/// The one order that the block sets. `None` if it sets several, or one that is invalid.
fn order(at: &At<raw::Tags>, sink: &mut Sink<'_>) -> Option<Order> {
    let raw = &at.value;
    let mut asked: Vec<(&str, Mark, Option<Order>)> = Vec::new();
    if let Some(semver) = &raw.semver {
        asked.push(("semver", semver.mark, select(semver, sink, VersionRange::parse).map(Order::Semver)));
    }
    if let Some(at) = &raw.alphabetical {
        asked.push(("alphabetical", at.mark, Some(Order::Alphabetical(at.value))));
    }
    if let Some(at) = &raw.numerical {
        asked.push(("numerical", at.mark, Some(Order::Numerical(at.value))));
    }
    for (name, flag, order) in
        [("newestBuild", &raw.newest_build, Order::NewestBuild), ("digest", &raw.digest, Order::Digest)]
    {
        match flag {
            Some(flag) if flag.value => asked.push((name, flag.mark, Some(order))),
            Some(flag) => sink.error(flag.mark, format!("`{name}` must be `true` or absent")),
            None => {}
        }
    }
    if let [(first, ..), others @ ..] = asked.as_slice()
        && !others.is_empty()
    {
        for (name, mark, _) in others {
            let message = format!("`{name}` and `{first}` are both set, but tags have only one order");
            sink.error_with_hint(*mark, message, "keep one of semver, alphabetical, numerical, newestBuild and digest");
        }
        return None;
    }
    asked.pop().map_or(Some(Order::Shape), |(_, _, order)| order)
}

/// Parses a value with `select`; if its error has an offset, the diagnostic points there.
fn select<T>(at: &At<String>, sink: &mut Sink<'_>, parse: impl FnOnce(&str) -> Result<T, SelectError>) -> Option<T> {
    match parse(&at.value) {
        Ok(value) => Some(value),
        Err(error) => {
            sink.error(at.mark.inside(&at.value, error.offset), error.message);
            None
        }
    }
}
