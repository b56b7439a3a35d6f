//! The message of an error in GitLab's JSON.

use serde_json::Value;

/// The message of an error. It is a text, a list, or lists by field.
pub(super) fn message(body: &Value) -> String {
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let told = match &body["message"] {
        Value::Null => None,
        other => Some(plain(other)),
    };
    let explained = text("error").map(|error| match text("error_description") {
        Some(more) => format!("{error}: {more}"),
        None => error,
    });
    told.or(explained).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().take(5).map(plain).collect::<Vec<_>>().join("; "),
        Value::Object(all) => {
            all.iter().take(5).map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_has_one_of_many_shapes() {
        for (body, expected) in [
            (json!({ "message": "404 Project Not Found" }), "404 Project Not Found"),
            (
                json!({ "message": ["Another open merge request already exists for this source branch: !7"] }),
                "Another open merge request already exists for this source branch: !7",
            ),
            (json!({ "message": { "title": ["is too long", "is odd"] } }), "title is too long; is odd"),
            (
                json!({ "error": "insufficient_scope", "error_description": "higher privileges", "scope": "api" }),
                "insufficient_scope: higher privileges",
            ),
            (json!({ "error": "source_branch is missing" }), "source_branch is missing"),
            (json!([1]), ""),
            (json!("x"), ""),
        ] {
            assert_eq!(message(&body), expected, "{body}");
        }
    }
}
