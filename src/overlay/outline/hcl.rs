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

/// The stack of the thread that parses, in bytes: the parser itself refuses what is nested more than 64 deep, and what it accepts is
/// more than a test's or a worker's thread has room for.
const STACK: usize = 16 << 20;

pub(super) fn visit(text: &str, visit: Visit<'_>) -> Result<(), (Option<usize>, String)> {
    let parse = || {
        let body = parse_body(text).map_err(|error| (Some(error.location().line()), error.message().to_owned()))?;
        HclWalk { text, path: Vec::new(), visit }.body(&body);
        Ok(())
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, parse);
        let thread = thread.map_err(|error| (None, format!("no thread could be started to read it: {error}")))?;
        thread.join().unwrap_or_else(|_| Err((None, "reading it failed".to_owned())))
    })
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
