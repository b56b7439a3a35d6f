//! The two files of a chart's archive that say what changes with it: `Chart.yaml` and `values.yaml` (helm.sh, "Charts").
//!
//! Promise: nothing is written to a disk, and whatever the archive is, it takes bounded memory and time: what is read of it arrives
//! bounded, is unpacked in small parts up to a bound, and only those two files are kept. Links, paths and modes in it mean nothing here.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use crate::model::ChartFiles;

/// Maximum size of an archive; the largest public charts have less than a megabyte.
pub(in crate::registry) const MAX_ARCHIVE: u64 = 8 << 20;
/// How much is unpacked of one. `values.yaml` and `Chart.yaml` come first, as Helm writes them.
const MAX_UNPACKED: u64 = 64 << 20;
/// Maximum number of files in one.
const MAX_ENTRIES: usize = 20_000;
/// Maximum size of `Chart.yaml` and of `values.yaml`.
const MAX_CHART: u64 = 512 << 10;
const MAX_VALUES: u64 = 1 << 20;
/// The unit of a tar archive.
const BLOCK: usize = 512;

/// The files of a chart, or why they cannot be read.
pub(in crate::registry) fn files(archive: &[u8]) -> Result<ChartFiles, String> {
    let mut reader = MultiGzDecoder::new(archive).take(MAX_UNPACKED);
    let mut found = ChartFiles::default();
    for _ in 0..MAX_ENTRIES {
        let Some(entry) = Entry::read(&mut reader)? else {
            return finished(found);
        };
        let (place, most) = match entry.name() {
            Some("Chart.yaml") if found.chart.is_empty() => (&mut found.chart, MAX_CHART),
            Some("values.yaml") if found.values.is_empty() => (&mut found.values, MAX_VALUES),
            _ => {
                skip(&mut reader, entry.padded())?;
                continue;
            }
        };
        if entry.size > most {
            return Err(format!("{} has more than {} KiB", entry.path, most >> 10));
        }
        let mut text = Vec::new();
        read(reader.by_ref().take(entry.size).read_to_end(&mut text))?;
        if text.len() as u64 != entry.size {
            return Err(CUT_OFF.to_owned());
        }
        skip(&mut reader, entry.padded() - entry.size)?;
        *place = String::from_utf8(text).map_err(|_| format!("{} is not valid UTF-8", entry.path))?;
    }
    Err(format!("it has more than {MAX_ENTRIES} files"))
}

const CUT_OFF: &str = "it is cut off, or unpacks to more than is read";

fn finished(found: ChartFiles) -> Result<ChartFiles, String> {
    if found.chart.is_empty() { Err("it has no Chart.yaml".to_owned()) } else { Ok(found) }
}

/// One file of an archive, by its head.
struct Entry {
    path: String,
    size: u64,
    is_file: bool,
}

impl Entry {
    /// The next one; `None` at the end.
    fn read(reader: &mut impl Read) -> Result<Option<Self>, String> {
        let mut head = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match read(reader.read(&mut head[filled..]))? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(CUT_OFF.to_owned()),
                more => filled += more,
            }
        }
        if head.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let part = |from: usize, to: usize| {
            let bytes = head.get(from..to).unwrap_or_default();
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let is_ustar = head.get(257..262) == Some(b"ustar");
        let prefix = if is_ustar { part(345, 500) } else { String::new() };
        let name = part(0, 100);
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let size = u64::from_str_radix(part(124, 136).trim(), 8).map_err(|_| "it is no tar archive".to_owned())?;
        if size > MAX_UNPACKED {
            return Err(CUT_OFF.to_owned());
        }
        Ok(Some(Self { path, size, is_file: matches!(head.get(156), Some(b'0' | 0)) }))
    }

    /// Its name, if it is a file in the chart's own folder.
    fn name(&self) -> Option<&str> {
        let (folder, name) = self.path.trim_start_matches("./").split_once('/')?;
        (self.is_file && !folder.is_empty() && !name.contains('/')).then_some(name)
    }

    /// How many bytes follow its head.
    fn padded(&self) -> u64 {
        self.size.next_multiple_of(BLOCK as u64)
    }
}

