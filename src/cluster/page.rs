//! Splits a list, as it arrives, into the texts of its items. Pure.
//!
//! Promise: however large a list is, only one item, up to [`MAX_OBJECT`], and the text around the items are kept in
//! memory. An item that is too large is reported with its beginning, which identifies it; the items after it are read.

/// Maximum size of one object in bytes. The API server accepts requests of up to 3 MiB, and etcd of 1.5 MiB unless
/// somebody has raised that.
pub(super) const MAX_OBJECT: usize = 4 * 1024 * 1024;
/// Maximum size of the text around the items: kind, version, and the position of the next page.
const MAX_AROUND: usize = 256 * 1024;

/// The text of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectText<'t> {
    /// All of it.
    Whole(&'t [u8]),
    /// Its beginning; the whole is too large to keep.
    Cut(&'t [u8]),
}

/// The text around the items is too large, so this is not a list from a Kubernetes API server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoList;

/// Bytes that are kept up to a limit.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    cut: bool,
}

impl Held {
    fn add(&mut self, more: &[u8], limit: usize) {
        let room = limit - self.bytes.len();
        self.cut |= more.len() > room;
        self.bytes.extend_from_slice(&more[..more.len().min(room)]);
    }
}

/// Scans a list in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct PageScanner {
    depth: usize,
    in_string: bool,
    escaped: bool,
    in_items: bool,
    item: Held,
    around: Held,
}

impl PageScanner {
    /// Takes the next piece, and returns each item that is complete.
    pub(super) fn push(&mut self, piece: &[u8], mut found: impl FnMut(ObjectText<'_>)) -> Result<(), NoList> {
        let mut from = 0;
        for (at, &byte) in piece.iter().enumerate() {
            if self.in_string {
                self.in_string = byte != b'"' || self.escaped;
                self.escaped = byte == b'\\' && !self.escaped;
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'[' if self.depth == 1 => {
                    self.keep(&piece[from..=at]);
                    (from, self.depth, self.in_items) = (at + 1, 2, self.is_key_of_items());
                }
                b'{' | b'[' => self.depth += 1,
                b',' | b']' if self.in_items && self.depth == 2 => {
                    self.keep(&piece[from..at]);
                    self.end_item(&mut found);
                    self.in_items = byte == b',';
                    (from, self.depth) = if byte == b',' { (at + 1, 2) } else { (at, 1) };
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.keep(&piece[from..]);
        if self.around.cut { Err(NoList) } else { Ok(()) }
    }

    /// The list without its items.
    pub(super) fn around(&self) -> &[u8] {
        &self.around.bytes
    }

    fn keep(&mut self, bytes: &[u8]) {
        match self.in_items {
            true => self.item.add(bytes, MAX_OBJECT),
            false => self.around.add(bytes, MAX_AROUND),
        }
    }

    fn end_item(&mut self, found: &mut impl FnMut(ObjectText<'_>)) {
        let text = self.item.bytes.trim_ascii();
        if !text.is_empty() {
            found(if self.item.cut { ObjectText::Cut(text) } else { ObjectText::Whole(text) });
        }
        self.item.cut = false;
        self.item.bytes.clear();
        // One large object must not keep its memory until the end of the list.
        self.item.bytes.shrink_to(MAX_OBJECT / 16);
    }

    /// Whether the array that has just started holds the items.
    fn is_key_of_items(&self) -> bool {
        let before = self.around.bytes.strip_suffix(b"[").map(<[u8]>::trim_ascii_end);
        let key = before.and_then(|before| before.strip_suffix(b":")).map(<[u8]>::trim_ascii_end);
        let rest = key.and_then(|key| key.strip_suffix(b"\"items\""));
        rest.is_some_and(|rest| !rest.ends_with(b"\\"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// What is found of a list that comes in pieces of this size.
    fn read(list: &str, size: usize) -> (Vec<Value>, Value) {
        let (mut scanner, mut items) = (PageScanner::default(), Vec::new());
        for piece in list.as_bytes().chunks(size) {
            scanner.push(piece, |text| items.push(value(text))).unwrap();
        }
        (items, serde_json::from_slice(scanner.around()).unwrap())
    }

    fn value(text: ObjectText<'_>) -> Value {
        match text {
            ObjectText::Whole(text) => serde_json::from_slice(text).unwrap(),
            ObjectText::Cut(text) => json!(format!("cut after {}", text.len())),
        }
    }

    #[test]
    fn a_list_is_cut_into_its_items_wherever_it_breaks() {
        let list = r#" {"kind":"PodList","x\"items":[7],"metadata":{"resourceVersion":"7","items":[1]},
            "items" : [ {"a":"],[\\\"{"}, [1,[2]], "a,b\\", null , 3 ],"after":[{}]} "#;
        for size in 1..list.len() {
            let (items, around) = read(list, size);
            assert_eq!(items, [json!({ "a": "],[\\\"{" }), json!([1, [2]]), json!("a,b\\"), Value::Null, json!(3)]);
            let metadata = json!({ "resourceVersion": "7", "items": [1] });
            let after = json!({
                "kind": "PodList", "x\"items": [7], "metadata": metadata, "items": [], "after": [{}]
            });
            assert_eq!(around, after);
        }
        assert_eq!(read(r#"{"items":[]}"#, 3), (Vec::new(), json!({ "items": [] })));
    }

    #[test]
    fn of_a_large_list_one_object_is_held_and_what_is_larger_is_cut() {
        let mut scanner = PageScanner::default();
        let mut found = Vec::new();
        let mut push = |text: &[u8]| {
            scanner.push(text, |text| found.push(value(text))).unwrap();
            assert!(scanner.item.bytes.capacity() <= 2 * MAX_OBJECT && scanner.around.bytes.capacity() < 1024);
        };
        push(b"{\"kind\":\"PodList\",\"items\":[{\"a\":1},{\"b\":\"");
        for _ in 0..2_000 {
            push(&[b'x'; 64 * 1024]);
        }
        push(b"\"},{\"c\":1}],\"metadata\":{}}");
        let cut = json!(format!("cut after {MAX_OBJECT}"));
        assert_eq!(found, [json!({ "a": 1 }), cut, json!({ "c": 1 })]);
        assert!(scanner.item.bytes.capacity() <= MAX_OBJECT / 16);
        assert_eq!(PageScanner::default().push(&[b' '; 2 * MAX_AROUND], |_| ()), Err(NoList));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a-z\\[\\]{},:\"\\\\ é\n]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("(items|[a-z\"\\\\]{0,4})", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_list_is_read_as_serde_reads_it(
            items in proptest::collection::vec(any_json(), 0..5),
            (before, after) in (any_json(), any_json()),
            size in 1_usize..64,
            pretty in any::<bool>(),
        ) {
            let list = json!({ "aBefore": before, "items": items, "zAfter": after });
            let text = if pretty { serde_json::to_string_pretty(&list).unwrap() } else { list.to_string() };
            let (found, around) = read(&text, size);
            prop_assert_eq!(found, items);
            prop_assert_eq!(around, json!({ "aBefore": before, "items": [], "zAfter": after }));
        }

        #[test]
        fn whatever_comes_is_no_panic(pieces in proptest::collection::vec("[\\[\\]{},:\"\\\\items ]{0,20}", 0..8)) {
            let mut scanner = PageScanner::default();
            for piece in pieces {
                scanner.push(piece.as_bytes(), |_| ()).unwrap();
            }
        }
    }
}
