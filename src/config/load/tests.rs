//! Files, in temporary folders.

use super::*;

#[test]
fn the_state_folder_follows_the_xdg_specification() {
    let dir = |pairs: &'static [(&str, &str)]| {
        let lookup = move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        default_state_dir(&Environment::from_fn(lookup))
    };
    assert_eq!(dir(&[("HOME", "/home/a")]), Some("/home/a/.local/state/landfall".into()));
    assert_eq!(dir(&[("HOME", "/home/a"), ("XDG_STATE_HOME", "/x")]), Some("/x/landfall".into()));
    assert_eq!(dir(&[("HOME", "/home/a"), ("XDG_STATE_HOME", "x")]), Some("/home/a/.local/state/landfall".into()));
    assert_eq!(dir(&[]), None);
}

#[test]
fn policy_folders_are_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.yaml", "a.yml", ".hidden.yaml", "README.md", "c.yaml.bak", "A.yaml"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    fs::create_dir(folder.path().join("d.yaml")).unwrap();
    let texts: Vec<String> = policy_files(folder.path()).unwrap().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["A.yaml", "a.yml", "b.yaml"]);
    assert_eq!(policy_files(&folder.path().join("a.yml")).unwrap().len(), 1);
    assert!(matches!(policy_files(&folder.path().join("none")), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn relative_paths_start_at_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("landfall.yaml");
    fs::write(&path, "stateDir: state\nrepositories:\n  - { name: a, url: ./a.git, policies: { file: policies } }\n")
        .unwrap();
    let settings = load(&path).unwrap().settings;
    assert_eq!(settings.state_dir, Some(folder.path().join("state")));
    assert_eq!(Path::new(&settings.repositories[0].url), folder.path().join("./a.git"));
    assert_eq!(settings.repositories[0].policies, super::super::PolicySource::File(folder.path().join("policies")));
}

#[test]
fn a_configuration_is_found_in_two_places() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(default_path(folder.path()), None);
    fs::create_dir(folder.path().join("config")).unwrap();
    fs::write(folder.path().join("config/landfall.yaml"), "").unwrap();
    assert_eq!(default_path(folder.path()), Some(folder.path().join("config/landfall.yaml")));
    fs::write(folder.path().join("landfall.yaml"), "").unwrap();
    assert_eq!(default_path(folder.path()), Some(folder.path().join("landfall.yaml")));
}

#[test]
fn what_cannot_be_text_is_unreadable_and_not_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("landfall.yaml");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(load(&path).unwrap_err().render(false).contains("UTF-8"));
    assert!(matches!(load(folder.path()), Err(ConfigError::Unreadable { .. })));
}
