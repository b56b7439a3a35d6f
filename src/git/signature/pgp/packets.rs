//! OpenPGP's packets, numbers and armour, as bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The length of an armoured line, as GnuPG writes it.
const LINE: usize = 64;

/// Reads a number, without the zeros before it.
pub(super) fn take_number<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (bits, after) = rest.split_first_chunk::<2>()?;
    let (bytes, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*bits)).div_ceil(8))?;
    *rest = after;
    Some(bytes)
}

/// The same as 32 bytes, with zeros before it.
pub(super) fn take_point(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let bytes = take_number(rest)?;
    let mut number = vec![0; 32_usize.checked_sub(bytes.len())?];
    number.extend(bytes);
    Some(number)
}

/// Writes a number: its length in bits, and its bytes without zeros before them.
pub(super) fn number(into: &mut Vec<u8>, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    let bits = bytes.len() * 8 - bytes.first().map_or(0, |first| first.leading_zeros() as usize);
    into.extend(u16::try_from(bits).unwrap_or(u16::MAX).to_be_bytes());
    into.extend(bytes);
}

/// The length of some bytes in two.
pub(super) fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// A packet with this tag, its length as GnuPG writes it.
pub(super) fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let head = match u8::try_from(body.len()) {
        Ok(short) => vec![0x80 | tag << 2, short],
        Err(_) => [&[0x81 | tag << 2][..], &length(body)].concat(),
    };
    [&head, body].concat()
}

/// Packets, each with its tag; `None` if one is cut off or of indefinite length.
pub(super) fn packets(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut packets = Vec::new();
    while let Some((head, rest)) = bytes.split_first() {
        let (tag, (size, rest)) = match head {
            0xc0.. => (head & 0x3f, new_length(rest)?),
            0x80..0xc0 => (head >> 2 & 0x0f, old_length(head & 3, rest)?),
            _ => return None,
        };
        let (body, left) = rest.split_at_checked(size)?;
        packets.push((tag, body));
        bytes = left;
    }
    Some(packets)
}

fn old_length(kind: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match kind {
        0 => rest.split_first().map(|(size, rest)| (usize::from(*size), rest)),
        1 => rest.split_first_chunk().map(|(size, rest)| (usize::from(u16::from_be_bytes(*size)), rest)),
        2 => rest.split_first_chunk().and_then(|(size, rest)| Some((u32::from_be_bytes(*size).try_into().ok()?, rest))),
        _ => None,
    }
}

fn new_length(rest: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = rest.split_first()?;
    match first {
        0..192 => Some((usize::from(*first), rest)),
        192..224 => {
            let (second, rest) = rest.split_first()?;
            Some((((usize::from(*first) - 192) << 8) + usize::from(*second) + 192, rest))
        }
        255 => old_length(2, rest),
        224..255 => None,
    }
}

/// What is in armour of this kind. Its checksum is not needed: what is read is checked by its own measure.
pub(super) fn dearmoured(text: &str, kind: &str) -> Option<Vec<u8>> {
    let body = text.split_once(&format!("-----BEGIN {kind}-----"))?.1.split_once(&format!("-----END {kind}-----"))?.0;
    // Headers, if there are any, end with an empty line.
    let lines: Vec<&str> = body.lines().map(str::trim).collect();
    let begin = lines.iter().skip(1).position(|line| line.is_empty()).map_or(0, |at| at + 1);
    let data = lines[begin..].iter().filter(|line| !line.starts_with('='));
    STANDARD.decode(data.copied().collect::<String>()).ok()
}

/// Bytes in armour of this kind.
pub(super) fn armoured(bytes: &[u8], kind: &str) -> String {
    let mut text = format!("-----BEGIN {kind}-----\n");
    for line in STANDARD.encode(bytes).as_bytes().chunks(LINE) {
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(line));
    }
    text.push_str(&format!("\n={}\n-----END {kind}-----", STANDARD.encode(&crc24(bytes).to_be_bytes()[1..])));
    text
}

/// The checksum of armour (RFC 4880, 6.1).
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x00b7_04ce, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 16, |crc, _| {
            let shifted = crc << 1;
            if shifted & 0x0100_0000 == 0 { shifted } else { shifted ^ 0x0186_4cfb }
        })
    })
}

/// Capital hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_length() {
        for first in [0_u8, 1, 0x80, 0xff] {
            let mut bytes = vec![7; 32];
            bytes[0] = first;
            let mut written = Vec::new();
            number(&mut written, &bytes);
            assert_eq!(take_point(&mut &*written), Some(bytes));
        }
        let mut zero = Vec::new();
        number(&mut zero, &[0; 32]);
        assert_eq!((zero.clone(), take_point(&mut &*zero)), (vec![0, 0], Some(vec![0; 32])));
        assert_eq!(take_point(&mut &[1, 8, 1][..]), None);
    }

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        for size in [0, 1, 191, 255, 256, 700] {
            let body = vec![7; size];
            assert_eq!(packets(&packet(2, &body)), Some(vec![(2, &body[..])]), "{size}");
        }
    }
}
