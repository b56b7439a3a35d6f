//! Incidents: what somebody has to be told about an image that did not land, in words that stand in alerts and JSON.
//!
//! Promise: an incident's id depends only on where and what (environment, cluster, app, image, target version), so that
//! every receiver can tell a repetition from something new, after restarts too. All texts are one line each, bounded, and
//! hold no control or direction characters; what a receiver reads as markup is neutralised where the sentences are made.

use super::is_invisible;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Affected, CauseCode, Rung, State, Tracked};

/// Most characters of a cause or of a line of evidence.
const MAX_LINE: usize = 400;
/// Most lines of evidence: an excerpt, not a log.
const MAX_EVIDENCE: usize = 5;

/// What makes two alarms the same one. Texts, so that it can be kept and read again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IncidentKey {
    /// The environment.
    pub environment: Option<String>,
    /// The cluster; `None` before any is known.
    pub cluster: Option<String>,
    /// The application.
    pub app: String,
    /// The image's normalised name.
    pub image: String,
    /// The target: tag, digest or both.
    pub version: String,
}

impl IncidentKey {
    /// The key of a tracked image.
    #[must_use]
    pub fn of(tracked: &Tracked) -> Self {
        let line = |text: &String| one_line(text, MAX_LINE);
        Self {
            environment: tracked.environment.as_ref().map(line),
            cluster: tracked.cluster.as_ref().map(line),
            app: line(&tracked.app),
            image: tracked.image.to_string(),
            version: tracked.declared.version.to_string(),
        }
    }

    /// The key's hash.
    #[must_use]
    pub fn id(&self) -> IncidentId {
        // Absent and empty must differ, and no text may reach into its neighbour.
        let part = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), |text| format!("{}:{text}", text.len()));
        let text = [
            part(self.environment.as_deref()),
            part(self.cluster.as_deref()),
            part(Some(&self.app)),
            part(Some(&self.image)),
            part(Some(&self.version)),
        ]
        .join("\n");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let hex: String = digest.as_ref().iter().take(16).map(|b| format!("{b:02x}")).collect();
        IncidentId(format!("landfall-{hex}"))
    }

    /// Whether both are about the same image of the same app in the same environment, whatever version or cluster.
    #[must_use]
    pub fn same_image(&self, other: &Self) -> bool {
        self.environment == other.environment && self.app == other.app && self.image == other.image
    }
}

/// A short stable name of an incident, for deduplication: `landfall-` and 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(String);

impl IncidentId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How bad it is. Ordered; the words are those of PagerDuty's Events API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Needs a look.
    Warning,
    /// Will not mend by itself.
    Error,
    /// Will not mend by itself, and nothing of it runs.
    Critical,
}

impl Severity {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One declared image that is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// What it is about.
    #[serde(flatten)]
    pub key: IncidentKey,
    /// The GitOps repository's name in the configuration.
    pub repository: String,
    /// The overlay's folder.
    pub overlay: String,
    /// The policy that covers it.
    pub policy: Option<String>,
    /// The commit that declares it, where there is one.
    pub commit: Option<String>,
    /// The state.
    pub state: State,
    /// The first rung not reached.
    pub rung: Option<Rung>,
    /// The cause, where somebody gave one.
    pub code: Option<CauseCode>,
    /// How bad it is; within one incident it only grows.
    pub severity: Severity,
    /// When that state began.
    pub since: Timestamp,
    /// When it should have landed, where a policy says.
    pub deadline: Option<Timestamp>,
    /// The environments and policies of all that it holds up, where it is not about one app.
    #[serde(default)]
    pub affects: BTreeSet<Affected>,
}

/// What a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// A new incident.
    Raised,
    /// Another cause or a higher severity within the same incident.
    Escalated,
    /// Still the same.
    Reminder,
    /// Over.
    Resolved,
    /// An update landed: a change event, not an alarm.
    Landed,
    /// Asked for by a person, to see whether it arrives.
    Test,
}

impl NoticeKind {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Escalated => "escalated",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
            Self::Landed => "landed",
            Self::Test => "test",
        }
    }
}

/// Why an incident is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Resolution {
    /// It runs.
    Landed,
    /// Git declares another version.
    Superseded {
        /// Which, where known.
        by: Option<String>,
    },
    /// The cluster went back to the version before.
    RolledBack,
    /// A person closed its pull request.
    Rejected,
    /// It moves again, within its time: a pause, hold or fault is gone.
    Released,
    /// It has come into Git and is followed in a cluster from here on.
    Committed {
        /// The cluster.
        cluster: String,
    },
    /// Git no longer declares it: overlay, image or cluster are gone.
    Gone,
    /// It is no longer open, and why was lost with the receiver's memory.
    Cleared,
}

impl Resolution {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Landed => "landed",
            Self::Superseded { .. } => "superseded",
            Self::RolledBack => "rolled-back",
            Self::Rejected => "rejected",
            Self::Released => "released",
            Self::Committed { .. } => "committed",
            Self::Gone => "gone",
            Self::Cleared => "cleared",
        }
    }
}

/// Where a person reads more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Links {
    /// The pull request.
    pub pull_request: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The controller's page.
    pub controller: Option<String>,
    /// What to do, as the team wrote it down.
    pub runbook: Option<String>,
}

/// Numbers of a notice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// How many overlays are in this state under the one key.
    pub overlays: u32,
    /// How often somebody was told, this time included.
    pub told: u32,
    /// How many changes were not told, because they went back and forth.
    pub suppressed: u32,
}

