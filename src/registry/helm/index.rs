//! What the `index.yaml` of a Helm repository says, read as it arrives.
//!
//! An index may have 50 MB, of which a few bytes for each version matter. So it is never held as a whole: lines are read as their
//! bytes come, and what is kept of each version is its number, its digest and its time. This works since Helm's own writer and those
//! of other servers write `entries` as a block: charts, versions and fields at one indentation each, and everything below a field
//! indented further. An index written otherwise (JSON, flow mappings) is small or rare, and is read as a whole ([`super::whole`]).

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;

use crate::model::Digest;

/// Maximum number of bytes kept of one index.
const MAX_KEPT: usize = 24 << 20;
/// What a chart takes up besides its name and versions, and a version's texts besides their bytes.
const CHART: usize = 128;
const TEXTS: usize = 48;
/// What an entry without a version counts as: it takes up nothing, and none are free without end.
const DROPPED: usize = 64;
/// Maximum length of a line, of which none that matters comes near.
const MAX_LINE: usize = 1 << 20;
/// Maximum length of a version, an application's version or an address that is kept.
pub(super) const MAX_TEXT: usize = 300;

/// The charts of a repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HelmIndex {
    charts: HashMap<Box<str>, ChartEntries>,
    /// Bytes kept.
    kept: usize,
}

/// What an index says of one chart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ChartEntries {
    /// In the order of the index.
    pub(super) versions: Vec<ChartVersion>,
    /// How many entries have no version.
    pub(super) dropped: usize,
}

/// One version of a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ChartVersion {
    /// As written, such as `1.2.3+up0.4.0`.
    pub(super) version: Box<str>,
    /// The SHA-256 of its archive.
    pub(super) digest: Option<[u8; 32]>,
    /// When it was packaged or added, as the index says.
    pub(super) created: Option<Timestamp>,
    /// The version of the application that it installs.
    pub(super) app_version: Option<Box<str>>,
    /// The first address of its sources, or else its home.
    pub(super) source: Option<Box<str>>,
    /// The first address of its archive, which may be relative to the repository's.
    pub(super) archive: Option<Box<str>>,
}

impl HelmIndex {
    /// What it says of a chart; `None` if it has no such chart.
    pub(super) fn chart(&self, name: &str) -> Option<&ChartEntries> {
        self.charts.get(name)
    }

    /// One version of a chart.
    pub(super) fn version(&self, name: &str, version: &str) -> Option<&ChartVersion> {
        self.chart(name)?.versions.iter().find(|known| &*known.version == version)
    }

    /// How many bytes it takes up.
    pub(super) fn size(&self) -> usize {
        self.kept
    }

    /// Adds an entry of a chart; one without a version only counts.
    pub(super) fn add(&mut self, chart: &str, version: ChartVersion) -> Result<(), IndexError> {
        let entries = match self.charts.get_mut(chart) {
            Some(entries) => entries,
            None => {
                self.kept += chart.len() + CHART;
                self.charts.entry(chart.into()).or_default()
            }
        };
        if version.version.is_empty() {
            entries.dropped += 1;
            self.kept += DROPPED;
        } else {
            let texts = [&version.app_version, &version.source, &version.archive];
            let text = version.version.len() + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>();
            // What a list takes up is its capacity, which grows by a quarter: most charts have many versions.
            let full = entries.versions.len() == entries.versions.capacity();
            let more = if full { (entries.versions.len() / 4).max(1) } else { 0 };
            self.kept += more * size_of::<ChartVersion>() + text + TEXTS;
            if self.kept <= MAX_KEPT {
                entries.versions.reserve_exact(more);
                entries.versions.push(version);
            }
        }
        if self.kept > MAX_KEPT {
            return Err(IndexError::TooMuch);
        }
        Ok(())
    }
}

impl ChartVersion {
    /// What stands for this version of the chart, and changes when it is replaced: a digest of its number and of the digest of its archive,
    /// or where there is none of what else the index says. The archive's alone would not do: an index only claims it, and a new version
    /// with that of an old one would be as old.
    pub(super) fn identity(&self, chart: &str) -> Option<Digest> {
        let said = match &self.digest {
            Some(archive) => format!("{chart}\n{}\narchive {archive:02x?}", self.version),
            None => format!("{chart}\n{}\n{:?}\n{:?}", self.version, self.created, self.app_version),
        };
        let hex: String = digest(&SHA256, said.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Digest::parse(&format!("sha256:{hex}")).ok()
    }
}

/// Why an index cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum IndexError {
    /// It is written in a way that [`Reader`] does not read.
    #[error("line {line}: it is not written as Helm writes an index")]
    Form {
        /// From 1.
        line: usize,
    },
    /// It is not the index of a Helm repository.
    #[error("it is not the index of a Helm repository: {0}")]
    Other(String),
    /// It ends in the middle.
    #[error("it is cut off after line {line}")]
    CutOff {
        /// From 1.
        line: usize,
    },
    /// More than is kept.
    #[error("it lists more versions than the {} MiB kept of one index", MAX_KEPT >> 20)]
    TooMuch,
}

