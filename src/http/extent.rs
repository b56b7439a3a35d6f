//! How much a JSON text is to parse, before it is.

/// How much there is in a JSON text. A value takes up to a hundred bytes in memory, and an object some hundreds, whatever little it
/// takes in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Values, objects and lists among them; one less in a list or an object.
    pub values: usize,
    /// Objects among them.
    pub objects: usize,
    /// How deep the deepest value is.
    pub depth: usize,
}

/// How much there is in a text. Nothing is parsed, and what is no JSON may count as anything.
#[must_use]
pub fn extent(text: &[u8]) -> Extent {
    let (mut found, mut depth, mut inside, mut escaped) = (Extent::default(), 0_usize, false, false);
    for byte in text {
        match (inside, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => inside = !inside,
            (false, b',') => found.values += 1,
            (false, b'[' | b'{') => {
                depth += 1;
                found.values += 1;
                found.objects += usize::from(*byte == b'{');
                found.depth = found.depth.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}
