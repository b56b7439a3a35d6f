//! The `pullRequest` block of a policy.

use std::ops::RangeInclusive;

use crate::policy::{GroupTemplate, PullRequestFields, Sourced};

use crate::config::at::At;
use crate::config::fault::Sink;
use crate::config::raw_policy as raw;
use crate::config::value;

/// How many approvals may be required: that many people's permissions are looked up.
const APPROVALS: RangeInclusive<u32> = 0..=20;
/// How many open pull requests a limit may allow; for none at all there is `write: never`.
const LIMIT: RangeInclusive<u32> = 1..=1000;

/// The block's fields; `group` was read together with the captures of the policy's paths.
pub(super) fn fields(
    raw: &raw::PullRequest,
    group: Option<Sourced<GroupTemplate>>,
    sink: &mut Sink<'_>,
) -> PullRequestFields {
    let mut texts = |at: Option<&At<Vec<At<String>>>>, parse: fn(&str) -> Result<String, String>| {
        let at = at?;
        // An empty list has a meaning here: it cancels what an earlier policy requested.
        let value: Vec<String> =
            at.value.iter().filter_map(|entry| sink.read(entry, |text| parse(text))).map(|s| s.value).collect();
        Some(Sourced { value, origin: sink.origin(at.mark) })
    };
    let reviewers = texts(raw.reviewers.as_ref(), value::reviewer);
    let labels = texts(raw.labels.as_ref(), value::label);
    let checks = texts(raw.checks.as_ref(), value::line);
    let approval_label = sink.read_opt(raw.approval_label.as_ref(), |text| label(text));
    if let (Some(label), Some(at), Some(labels)) = (&approval_label, &raw.approval_label, &labels)
        && labels.value.iter().any(|own| own.eq_ignore_ascii_case(&label.value))
    {
        let message = format!("`{}` is among `labels`, so the bot would approve its own work", label.value);
        sink.error_with_hint(at.mark, message, "use a label that only people add");
    }
    PullRequestFields {
        reviewers,
        labels,
        draft: sink.keep(raw.draft.as_ref()),
        group,
        automerge: sink.keep(raw.automerge.as_ref()),
        merge_method: sink.keep(raw.merge_method.as_ref()),
        approvals: sink.read_opt(raw.approvals.as_ref(), |count| within(*count, &APPROVALS)),
        approval_label,
        checks,
        limit: sink.read_opt(raw.limit.as_ref(), |count| within(*count, &LIMIT)),
        remind_after: sink.read_opt(raw.remind_after.as_ref(), |text| value::duration(text)),
        code_owners: sink.keep(raw.code_owners.as_ref()),
    }
}

fn within(count: u32, range: &RangeInclusive<u32>) -> Result<u32, String> {
    if range.contains(&count) {
        Ok(count)
    } else {
        Err(format!("{count} is not between {} and {}", range.start(), range.end()))
    }
}

/// A label's name, which becomes part of a URL.
fn label(text: &str) -> Result<String, String> {
    let label = value::label(text)?;
    if label.bytes().all(|b| b == b'.') { Err("a label cannot consist only of dots".to_owned()) } else { Ok(label) }
}