/// Reads an index as its bytes arrive.
#[derive(Debug, Default)]
pub(super) struct Reader {
    index: HelmIndex,
    /// The bytes of the line that has not ended yet.
    open: Vec<u8>,
    /// Lines so far.
    line: usize,
    place: Place,
    /// Indentation of charts, of their versions, and of the versions' fields.
    charts_at: Option<usize>,
    versions_at: Option<usize>,
    fields_at: Option<usize>,
    chart: String,
    version: Option<ChartVersion>,
    field: Field,
    /// Whether `entries` was there, and whether anything came after it.
    entries: bool,
    ended: bool,
}

/// Where in the document the next line is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Outside `entries`.
    #[default]
    Outside,
    /// Below `entries`.
    Entries,
}

/// The field whose value may go on in the lines that follow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// One that does not matter.
    #[default]
    Other,
    /// `sources`.
    Sources,
    /// `urls`.
    Urls,
}

impl Reader {
    /// Takes in the next bytes.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), IndexError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.open.is_empty() {
                self.line(line)?;
            } else {
                self.keep(line)?;
                let whole = std::mem::take(&mut self.open);
                self.line(&whole)?;
                self.open = whole;
                self.open.clear();
            }
        }
        self.keep(bytes)
    }

    /// How many bytes it takes up so far.
    pub(super) fn size(&self) -> usize {
        self.index.size() + self.open.capacity()
    }

    /// The index, once all bytes have been taken in.
    pub(super) fn finish(mut self) -> Result<HelmIndex, IndexError> {
        let line = self.line;
        if !self.open.is_empty() {
            let last = std::mem::take(&mut self.open);
            self.line(&last)?;
            // Helm writes `generated` after the entries, and everybody ends a file with a line break: one of both is there.
            if !self.ended {
                return Err(IndexError::CutOff { line });
            }
        }
        self.end_version()?;
        if !self.entries {
            return Err(IndexError::Other("it has no `entries`".to_owned()));
        }
        Ok(self.index)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        if self.open.len() + bytes.len() > MAX_LINE {
            return Err(IndexError::Form { line: self.line + 1 });
        }
        self.open.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), IndexError> {
        self.line += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let indent = line.iter().take_while(|byte| **byte == b' ').count();
        let Some(content) = line.get(indent..).filter(|rest| !matches!(rest.first(), None | Some(b'#'))) else {
            return Ok(());
        };
        // White space alone says nothing, and a tab is no indentation.
        match content.first() {
            Some(b'\t') if content.trim_ascii().is_empty() => return Ok(()),
            Some(b'\t') if self.fields_at.is_none_or(|fields| indent <= fields) => return Err(self.form()),
            _ => {}
        }
        // Everything below a field is none of our business, whatever it is; most lines are.
        if self.place == Place::Entries && self.fields_at.is_some_and(|fields| indent > fields) {
            self.item(content);
            return Ok(());
        }
        let Ok(content) = std::str::from_utf8(content) else { return Err(self.form()) };
        match self.place {
            _ if indent == 0 => self.top(content),
            Place::Outside => Ok(()),
            Place::Entries => self.entry(indent, content),
        }
    }

    /// A line without indentation.
    fn top(&mut self, content: &str) -> Result<(), IndexError> {
        if self.place == Place::Entries {
            // A list right below `entries`, or a chart that is not indented.
            if content.starts_with("- ") {
                return Err(self.form());
            }
            self.end_version()?;
            self.place = Place::Outside;
            self.ended = true;
        }
        let (key, value) = match content.split_once(':') {
            Some(pair) => pair,
            None if content.starts_with(['{', '[']) => return Err(self.form()),
            // `---`, `%YAML`, the end of a text.
            None => return Ok(()),
        };
        if plain(key) != Some("entries") {
            return if content.starts_with(['{', '[', '<', '!', '&']) { Err(self.form()) } else { Ok(()) };
        }
        match without_comment(value) {
            "" => self.place = Place::Entries,
            "{}" => self.ended = true,
            _ => return Err(self.form()),
        }
        if self.entries {
            return Err(IndexError::Other(format!("line {}: it has `entries` twice", self.line)));
        }
        self.entries = true;
        Ok(())
    }

    /// A line below `entries` that is no deeper than the fields of a version.
    fn entry(&mut self, indent: usize, content: &str) -> Result<(), IndexError> {
        let charts_at = *self.charts_at.get_or_insert(indent);
        let dash = content == "-" || content.starts_with("- ");
        if dash && self.fields_at == Some(indent) && self.versions_at != Some(indent) {
            // A list that is the value of a field and not indented more than that.
            self.item(content.as_bytes());
            return Ok(());
        }
        if dash && indent >= charts_at && !self.chart.is_empty() && *self.versions_at.get_or_insert(indent) == indent {
            self.end_version()?;
            self.version = Some(ChartVersion::default());
            let inner = content.trim_start_matches('-');
            let spaces = inner.len() - inner.trim_start().len();
            if inner.trim_start().is_empty() {
                self.fields_at = None;
                return Ok(());
            }
            self.fields_at = Some(indent + 1 + spaces);
            return self.field(inner.trim_start());
        }
        if indent == charts_at {
            return self.begin_chart(content);
        }
        if self.version.is_some() && *self.fields_at.get_or_insert(indent) == indent {
            return self.field(content);
        }
        Err(self.form())
    }

    fn begin_chart(&mut self, content: &str) -> Result<(), IndexError> {
        self.end_version()?;
        let (key, value) = content.rsplit_once(':').ok_or_else(|| self.form())?;
        let name = plain(key).filter(|name| name.len() <= MAX_TEXT).ok_or_else(|| self.form())?;
        match without_comment(value) {
            "" => name.clone_into(&mut self.chart),
            "[]" | "null" | "~" => self.chart.clear(),
            _ => return Err(self.form()),
        }
        (self.versions_at, self.fields_at) = (None, None);
        Ok(())
    }

    fn field(&mut self, content: &str) -> Result<(), IndexError> {
        self.field = Field::Other;
        if content.starts_with(['{', '[', '*', '&', '!', '?']) {
            return Err(self.form());
        }
        let Some((key, value)) = content.split_once(':') else { return Ok(()) };
        let Some(version) = &mut self.version else { return Ok(()) };
        match plain(key) {
            Some("version") => {
                if let Some(text) = scalar(value) {
                    version.version = text.into();
                }
            }
            Some("digest") => version.digest = scalar(value).and_then(|text| sha256(&text)),
            Some("created") => version.created = scalar(value).and_then(|text| text.parse().ok()),
            Some("appVersion") => version.app_version = scalar(value).map(Into::into),
            Some("home") if version.source.is_none() => version.source = scalar(value).map(Into::into),
            Some("sources") => self.field = Field::Sources,
            Some("urls") => match value.trim().strip_prefix('[') {
                Some(list) => version.archive = list.split([',', ']']).next().and_then(scalar).map(Into::into),
                None => self.field = Field::Urls,
            },
            Some("<<") => return Err(self.form()),
            _ => {}
        }
        Ok(())
    }

    /// The first item of `sources` or `urls`; what follows it does not matter.
    fn item(&mut self, content: &[u8]) {
        let field = std::mem::take(&mut self.field);
        if field == Field::Other {
            return;
        }
        let item = std::str::from_utf8(content).ok().and_then(|content| content.strip_prefix("- ")).and_then(scalar);
        if let (Some(item), Some(version)) = (item, &mut self.version) {
            let place = if field == Field::Sources { &mut version.source } else { &mut version.archive };
            *place = Some(item.into());
        }
    }

    fn end_version(&mut self) -> Result<(), IndexError> {
        match self.version.take() {
            Some(version) => self.index.add(&self.chart, version),
            None => Ok(()),
        }
    }

    fn form(&self) -> IndexError {
        IndexError::Form { line: self.line }
    }
}

