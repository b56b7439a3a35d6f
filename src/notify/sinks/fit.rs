//! Room in a message of limited size: what does not fit is left out whole, because half of an escape, a link or a block
//! could mean something else.

/// How much of a message is left, in the unit in which its receiver counts.
#[derive(Debug)]
pub(super) struct Room {
    left: usize,
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        Self { left: most }
    }

    /// Whether something of this size still fits; if so, its room is taken.
    pub(super) fn takes(&mut self, size: usize) -> bool {
        let fits = size <= self.left;
        if fits {
            self.left -= size;
        }
        fits
    }

    /// The pieces that fit, in their order; a later, smaller one may fit where an earlier one did not.
    pub(super) fn text(&mut self, pieces: impl IntoIterator<Item = String>, size: impl Fn(&str) -> usize) -> String {
        pieces.into_iter().filter(|piece| self.takes(size(piece))).collect()
    }
}

/// The length that chat services count: UTF-16 units, of which an emoji has two.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let mut room = Room::new(6);
        let pieces = ["abc", "defg", "é", "🔴", "x"].map(str::to_owned);
        assert_eq!(room.text(pieces, units), "abcé🔴");
        assert!(!room.takes(1) && room.takes(0));
    }
}
