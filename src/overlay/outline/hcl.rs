//! HCL 2 as Terraform, OpenTofu and Nomad use it, with hcl-edit's spans.
//!
//! A block's keys are its name and its labels (`resource.docker_image.web`). One without labels may occur several times, so that it
//! has a number, too (`container[0]`). What a function encodes (`jsonencode([{ image = … }])`) has the keys that it has there; the
//! result of any other function, of an operator, a condition or a loop is no fixed value.

use std::collections::HashMap;

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::parser::parse_body;
use hcl_edit::structure::{Body, Structure};

use super::{Content, Leaf, OutlineKey, Visit, quoted};
use crate::model::SkipReason;

/// Functions whose only argument is what they return, in another form.
const TRANSPARENT: [&str; 6] = ["jsonencode", "yamlencode", "tolist", "tomap", "toset", "sensitive"];

/// Maximum nesting of anything in a file; the parser goes one call deeper for each, and a thread has but so much stack.
const MAX_DEPTH: usize = 32;

pub(super) fn visit(text: &str, visit: Visit<'_>) -> Result<(), (Option<usize>, String)> {
    if let Some(line) = too_deep(text) {
        return Err((Some(line), format!("nested more than {MAX_DEPTH} deep")));
    }
    let body = parse_body(text).map_err(|error| (Some(error.location().line()), error.message().to_owned()))?;
    HclWalk { text, path: Vec::new(), visit }.body(&body);
    Ok(())
}

/// The line at which a text is nested too deeply. Brackets count wherever they are, in texts and comments, too, and so do the
/// directives of templates (`%{ if … }`).
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut directives) = (0_usize, 0_usize);
    for (number, line) in text.lines().enumerate() {
        for (at, byte) in line.bytes().enumerate() {
            match byte {
                b'{' | b'(' | b'[' => depth += 1,
                b'}' | b')' | b']' => depth = depth.saturating_sub(1),
                b'%' => match line.get(at..).and_then(|rest| rest.strip_prefix("%{")) {
                    Some(rest) if rest.trim_start_matches(['~', ' ']).starts_with("end") => {
                        directives = directives.saturating_sub(1);
                    }
                    Some(rest) if !rest.trim_start_matches(['~', ' ']).starts_with("else") => directives += 1,
                    _ => {}
                },
                _ => {}
            }
            if depth + 2 * directives > MAX_DEPTH {
                return Some(number + 1);
            }
        }
    }
    None
}

struct HclWalk<'t, 'v> {
    text: &'t str,
    path: Vec<OutlineKey>,
    visit: Visit<'v>,
}

impl HclWalk<'_, '_> {
    fn body(&mut self, body: &Body) {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for structure in body.iter() {
            match structure {
                Structure::Attribute(attribute) => {
                    self.below([OutlineKey::Name(attribute.key.as_str().to_owned())], |walk| {
                        walk.expression(&attribute.value);
                    });
                }
                Structure::Block(block) => {
                    let name = block.ident.as_str();
                    let labels = block.labels.iter().map(|label| OutlineKey::Name(label.as_str().to_owned()));
                    let mut steps: Vec<OutlineKey> =
                        std::iter::once(OutlineKey::Name(name.to_owned())).chain(labels).collect();
                    if block.labels.is_empty() {
                        let number = numbers.entry(name).or_default();
                        steps.push(OutlineKey::Nth(*number));
                        *number += 1;
                    }
                    self.below(steps, |walk| walk.body(&block.body));
                }
            }
        }
    }

    fn expression(&mut self, expression: &Expression) {
        let Some(span) = expression.span() else { return };
        let content = match expression {
            Expression::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    self.below([OutlineKey::Item(number)], |walk| walk.expression(item));
                }
                return;
            }
            Expression::Object(object) => {
                for (key, value) in object.iter() {
                    let key = match key {
                        ObjectKey::Ident(name) => name.as_str().to_owned(),
                        ObjectKey::Expression(Expression::String(name)) => name.value().clone(),
                        // A key that is computed; no path can mean it.
                        ObjectKey::Expression(_) => String::new(),
                    };
                    self.below([OutlineKey::Name(key)], |walk| walk.expression(value.expr()));
                }
                return;
            }
            Expression::Parenthesis(inside) => return self.expression(inside.inner()),
            Expression::FuncCall(call) if call.args.len() == 1 && TRANSPARENT.contains(&call.name.name.as_str()) => {
                return call.args.iter().for_each(|argument| self.expression(argument));
            }
            Expression::String(string) => quoted(self.text, &span, string.value(), &["\""]),
            Expression::StringTemplate(_) => Content::Other(SkipReason::Template),
            Expression::HeredocTemplate(_) => Content::Other(SkipReason::Heredoc),
            Expression::Null(_) | Expression::Bool(_) | Expression::Number(_) => Content::Other(SkipReason::NotText),
            _ => Content::Other(SkipReason::Expression),
        };
        (self.visit)(Leaf { path: &self.path, span, content });
    }

    fn below(&mut self, steps: impl IntoIterator<Item = OutlineKey>, walk: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        self.path.extend(steps);
        walk(self);
        self.path.truncate(before);
    }
}