/// A key, without quotes.
fn plain(key: &str) -> Option<&str> {
    let key = key.trim_end();
    let inner = |quote: char| key.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let key = inner('"').or_else(|| inner('\'')).unwrap_or(key);
    (!key.is_empty() && !key.contains(['"', '\'', '\\', '{', '}', '[', ']', '&', '*', '!'])).then_some(key)
}

fn without_comment(value: &str) -> &str {
    let value = value.trim();
    if value.starts_with('#') {
        return "";
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}

/// A value on one line; `None` if it is empty, too long, of several lines, or anything but a plain or quoted scalar.
fn scalar(value: &str) -> Option<String> {
    let value = value.trim();
    let text = match value.chars().next()? {
        '"' => {
            let inner = value.strip_prefix('"')?.split_once('"')?.0;
            (!inner.contains('\\')).then(|| inner.to_owned())?
        }
        '\'' => {
            let inner = value.strip_prefix('\'')?.split_once('\'')?.0;
            inner.to_owned()
        }
        '|' | '>' | '&' | '*' | '!' | '{' | '[' | '%' | '@' | '`' => return None,
        _ => without_comment(value).to_owned(),
    };
    (!text.is_empty() && text.len() <= MAX_TEXT).then_some(text)
}

/// `[sha256:]hex`.
pub(super) fn sha256(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::super::whole::whole;
    use super::*;

    /// As Helm writes it.
    const HELM: &str = r#"apiVersion: v1
entries:
  alpine:
  - annotations:
      category: os
      note: |
        - version: 9.9.9
        version: 9.9.9
    apiVersion: v2
    appVersion: "3.20"
    created: 2016-10-06T16:23:20.499814565-06:00
    dependencies:
    - name: common
      repository: https://charts.example.com/common
      version: 1.x.x
    description: A text that
      goes on, with version
      and more
    digest: 99c76e403d752c84ead610644d4b1c2f2b453a74b921f422b9dcb8a7c8b559cd
    home: https://example.com/alpine
    keywords:
    - os
    name: alpine
    sources:
    - https://git.example.com/alpine
    - https://git.example.com/other
    urls:
    - https://charts.example.com/alpine-0.2.0.tgz
    version: 0.2.0
  - created: "2016-10-05T16:23:20.499543808-06:00"
    home: https://example.com/alpine
    version: 0.1.0+up1.0 # a comment
    urls: [alpine-0.1.0.tgz]
  "nginx":
  - version: '1.1.0'
generated: 2016-10-06T16:23:20.499029981-06:00
"#;

    fn read(text: &str) -> Result<HelmIndex, IndexError> {
        let mut reader = Reader::default();
        reader.take(text.as_bytes())?;
        reader.finish()
    }

    fn versions(index: &HelmIndex, chart: &str) -> Vec<String> {
        let versions = index.chart(chart).map_or(&[][..], |entries| &entries.versions);
        versions.iter().map(|version| version.version.to_string()).collect()
    }

    #[test]
    fn what_helm_writes_is_read_as_it_arrives() {
        let index = read(HELM).unwrap();
        assert_eq!(
            (versions(&index, "alpine"), versions(&index, "nginx")),
            (vec!["0.2.0".into(), "0.1.0+up1.0".into()], vec!["1.1.0".into()])
        );
        assert_eq!((index.chart("common"), index.chart("alpine").unwrap().dropped), (None, 0));
        let newest = index.version("alpine", "0.2.0").unwrap();
        assert_eq!(newest.digest.map(|digest| digest[0]), Some(0x99));
        assert_eq!(newest.created.unwrap().to_string(), "2016-10-06T22:23:20.499814565Z");
        assert_eq!(newest.app_version.as_deref(), Some("3.20"));
        assert_eq!(newest.source.as_deref(), Some("https://git.example.com/alpine"));
        let older = index.version("alpine", "0.1.0+up1.0").unwrap();
        assert_eq!((older.digest, older.source.as_deref()), (None, Some("https://example.com/alpine")));
        // Read as a whole, it says the same.
        assert_eq!(whole(HELM.as_bytes()).unwrap(), index);
    }

    #[test]
    fn a_version_with_the_archive_of_another_is_another() {
        let of = |version: &str, archive: u8| {
            let version =
                ChartVersion { version: version.into(), digest: Some([archive; 32]), ..ChartVersion::default() };
            version.identity("web").unwrap()
        };
        assert_eq!(of("1.0.0", 1), of("1.0.0", 1));
        assert_ne!(of("1.0.0", 1), of("1.0.0", 2), "replaced");
        assert_ne!(of("1.0.0", 1), of("2.0.0", 1), "a new version that claims an old archive");
        let undigested = ChartVersion { version: "1.0.0".into(), ..ChartVersion::default() };
        assert_ne!(undigested.identity("web"), undigested.identity("api"));
    }

    #[test]
    fn other_writers_are_read_too() {
        let indented = "---\n# made by hand\nentries:\n    web:\n        -   name: web\n            version: \"1.0.0\"\n            sources:\n                - https://git.example.com/web\n        -\n            version: 0.9.0\r\n    empty: []\n    api:\n        - version: 2.0.0\n";
        let index = read(indented).unwrap();
        assert_eq!(
            (versions(&index, "web"), versions(&index, "api")),
            (vec!["1.0.0".into(), "0.9.0".into()], vec!["2.0.0".into()])
        );
        assert_eq!(index.version("web", "1.0.0").unwrap().source.as_deref(), Some("https://git.example.com/web"));
        assert_eq!(read("apiVersion: v1\nentries: {}\n").unwrap(), HelmIndex::default());
        for text in [
            "{\"apiVersion\": \"v1\", \"entries\": {\"web\": [{\"version\": \"1.0.0\", \"appVersion\": 3}]}}",
            "entries: {web: [{version: 1.0.0, appVersion: '3'}]}\n",
            "entries:\n  web: [{version: 1.0.0, appVersion: '3'}]\n",
            "entries:\n  web:\n  - {version: 1.0.0, appVersion: '3'}\n",
        ] {
            assert!(matches!(read(text), Err(IndexError::Form { .. })), "{text}");
            assert_eq!(versions(&whole(text.as_bytes()).unwrap(), "web"), ["1.0.0"], "{text}");
        }
    }

    #[test]
    fn what_is_no_index_or_half_of_one_is_refused() {
        let last = HELM.find("generated").unwrap();
        for cut in [last - 4, last - 30, HELM.find("9.9.9").unwrap()] {
            assert!(matches!(read(&HELM[..cut]), Err(IndexError::CutOff { .. })), "{}", &HELM[..cut]);
        }
        for (text, reason) in [
            ("<html>\n<body>Not found</body>\n", "no `entries`"),
            ("hello\n", "no `entries`"),
            ("", "no `entries`"),
            ("entries:\n  a:\n  - version: 1.0.0\nentries:\n  b:\n", "twice"),
            ("entries:\n- version: 1.0.0\n", "written as Helm"),
            ("entries:\n  a:\n    version: 1.0.0\n", "written as Helm"),
            ("entries:\n  a: &a\n  - version: 1.0.0\n", "written as Helm"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(whole(b"<html></html>").is_err() && whole(b"{\"entries\": 1}").is_err());
        let index =
            read("entries:\n  a:\n  - description: |\n      x\n\t\n    version: 2.0.0\n  - version: 1.0.0\n").unwrap();
        assert_eq!(versions(&index, "a"), ["2.0.0", "1.0.0"], "a line of white space ends nothing");
        assert!(matches!(read("entries:\n  a:\n\t- version: 1.0.0\n"), Err(IndexError::Form { line: 3 })));
        // A version without a number is no version, and costs the others nothing.
        let index = read("entries:\n  a:\n  - name: a\n  - version: |\n      1.0.0\n  - version: 2.0.0\n").unwrap();
        assert_eq!((versions(&index, "a"), index.chart("a").unwrap().dropped), (vec!["2.0.0".to_owned()], 2));
    }

    #[test]
    fn memory_has_a_bound() {
        let mut reader = Reader::default();
        reader.take(b"entries:\n").unwrap();
        let mut refused = None;
        for chart in 0..1000 {
            let mut text = format!("  chart-{chart}:\n");
            for version in 0..1000 {
                let _ = writeln!(text, "  - version: 1.0.{version}\n    home: https://example.com/{chart}/{version}");
            }
            refused = reader.take(text.as_bytes()).err();
            if refused.is_some() {
                break;
            }
        }
        assert_eq!(refused, Some(IndexError::TooMuch));
        let kept: usize = reader.index.charts.values().map(|entries| entries.versions.capacity()).sum();
        assert!(kept * size_of::<ChartVersion>() < MAX_KEPT, "{kept}");
        let mut reader = Reader::default();
        let long = vec![b'a'; MAX_LINE];
        assert_eq!(reader.take(&long).and_then(|()| reader.take(&long)), Err(IndexError::Form { line: 1 }));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_split_does_not_matter(at in 0..HELM.len(), again in 0..HELM.len()) {
            let mut reader = Reader::default();
            let (first, second) = (at.min(again), at.max(again));
            for part in [&HELM[..first], &HELM[first..second], &HELM[second..]] {
                reader.take(part.as_bytes()).unwrap();
            }
            prop_assert_eq!(reader.finish().unwrap(), read(HELM).unwrap());
        }

        #[test]
        fn nothing_panics(lines in proptest::collection::vec("( {0,6})(entries:|- |version: 1|a:|sources:|\\{|\"|é|[a-z:#&*-]{0,4})", 0..20)) {
            let text = lines.join("\n");
            drop(read(&text));
            drop(whole(text.as_bytes()));
        }
    }
}