fn skip(reader: &mut impl Read, bytes: u64) -> Result<(), String> {
    let skipped = read(io::copy(&mut reader.take(bytes), &mut io::sink()))?;
    if skipped == bytes { Ok(()) } else { Err(CUT_OFF.to_owned()) }
}

fn read<T>(read: io::Result<T>) -> Result<T, String> {
    read.map_err(|_| "it is no gzip archive, or a damaged one".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn entry(path: &str, content: &[u8], kind: u8) -> Vec<u8> {
        let mut head = [0_u8; BLOCK];
        head[..path.len()].copy_from_slice(path.as_bytes());
        head[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        head[156] = kind;
        head[257..262].copy_from_slice(b"ustar");
        let mut all = head.to_vec();
        all.extend_from_slice(content);
        all.resize(all.len().next_multiple_of(BLOCK), 0);
        all
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_two_files_of_the_chart_itself_are_read_and_no_others() {
        let all = [
            entry("web/", b"", b'5'),
            entry("web/charts/db/values.yaml", b"no", b'0'),
            entry("web/Chart.yaml", b"name: web\n", b'0'),
            entry("web/values.yaml", b"elsewhere", b'2'),
            entry("web/values.yaml", b"a: 1\n", b'0'),
            entry("web/values.yaml", b"again: 1\n", b'0'),
            entry("../../etc/passwd", b"x", b'0'),
            vec![0; 2 * BLOCK],
        ];
        let found = files(&gzip(&all.concat())).unwrap();
        assert_eq!((found.chart.as_str(), found.values.as_str()), ("name: web\n", "a: 1\n"));
        // Without an end, as some write it, and in several parts.
        let parts = [gzip(&all[2]), gzip(&all[4])].concat();
        assert_eq!(files(&parts).unwrap().values, "a: 1\n");
    }

    #[test]
    fn what_is_no_archive_or_too_much_is_refused() {
        let chart = || entry("web/Chart.yaml", b"name: web\n", b'0');
        let bomb = gzip(&[chart(), entry("web/big", &vec![0; 65 << 20], b'0')].concat());
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let mut liar = entry("web/x", b"", b'0');
        liar[124..135].copy_from_slice(b"77777777777");
        let mut odd = chart();
        odd[124] = 0x80;
        let many: Vec<u8> = (0..=MAX_ENTRIES).flat_map(|_| entry("web/x", b"", b'0')).collect();
        for (archive, said) in [
            (b"no gzip".to_vec(), "it is no gzip archive"),
            (Vec::new(), "it is no gzip archive"),
            (gzip(b"short"), "it is cut off"),
            (gzip(&[b'x'; 2 * BLOCK]), "it is no tar archive"),
            (gzip(&[chart(), entry("web/big", &[1; 2000], b'0')[..BLOCK + 100].to_vec()].concat()), "it is cut off"),
            (gzip(&entry("web/values.yaml", b"a: 1", b'0')), "it has no Chart.yaml"),
            (gzip(&entry("web/Chart.yaml", &vec![b'a'; 600 << 10], b'0')), "web/Chart.yaml has more than 512 KiB"),
            (gzip(&entry("web/Chart.yaml", b"\xff", b'0')), "web/Chart.yaml is not valid UTF-8"),
            (gzip(&odd), "it is no tar archive"),
            (gzip(&liar), "it is cut off"),
            (gzip(&many), "it has more than 20000 files"),
            (bomb, "it is cut off"),
        ] {
            let error = files(&archive).unwrap_err();
            assert!(error.starts_with(said), "{error} in place of {said}");
        }
        let whole = gzip(&chart());
        for cut in 1..whole.len() {
            assert!(files(&whole[..cut]).is_err(), "{cut}");
        }
    }
}