/// Something to be told, as data; the sentences are made of it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What it is.
    pub kind: NoticeKind,
    /// When it came to be.
    pub at: Timestamp,
    /// What it is about.
    pub incident: Incident,
    /// Why it is over, where it is.
    pub resolution: Option<Resolution>,
    /// What ran before, or runs instead.
    pub from: Vec<String>,
    /// One line: what is wrong and where.
    pub cause: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What to do next; empty where nobody said.
    pub next: String,
    /// Where to read more.
    pub links: Links,
    /// How often, how many.
    pub counts: Counts,
    /// Whether it goes back and forth between landing and failing.
    pub oscillating: bool,
    /// Whether it drifts and comes back by turns, so that nobody changed it by hand once.
    #[serde(skip)]
    pub flapping: bool,
}

/// The sentences of a notice, each as its readers need it; foreign text in them is harmless there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// One line of plain text, at most 140 characters or so.
    pub title: String,
    /// Some lines of plain text, the title first.
    pub plain: String,
    /// The same as GitHub's Markdown.
    pub markdown: String,
    /// The same without the title as Slack's mrkdwn, at most 3,000 characters.
    pub slack: String,
}

impl Notice {
    /// How long it has been so at `now`; nothing where a clock runs behind.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.incident.since)).unwrap_or_default()
    }

    /// The first word of an address that is not http(s) may be anything; such links are dropped, and all texts are made
    /// one line each of bounded length.
    #[must_use]
    pub fn clean(mut self) -> Self {
        let web = |link: Option<String>| link.filter(|url| is_web_address(url));
        self.links = Links {
            pull_request: web(self.links.pull_request),
            commit: web(self.links.commit),
            controller: web(self.links.controller),
            runbook: web(self.links.runbook),
        };
        self.cause = one_line(&self.cause, MAX_LINE);
        self.next = one_line(&self.next, MAX_LINE);
        self.evidence.retain(|line| !line.trim().is_empty());
        let more = self.evidence.len().saturating_sub(MAX_EVIDENCE);
        self.evidence.truncate(MAX_EVIDENCE);
        self.evidence = self.evidence.iter().map(|line| one_line(line, MAX_LINE)).collect();
        if more > 0 {
            self.evidence.push(format!("… and {more} more"));
        }
        self
    }
}

/// Whether a text is an http(s) address without spaces, quotes, brackets or a password.
fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = |rest: &str| !rest.split('/').next().unwrap_or_default().contains('@');
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'`' | b'|' | b'\\' | b'(' | b')');
    url.len() <= 2_000 && rest.is_some_and(|rest| !rest.is_empty() && host(rest) && rest.bytes().all(plain))
}

/// A text from outside as one line of at most `most` characters: white space joined, no control characters, none that hide
/// or reorder what a person reads.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    let mut space = true;
    for c in text.chars() {
        let blank = c.is_whitespace() || c.is_control() || is_invisible(c);
        if blank && space {
            continue;
        }
        if count == most {
            line.push('…');
            return line;
        }
        line.push(if blank { ' ' } else { c });
        count += 1;
        space = blank;
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(environment: Option<&str>, cluster: Option<&str>, app: &str) -> IncidentKey {
        IncidentKey {
            environment: environment.map(str::to_owned),
            cluster: cluster.map(str::to_owned),
            app: app.to_owned(),
            image: "ghcr.io/acme/web".to_owned(),
            version: "1.4.0".to_owned(),
        }
    }

    #[test]
    fn ids_are_stable_short_and_apart() {
        let id = key(Some("prod"), Some("eu-1"), "web").id();
        assert_eq!(id, key(Some("prod"), Some("eu-1"), "web").id());
        assert!(id.as_str().starts_with("landfall-"), "{id}");
        assert!(id.as_str().len() <= 255 && id.as_str().is_ascii());
        let long = key(Some(&"e".repeat(5_000)), Some("eu-1"), "web").id();
        assert!(long.as_str().len() <= 255);
        let others = [
            key(None, Some("eu-1"), "web"),
            key(Some(""), Some("eu-1"), "web"),
            key(Some("prod"), None, "web"),
            key(Some("prod"), Some("eu-1\n3:web"), ""),
            key(Some("prod"), Some("eu-1"), "api"),
        ];
        let mut ids: Vec<_> = others.iter().map(IncidentKey::id).chain([id]).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 6);
    }

    #[test]
    fn a_line_from_outside_is_one_line() {
        for (text, line) in [
            ("a\r\n\tb", "a b"),
            ("  \u{202e}evil\u{200b}x ", "evil x"),
            ("\u{1b}[31mred\u{7}", "[31mred"),
            ("tag\u{e0041}s", "tag s"),
            ("", ""),
        ] {
            assert_eq!(one_line(text, 100), line, "{text:?}");
        }
        assert_eq!(one_line(&"é".repeat(1_000), 10), format!("{}…", "é".repeat(10)));
        assert_eq!(one_line("abc", 3), "abc");
    }

    #[test]
    fn only_web_addresses_are_links() {
        for (url, ok) in [
            ("https://github.com/acme/deploys/pull/7", true),
            ("http://127.0.0.1:1/x?a=b#c", true),
            ("https://", false),
            ("javascript:alert(1)", false),
            ("https://x/|evil>", false),
            ("https://user:pass@host/x", false),
            ("https://host/a b", false),
            ("local:deploys#1", false),
        ] {
            assert_eq!(is_web_address(url), ok, "{url}");
        }
    }
}
