//! What of everything is shown: query parameters, the same for the page and the JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{State, Tracked, TrackedThing};

/// A filter; whatever is absent or empty lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RowFilter {
    /// Part of the name of an app, image or version, in any case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub q: String,
    /// The repository's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// The environment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// The app.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The image: its whole name, or its last part.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The cluster.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// A state (`stuck`, `pending`, …), `late`, or `attention` for all that somebody should look at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

/// Groups of states that can be asked for besides each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowGroup {
    /// Past its deadline.
    Late,
    /// Stuck, late, rolled back, drifted, shadowed or an orphan.
    Attention,
}

impl RowGroup {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Late, Self::Attention];

    /// The name in a query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Attention => "attention",
        }
    }

    /// Whether a row is in it.
    #[must_use]
    pub fn has(self, state: State, late: bool) -> bool {
        match self {
            Self::Late => late,
            Self::Attention => late || state.severity() >= State::Orphan.severity(),
        }
    }
}

impl RowFilter {
    /// Whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a row's app or image is wanted, in whatever state and environment: a row of the matrix keeps all its cells.
    #[must_use]
    pub fn wants_subject(&self, row: &Tracked) -> bool {
        let is = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
        is(&self.repository, &row.repository)
            && is(&self.app, &row.app)
            && (self.image.is_empty() || row.image.is_called(&self.image))
    }

    /// Whether a row is wanted.
    #[must_use]
    pub fn wants(&self, row: &Tracked, late: bool) -> bool {
        self.wants_subject(row)
            && (self.environment.is_empty() || row.environment.as_deref() == Some(&self.environment))
            && (self.cluster.is_empty() || row.cluster.as_deref() == Some(&self.cluster))
            && self.wants_state(row.landing.state, late)
            && self.finds(row)
    }

    /// Whether this is asked for, whatever else is: a text that is searched in a row.
    #[must_use]
    pub fn finds(&self, row: &Tracked) -> bool {
        let wanted = self.q.trim().to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        wanted.is_empty()
            || has(&row.app)
            || has(&row.image.to_string())
            || has(&row.declared.version.to_string())
            || (row.thing != TrackedThing::Image && has(&row.repository))
    }

    fn wants_state(&self, state: State, late: bool) -> bool {
        let group = RowGroup::ALL.into_iter().find(|group| group.as_str() == self.state);
        self.state.is_empty() || group.map_or_else(|| state.to_string() == self.state, |group| group.has(state, late))
    }

    /// The same as a query, with the question mark; empty if it lets everything through.
    #[must_use]
    pub fn query(&self) -> String {
        let pairs = [
            ("q", &self.q),
            ("repository", &self.repository),
            ("environment", &self.environment),
            ("app", &self.app),
            ("image", &self.image),
            ("cluster", &self.cluster),
            ("state", &self.state),
        ];
        let mut query = String::new();
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(name);
            query.push('=');
            query.push_str(&encoded(value));
        }
        query
    }
}

/// A text as one segment of a path, or one value of a query: whatever has a meaning there, and all that is not ASCII, is
/// percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.') {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_means_nothing_in_an_address() {
        for (text, shown) in [
            ("web", "web"),
            ("a/b c", "a%2Fb%20c"),
            ("v1.2", "v1.2"),
            ("\"><script>", "%22%3E%3Cscript%3E"),
            ("ü?&#", "%C3%BC%3F%26%23"),
        ] {
            assert_eq!(encoded(text), shown);
        }
    }

    #[test]
    fn a_filter_is_its_query() {
        let filter = RowFilter { q: "a&b".to_owned(), state: "stuck".to_owned(), ..RowFilter::default() };
        assert_eq!(filter.query(), "?q=a%26b&state=stuck");
        assert_eq!(RowFilter::default().query(), "");
    }
}
