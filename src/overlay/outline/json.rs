//! JSON with the keys of HCL, as Terraform reads it; read by the YAML parser, of which JSON is a part.

use super::{Content, Leaf, OutlineKey, Visit, quoted};
use crate::model::SkipReason;
use crate::overlay::tree::{self, Id, NodeKind, Tree};

pub(super) fn visit(text: &str, visit: Visit<'_>) -> Result<(), (Option<usize>, String)> {
    let tree = tree::parse(text, "\u{0}").map_err(|error| (Some(error.line), error.reason))?;
    for root in &tree.roots {
        walk(&tree, *root, &mut Vec::new(), visit);
    }
    Ok(())
}

fn walk(tree: &Tree<'_>, id: Id, path: &mut Vec<OutlineKey>, visit: Visit<'_>) {
    match &tree.node(id).kind {
        NodeKind::Mapping(_) => {
            for (key, value) in tree.entries(id) {
                let key = tree.scalar(key).map(|key| key.value.to_string()).unwrap_or_default();
                path.push(OutlineKey::Name(key));
                walk(tree, value, path, visit);
                path.pop();
            }
        }
        NodeKind::Sequence(_) => {
            for (number, item) in tree.items(id).iter().enumerate() {
                path.push(OutlineKey::Item(number));
                walk(tree, *item, path, visit);
                path.pop();
            }
        }
        NodeKind::Alias(_) => {}
        NodeKind::Scalar(scalar) => {
            let node = tree.node(id);
            let span = node.start as usize..node.end as usize;
            let content = match () {
                () if !tree.raw(id).starts_with('"') => Content::Other(SkipReason::NotText),
                () if tree.lock_of(id).is_some() => Content::Other(SkipReason::NotSingle),
                // Strings are templates of HCL.
                () if scalar.value.contains("${") || scalar.value.contains("%{") => {
                    Content::Other(SkipReason::Template)
                }
                () => quoted(tree.text, &span, &scalar.value, &["\""]),
            };
            visit(Leaf { path, span, content });
        }
    }
}
