//! Configuration and policy files as they are shipped, and as people get them wrong.
//!
//! Each file of `tests/samples/config` is invalid and says at its end what is to be reported, all of it and nothing else:
//! `# expect LINE:COLUMN part of the message [=> part of the hint]`.

use std::fs;
use std::path::{Path, PathBuf};

use landfall::config::{self, ConfigError, Diagnostic, FileKind};
use landfall::policy::PolicySet;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

/// The configurations that are shipped.
fn shipped() -> Vec<PathBuf> {
    let all = ["config", "config/registries"].map(|folder| yaml_files(&root().join(folder)));
    assert!(all.iter().all(|files| files.len() >= 4));
    all.concat()
}

/// The kind of a sample, and what loading it reports.
fn report(path: &Path) -> (FileKind, Vec<Diagnostic>) {
    let name = path.file_name().unwrap().to_str().unwrap();
    if name.starts_with("config-") {
        let diagnostics = match config::load(path) {
            Ok(_) => Vec::new(),
            Err(ConfigError::Invalid { diagnostics, .. }) => diagnostics,
            Err(error) => panic!("{name}: {error}"),
        };
        (FileKind::Config, diagnostics)
    } else {
        let text = fs::read_to_string(path).unwrap();
        (FileKind::Policy, config::parse_policies(name, &text).err().unwrap_or_default())
    }
}

#[test]
fn every_invalid_sample_reports_exactly_what_is_wrong() {
    let files = yaml_files(&root().join("tests/samples/config"));
    assert!(files.len() >= 30, "only {} samples", files.len());
    let mut wrong = Vec::new();
    for path in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(path).unwrap();
        let mut expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# expect ")).collect();
        if expected.is_empty() {
            wrong.push(format!("{name}: expects nothing"));
        }
        for diagnostic in report(path).1 {
            let place = format!("{}:{} ", diagnostic.line, diagnostic.column);
            let hint = diagnostic.hint.as_deref().unwrap_or_default();
            let matches = |line: &&str| {
                let Some(rest) = line.strip_prefix(&place) else { return false };
                let (message, next) = rest.split_once(" => ").unwrap_or((rest, ""));
                diagnostic.message.contains(message) && hint.contains(next)
            };
            match expected.iter().position(matches) {
                Some(at) => drop(expected.remove(at)),
                None => wrong.push(format!("{name}: # expect {place}{} => {hint}", diagnostic.message)),
            }
        }
        wrong.extend(expected.iter().map(|line| format!("{name}: missing: {line}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_report_shows_a_secret() {
    let marker = "hunter2-do-not-print";
    let mut seen = 0;
    for path in yaml_files(&root().join("tests/samples/config")) {
        let text = fs::read_to_string(&path).unwrap();
        if !text.contains(marker) {
            continue;
        }
        for diagnostic in report(&path).1 {
            seen += 1;
            let json = serde_json::to_string(&diagnostic).unwrap();
            let shown = format!("{json}{diagnostic}{}", diagnostic.render(Some(&text), false));
            assert!(!shown.contains(marker), "{shown}");
        }
    }
    assert!(seen >= 3, "only {seen} diagnostics of files with secrets");
}

#[test]
fn every_shipped_configuration_loads_without_a_word() {
    for path in shipped() {
        crate::support::process::run(&root(), &["check", "--config", path.to_str().unwrap()]).ends(0);
        match config::load(&path) {
            Ok(loaded) => assert_eq!(loaded.diagnostics, [], "{}", path.display()),
            Err(error) => panic!("{}", error.render(false)),
        }
    }
}

#[test]
fn every_shipped_policy_file_loads_without_a_word() {
    let files = config::load::policy_files(&root().join("policies")).unwrap();
    assert!(files.len() >= 2);
    let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let (policies, diagnostics) = config::parse_policy_files(texts);
    assert_eq!(diagnostics, []);
    let set = PolicySet::new(policies);
    assert_eq!(config::policy_warnings(&set), []);
    let names: Vec<&str> = set.policies().iter().map(|policy| policy.name.value.as_str()).collect();
    assert_eq!(&names[..2], ["dev", "prod"], "dev-prod.yaml is the first file and holds two policies");
}

/// What the schemas use of JSON Schema, and no more: an unknown keyword fails the test, so that none is overlooked.
pub(crate) fn conforms(schema: &Value, all: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Value::Object(schema) = schema else { return Ok(()) };
    for (keyword, argument) in schema {
        let ok = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "$defs" | "format" => true,
            "$ref" => {
                let pointer = argument.as_str().unwrap().strip_prefix('#').unwrap();
                conforms(all.pointer(pointer).unwrap(), all, value, at)?;
                true
            }
            "anyOf" | "oneOf" => {
                argument.as_array().unwrap().iter().any(|choice| conforms(choice, all, value, at).is_ok())
            }
            "type" => {
                let kind = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "integer",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                argument == kind || argument.as_array().is_some_and(|kinds| kinds.iter().any(|other| other == kind))
            }
            "const" => argument == value,
            "enum" => argument.as_array().unwrap().contains(value),
            "minimum" => value.as_u64() >= argument.as_u64(),
            "required" => argument.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "additionalProperties" => {
                assert_eq!(argument, false);
                let known = schema["properties"].as_object().unwrap();
                value.as_object().is_none_or(|value| value.keys().all(|key| known.contains_key(key)))
            }
            "properties" => {
                for (key, schema) in argument.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        conforms(schema, all, value, &format!("{at}.{key}"))?;
                    }
                }
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    conforms(argument, all, item, &format!("{at}[{index}]"))?;
                }
                true
            }
            other => panic!("keyword {other} is not known to this test"),
        };
        if !ok {
            return Err(format!("{at}: {keyword} {argument}"));
        }
    }
    Ok(())
}

fn valid(kind: FileKind, text: &str) -> Result<(), String> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let schema = config::schema(kind);
    conforms(&schema, &schema, &value, "")
}

#[test]
fn shipped_files_conform_to_the_schemas() {
    let policies = yaml_files(&root().join("policies"));
    for (kind, files) in [(FileKind::Config, shipped()), (FileKind::Policy, policies)] {
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(valid(kind, &text), Ok(()), "{}", path.display());
            assert_eq!(config::kind_of(&text), Some(kind), "{}", path.display());
        }
    }
}

#[test]
fn the_schemas_refuse_wrong_shapes() {
    for name in [
        "config-unknown-keys",
        "config-missing-repositories",
        "config-wrong-types",
        "config-plain-secret",
        "config-caps",
        "config-key-without-value",
        "policy-unknown-keys",
        "policy-missing",
        "policy-write",
        "policy-paths-not-a-list",
        "policy-pin",
    ] {
        let path = root().join("tests/samples/config").join(format!("{name}.yaml"));
        let kind = if name.starts_with("config") { FileKind::Config } else { FileKind::Policy };
        assert!(valid(kind, &fs::read_to_string(path).unwrap()).is_err(), "{name}");
    }
}

#[test]
fn the_schemas_describe_every_key() {
    fn walk(value: &Value, at: &str, silent: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (key, schema) in properties {
                if schema.get("description").is_none() {
                    silent.push(format!("{at}.{key}"));
                }
            }
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            walk(value, &format!("{at}.{key}"), silent);
        }
    }
    for kind in [FileKind::Config, FileKind::Policy] {
        let mut silent = Vec::new();
        walk(&config::schema(kind), "", &mut silent);
        assert_eq!(silent, Vec::<String>::new());
    }
}
