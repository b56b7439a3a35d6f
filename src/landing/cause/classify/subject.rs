//! The object that a message is about.

/// The object that a message names as refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::landing) struct Subject {
    /// The kind as the message writes it: `Job`.
    pub(in crate::landing) kind: String,
    /// The namespace, if the message names it.
    pub(in crate::landing) namespace: Option<String>,
    /// Its name.
    pub(in crate::landing) name: String,
}

/// The object that was refused: `Job/web/migrate dry-run failed`, `Job.batch "migrate" is invalid`.
pub(in crate::landing) fn subject(message: &str) -> Option<Subject> {
    let all: Vec<&str> = message.split_whitespace().collect();
    let by_path =
        all.windows(2).find(|pair| pair[1].starts_with("dry-run") || pair[1].starts_with("apply")).and_then(|pair| {
            let parts: Vec<&str> = pair[0].trim_matches(|c: char| !c.is_alphanumeric()).split('/').collect();
            match parts.as_slice() {
                [kind, namespace, name] => Some(Subject {
                    kind: (*kind).to_owned(),
                    namespace: Some((*namespace).to_owned()),
                    name: (*name).to_owned(),
                }),
                [kind, name] => Some(Subject { kind: (*kind).to_owned(), namespace: None, name: (*name).to_owned() }),
                _ => None,
            }
        });
    by_path.or_else(|| {
        let found = all.windows(3).find(|it| it[2] == "is" && it[1].starts_with('"') && it[1].ends_with('"'))?;
        let kind = found[0].trim_matches(|c: char| !c.is_alphanumeric() && c != '.');
        let kind = kind.split('.').next().filter(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))?;
        Some(Subject { kind: kind.to_owned(), namespace: None, name: found[1].trim_matches('"').to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_that_was_refused_is_named() {
        let job = |namespace: Option<&str>| {
            Some(Subject { kind: "Job".to_owned(), namespace: namespace.map(str::to_owned), name: "mig".to_owned() })
        };
        assert_eq!(subject("Job/dev/mig dry-run failed (Invalid): Job.batch \"mig\" is invalid: x"), job(Some("dev")));
        assert_eq!(subject("Job.batch \"mig\" is invalid: spec.template: field is immutable"), job(None));
        assert_eq!(subject("cannot patch \"web\" with kind Job: Job.batch \"mig\" is invalid: x"), job(None));
        assert_eq!(subject("one or more objects failed to apply"), None);
    }
}
