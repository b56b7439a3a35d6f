//! TOML 1.1, with toml_edit's spans.

use toml_edit::{Document, Item, TableLike, Value};

use super::{Content, Leaf, OutlineKey, Visit, quoted};
use crate::model::SkipReason;

pub(super) fn visit(text: &str, visit: Visit<'_>) -> Result<(), (Option<usize>, String)> {
    let document = Document::parse(text).map_err(|error| {
        (error.span().map(|span| span.start), error.message().lines().next().unwrap_or_default().to_owned())
    })?;
    TomlWalk { text, path: Vec::new(), visit }.table(document.as_table());
    Ok(())
}

struct TomlWalk<'t, 'v> {
    text: &'t str,
    path: Vec<OutlineKey>,
    visit: Visit<'v>,
}

impl TomlWalk<'_, '_> {
    fn table(&mut self, table: &dyn TableLike) {
        for (key, item) in table.iter() {
            self.below(OutlineKey::Name(key.to_owned()), |walk| walk.item(item));
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::None => {}
            Item::Value(value) => self.value(value),
            Item::Table(table) => self.table(table),
            Item::ArrayOfTables(tables) => {
                for (number, table) in tables.iter().enumerate() {
                    self.below(OutlineKey::Item(number), |walk| walk.table(table));
                }
            }
        }
    }

    fn value(&mut self, value: &Value) {
        let Some(span) = value.span() else { return };
        let content = match value {
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    self.below(OutlineKey::Item(number), |walk| walk.value(item));
                }
                return;
            }
            Value::InlineTable(table) => return self.table(table),
            Value::String(string) => quoted(self.text, &span, string.value(), &["\"\"\"", "'''", "\"", "'"]),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                Content::Other(SkipReason::NotText)
            }
        };
        (self.visit)(Leaf { path: &self.path, span, content });
    }

    fn below(&mut self, step: OutlineKey, walk: impl FnOnce(&mut Self)) {
        self.path.push(step);
        walk(self);
        self.path.pop();
    }
}
