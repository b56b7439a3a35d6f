//! Incidents: what somebody has to be notified of about an image that did not land, in terms that appear in alerts and
//! JSON.
//!
//! Promise: an incident's id depends only on environment, cluster, app, image and target version, so that every
//! receiver can tell a repetition from something new, even after restarts. All texts are single lines of bounded length
//! without control or direction characters; markup is neutralised where the sentences are made.

use super::is_invisible;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Affected, CauseCode, Rung, State, Tracked};

/// Maximum length of a cause or a line of evidence, in characters.
const MAX_LINE: usize = 400;
/// Maximum number of evidence lines: an excerpt, not a log.
const MAX_EVIDENCE: usize = 5;

/// What makes two alerts the same one. All fields are text, so that it can be stored and read again.
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
        // Absent and empty must differ, and no text may run into the next.
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

    /// Whether both are about the same image of the same app in the same environment, in any version or cluster.
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

/// How severe it is. Ordered; the words are those of PagerDuty's Events API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Needs a look.
    Warning,
    /// Will not resolve itself.
    Error,
    /// Will not resolve itself, and no pod of it is running.
    Critical,
}

impl Severity {
    /// The name.
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
    /// The commit that declares it, if there is one.
    pub commit: Option<String>,
    /// The state.
    pub state: State,
    /// The first rung not reached.
    pub rung: Option<Rung>,
    /// The cause, if known.
    pub code: Option<CauseCode>,
    /// The severity; within one incident it only rises.
    pub severity: Severity,
    /// When the state began.
    pub since: Timestamp,
    /// When it should have landed, if a policy sets a limit.
    pub deadline: Option<Timestamp>,
    /// The environments and policies of everything it holds up, if it is not about a single app.
    #[serde(default)]
    pub affects: BTreeSet<Affected>,
}

/// What a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// A new incident.
    Raised,
    /// A new cause or a higher severity within the same incident.
    Escalated,
    /// Nothing has changed.
    Reminder,
    /// Over.
    Resolved,
    /// An update landed: a change event, not an alert.
    Landed,
    /// Sent on request, to check that it arrives.
    Test,
}

impl NoticeKind {
    /// The name.
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
    /// The cluster went back to the previous version.
    RolledBack,
    /// Somebody closed its pull request.
    Rejected,
    /// It is moving again within its time: a pause, hold or fault has ended.
    Released,
    /// It is in Git now, and is followed in a cluster from here on.
    Committed {
        /// The cluster.
        cluster: String,
    },
    /// Git no longer declares it: overlay, image or cluster are gone.
    Gone,
    /// It is no longer open; the reason was lost with the receiver's memory.
    Cleared,
}

impl Resolution {
    /// The name.
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

/// Where to read more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Links {
    /// The pull request.
    pub pull_request: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The controller's page.
    pub controller: Option<String>,
    /// The team's instructions for this cause.
    pub runbook: Option<String>,
}

/// The counters of a notice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// How many overlays are in this state under this key.
    pub overlays: u32,
    /// How often somebody was notified, including this time.
    pub told: u32,
    /// How many changes were not notified because they went back and forth.
    pub suppressed: u32,
}

/// A notification as data; the sentences are made from it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What kind of notice it is.
    pub kind: NoticeKind,
    /// When it was created.
    pub at: Timestamp,
    /// The incident.
    pub incident: Incident,
    /// Why it is over, if it is.
    pub resolution: Option<Resolution>,
    /// What ran before, or runs instead.
    pub from: Vec<String>,
    /// One line: what is wrong and where.
    pub cause: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What to do next; empty if unknown.
    pub next: String,
    /// Where to read more.
    pub links: Links,
    /// The counters.
    pub counts: Counts,
    /// Whether it keeps alternating between landing and failing.
    pub oscillating: bool,
    /// Whether it drifts and recovers repeatedly, so that this is not a single manual change.
    #[serde(skip)]
    pub flapping: bool,
}

/// The sentences of a notice, in each format; text from outside is harmless in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// A plain-text line of at most about 140 characters.
    pub title: String,
    /// Some lines of plain text, the title first.
    pub plain: String,
    /// The same as GitHub's Markdown.
    pub markdown: String,
    /// The same without the title as Slack's mrkdwn, at most 3,000 characters.
    pub slack: String,
    /// The same lines one by one, each with its label; not escaped, so a receiver that reads markup escapes them.
    pub facts: Vec<(&'static str, String)>,
    /// What was seen, likewise not escaped; empty once it is over.
    pub evidence: Vec<String>,
    /// The links, each with its label; web addresses only.
    pub links: Vec<(&'static str, String)>,
}

impl Notice {
    /// How long it has been in this state at `now`; zero if a clock runs behind.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.incident.since)).unwrap_or_default()
    }

    /// Drops links that are not http(s), and makes all texts single lines of bounded length.
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
#[must_use]
pub fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = |rest: &str| !rest.split('/').next().unwrap_or_default().contains('@');
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'`' | b'|' | b'\\' | b'(' | b')');
    url.len() <= 2_000 && rest.is_some_and(|rest| !rest.is_empty() && host(rest) && rest.bytes().all(plain))
}

/// A text from outside as one line of at most `most` characters: white space is collapsed, and control characters and
/// those that hide or reorder text are removed.
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

/// Words that mention people in one receiver or another get a gap after their `@`. Digests (`name@sha256:…`) stay
/// whole.
#[must_use]
pub fn break_mentions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        let next = rest.peek().copied().unwrap_or(' ');
        let mention = c == '@' && !before.is_alphanumeric() && next.is_alphanumeric();
        // `<!here>`, `<@U1>`, `<#C1>` and `<address|words>` are Slack syntax, and other receivers may forward text to
        // Slack.
        let control = c == '<' && !next.is_whitespace();
        if mention || control {
            out.push('\u{2060}');
        }
        before = c;
    }
    out
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
