//! The message of an error in Bitbucket Cloud's JSON.

use serde_json::Value;

/// The message of an error, with its details: among them the scopes that a token lacks.
pub(super) fn message(body: &Value) -> String {
    let error = &body["error"];
    let mut text = error["message"].as_str().unwrap_or_default().to_owned();
    let detail = match &error["detail"] {
        Value::String(detail) => detail.clone(),
        Value::Object(detail) => match &detail["required"] {
            Value::Array(scopes) => {
                let scopes: Vec<&str> = scopes.iter().take(5).filter_map(Value::as_str).collect();
                format!("required scopes: {}", scopes.join(", "))
            }
            _ => String::new(),
        },
        _ => String::new(),
    };
    let fields = error["fields"].as_object().into_iter().flatten().take(5);
    let fields = fields.map(|(key, value)| match value {
        Value::Array(all) => {
            format!("{key}: {}", all.iter().take(5).filter_map(Value::as_str).collect::<Vec<_>>().join("; "))
        }
        other => format!("{key}: {}", other.as_str().unwrap_or_default()),
    });
    for more in std::iter::once(detail).chain(fields).filter(|more| !more.is_empty()) {
        text = if text.is_empty() { more } else { format!("{text}: {more}") };
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_has_its_details() {
        for (body, expected) in [
            (json!({ "type": "error", "error": { "message": "Not found" } }), "Not found"),
            (
                json!({ "error": { "message": "Your credentials lack one or more required privilege scopes.",
                    "detail": { "required": ["pullrequest:write"], "granted": ["repository"] } } }),
                "Your credentials lack one or more required privilege scopes.: required scopes: pullrequest:write",
            ),
            (
                json!({ "error": { "message": "Bad request", "fields": { "reviewers": ["Malformed reviewers list"] } } }),
                "Bad request: reviewers: Malformed reviewers list",
            ),
            (json!([]), ""),
        ] {
            assert_eq!(message(&body), expected);
        }
    }
}
