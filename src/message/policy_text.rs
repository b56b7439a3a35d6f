//! A policy in force as text: each field in the notation of policy files, with the place that sets it.

use std::time::Duration;

use crate::model::Verification;
use crate::policy::{Fields, PromoteFrom, Rollback, SourceLocation, Sourced, Window, WindowKind};
use crate::select::{Direction, Order, TagPolicy};

/// A field of a policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFieldText<'a> {
    /// The field's name, as in policy files; parts of a mapping are joined by dots.
    pub name: &'static str,
    /// What it is set to.
    pub value: String,
    /// Where.
    pub origin: &'a SourceLocation,
}

/// The fields of a policy in force that are set, in a fixed order.
#[must_use]
pub fn policy_fields<'a>(fields: &'a Fields) -> Vec<PolicyFieldText<'a>> {
    let mut rows = Vec::new();
    let mut row = |name: &'static str, value: Option<(String, &'a SourceLocation)>| {
        rows.extend(value.map(|(value, origin)| PolicyFieldText { name, value, origin }));
    };
    row("environment", shown(fields.environment.as_ref(), String::clone));
    row("write", shown(fields.write.as_ref(), ToString::to_string));
    row("branch", shown(fields.branch.as_ref(), ToString::to_string));
    row("tags", shown(fields.tags.as_ref(), tags));
    row("tags.platforms", shown(fields.platforms.as_ref(), |platforms| platforms.join(", ")));
    row("adopt", shown(fields.adopt.as_ref(), ToString::to_string));
    row("pin", shown(fields.pin.as_ref(), |pin| pin.as_str().to_owned()));
    row("ranges", shown(fields.ranges.as_ref(), |ranges| ranges.as_str().to_owned()));
    row("group", shown(fields.group.as_ref(), |group| group.as_str().to_owned()));
    row("landWithin", shown(fields.land_within.as_ref(), duration));
    row("reviewWithin", shown(fields.review_within.as_ref(), duration));
    row("minimumReleaseAge", shown(fields.minimum_release_age.as_ref(), duration));
    row("windows", shown(fields.windows.as_ref(), |windows| windows.iter().map(window).collect::<Vec<_>>().join("; ")));
    for cap in &fields.cap_windows {
        row("windows of a cap", shown(Some(cap), |windows| windows.iter().map(window).collect::<Vec<_>>().join("; ")));
    }
    row("promoteFrom", shown(fields.promote_from.as_ref(), promotion));
    row("rate", shown(fields.rate.as_ref(), |rate| format!("{} in {}", rate.updates, duration(&rate.per))));
    row("debounce", shown(fields.debounce.as_ref(), duration));
    row("resume", shown(fields.resume.as_ref(), |resume| resume.as_str().to_owned()));
    row("rollback", shown(fields.rollback.as_ref(), rollback));
    row("onRetag", shown(fields.on_retag.as_ref(), |rule| rule.as_str().to_owned()));
    row("verify", shown(fields.verify.as_ref(), |verify| verification(verify)));
    for cap in &fields.cap_verify {
        row("verify of a cap", shown(Some(cap), |verify| verification(verify)));
    }
    let pull = &fields.pull_request;
    row("pullRequest.reviewers", shown(pull.reviewers.as_ref(), |reviewers| reviewers.join(", ")));
    row("pullRequest.labels", shown(pull.labels.as_ref(), |labels| labels.join(", ")));
    row("pullRequest.draft", shown(pull.draft.as_ref(), ToString::to_string));
    row("pullRequest.group", shown(pull.group.as_ref(), |group| group.as_str().to_owned()));
    row("pullRequest.automerge", shown(pull.automerge.as_ref(), ToString::to_string));
    row("pullRequest.mergeMethod", shown(pull.merge_method.as_ref(), ToString::to_string));
    row("pullRequest.approvals", shown(pull.approvals.as_ref(), ToString::to_string));
    row("pullRequest.approvalLabel", shown(pull.approval_label.as_ref(), String::clone));
    row("pullRequest.checks", shown(pull.checks.as_ref(), |checks| checks.join(", ")));
    row("pullRequest.limit", shown(pull.limit.as_ref(), ToString::to_string));
    row("pullRequest.remindAfter", shown(pull.remind_after.as_ref(), duration));
    row("pullRequest.codeOwners", shown(pull.code_owners.as_ref(), ToString::to_string));
    rows
}

fn shown<T>(field: Option<&Sourced<T>>, show: impl Fn(&T) -> String) -> Option<(String, &SourceLocation)> {
    field.map(|sourced| (show(&sourced.value), &sourced.origin))
}

fn tags(tags: &TagPolicy) -> String {
    let direction = |direction: &Direction| match direction {
        Direction::Ascending => "asc",
        Direction::Descending => "desc",
    };
    let mut parts = vec![match &tags.order {
        Order::Semver(range) => format!("semver {}", range.as_str()),
        Order::Alphabetical(order) => format!("alphabetical {}", direction(order)),
        Order::Numerical(order) => format!("numerical {}", direction(order)),
        Order::NewestBuild => "newestBuild".to_owned(),
        Order::Digest => "digest".to_owned(),
        Order::Shape => "by the current tag's shape".to_owned(),
    }];
    if let Some(filter) = &tags.filter {
        parts.push(format!("filter {}", filter.pattern()));
        parts.extend(filter.extract().map(|extract| format!("extract {extract}")));
    }
    parts.extend(tags.ignore.iter().map(|glob| format!("ignore {}", glob.as_str())));
    if tags.prereleases {
        parts.push("prereleases".to_owned());
    }
    parts.join(", ")
}

fn verification(verify: &Verification) -> String {
    let wanted: Vec<String> = verify.wanted.iter().map(ToString::to_string).collect();
    format!("{} by {}", wanted.join(" and "), verify.signer)
}

fn rollback(rollback: &Rollback) -> String {
    let write = rollback.write.map_or(String::new(), |write| format!(", written as {write}"));
    format!("after {}{write}", duration(&rollback.after))
}

fn promotion(from: &PromoteFrom) -> String {
    let mut text = format!("{} from {}", from.require.as_str(), from.upstream());
    if !from.soak_time.is_zero() {
        text.push_str(&format!(" for {}", duration(&from.soak_time)));
    }
    if !from.after.is_empty() {
        text.push_str(&format!(", after {}", from.after.join(", ")));
        if !from.after_soak_time.is_zero() {
            text.push_str(&format!(" for {}", duration(&from.after_soak_time)));
        }
    }
    if !from.checks.is_empty() {
        text.push_str(&format!(", with the checks {}", from.checks.join(", ")));
    }
    text
}

fn window(window: &Window) -> String {
    let kind = match window.kind {
        WindowKind::Allow => "",
        WindowKind::Deny => "not ",
    };
    format!("{kind}{} for {} ({})", window.opens.as_str(), duration(&window.duration), window.opens.time_zone())
}

/// A duration in policy notation.
fn duration(duration: &Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= seconds {
            text.push_str(&format!("{}{unit}", rest / seconds));
            rest %= seconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
