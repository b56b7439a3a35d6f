//! Texts for pull requests that have waited for a long time or have nothing left to do.

use jiff::Timestamp;

use crate::plan::RemindAction;

use super::markdown::code;

/// The marker by which a reminder is found again.
pub const REMINDER: &str = "<!-- landfall-reminder -->";

/// Maximum size of the kept text, in bytes.
const LIMIT: usize = 60_000;
/// Maximum number of reasons listed.
const REASONS: usize = 50;
/// How the text's hidden trailer starts; the ids of its updates follow.
const TRAILER: &str = "<!-- landfall:";

/// Why a pull request is closed.
#[must_use]
pub fn closing_comment(reasons: &[String]) -> String {
    let mut text = String::from("Closed by Landfall: there is nothing left to do here.\n\n");
    for reason in reasons.iter().take(REASONS) {
        text.push_str(&format!("- {}\n", code(reason)));
    }
    if reasons.len() > REASONS {
        text.push_str(&format!("\n… and {} more.\n", reasons.len() - REASONS));
    }
    text.push_str("\nThis does not hold any version: if an update is needed again, it is proposed again.\n");
    text
}

/// Why a pull request leaves its merge queue.
#[must_use]
pub fn dequeuing_comment(reason: &str) -> String {
    format!(
        "Landfall took this out of the merge queue: {}\n\nOnce nothing holds it any more, Landfall adds it again if it is \
         the one that merges this pull request; otherwise somebody has to.\n",
        code(reason)
    )
}

/// The text of a pull request that the bot closes. Its hidden trailer loses the ids: a closed pull request with ids
/// means that a person decided against these versions.
#[must_use]
pub fn closed_body(body: &str, reasons: &[String]) -> String {
    let shown = body.rsplit_once(TRAILER).map_or(body, |(shown, _)| shown).trim_end();
    let end = format!("\n\n---\n\n{}\n{TRAILER} -->\n", closing_comment(reasons));
    let room = LIMIT.saturating_sub(end.len());
    let cut = (0..=room.min(shown.len())).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or_default();
    // A trailer further up may come from a repository; without the real one it would become the last.
    let shown = shown.get(..cut).unwrap_or_default().replace(TRAILER, "<!-- ");
    format!("{shown}{end}")
}

/// The reminder for the reviewers of a pull request.
#[must_use]
pub fn reminder(remind: &RemindAction, now: Timestamp) -> String {
    let days = now.duration_since(remind.since).as_hours() / 24;
    let long = match days {
        0 => format!("since {:.0}", remind.since),
        1 => "for a day".to_owned(),
        _ => format!("for {days} days"),
    };
    // Reviewers are names from a policy, which were checked when it was read; they are meant to be mentioned.
    let people: Vec<String> = remind.reviewers.iter().map(|name| format!("@{name}")).collect();
    let whom = if people.is_empty() { String::new() } else { format!("{}: ", people.join(" ")) };
    let what = if remind.reason.is_empty() { String::new() } else { format!("\n\nReason: {}", code(&remind.reason)) };
    format!(
        "{whom}this pull request has been waiting {long}. Merge it, or close it to hold this version until a newer one \
         appears.{what}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_text_has_no_ids_left() {
        let body = "table\n\n<!-- landfall: fedcba9876543210 --> in a cell\n\n<!-- landfall: 0123456789abcdef -->\n";
        let closed = closed_body(body, &["web 1.3.0: done `already` @all".to_owned()]);
        assert!(closed.starts_with("table\n") && closed.ends_with("<!-- landfall: -->\n"), "{closed}");
        assert!(!closed.contains("0123456789abcdef") && !closed.contains("landfall: fedc"), "{closed}");
        assert!(closed.contains("- `web 1.3.0: done 'already' @all`"), "{closed}");
        let long = closed_body(&"é".repeat(100_000), &vec!["x".repeat(100); 2_000]);
        assert!(long.len() <= LIMIT && long.ends_with("<!-- landfall: -->\n"), "{}", long.len());
        assert!(long.contains("and 1950 more"));
    }
}
