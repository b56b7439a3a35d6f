//! What `landfall doctor` says of a forge, and `landfall check` of what it has not.

use super::*;

#[test]
fn doctor_names_what_is_missing() {
    everywhere(async |mut scene| {
        let kind = scene.kind;
        let good = scene.forge.doctor("landfall").await.unwrap().unwrap();
        assert!(good.starts_with("0 open pull requests of ours"), "{good}");
        assert_eq!(good.contains("the token expires on 2027-01-31"), kind == "gitlab", "{good}");
        if kind == "bitbucket" {
            return;
        }
        scene.stub.rights(false, false);
        let error = text(&scene.forge.doctor("landfall").await.unwrap_err());
        assert!(error.contains("may not push") && error.contains("next: give it"), "{kind}: {error}");
        scene.stub.rights(true, true);
        assert!(
            text(&scene.forge.doctor("landfall").await.unwrap_err()).contains(if kind == "azure-devops" {
                "disabled"
            } else {
                "archived"
            }),
            "{kind}"
        );
        scene.stub.rights(true, false);
        scene.stub.token("another");
        scene.restart().await;
        let error = scene.forge.doctor("landfall").await.unwrap_err();
        assert_eq!(error.code, FailureCode::Authentication, "{kind}");
        assert!(text(&error).contains("token refused or expired; next: "), "{kind}: {error}");
    });
    gitlab(async |scene| {
        scene.stub.protect();
        let words = scene.forge.doctor("landfall").await.unwrap().unwrap();
        assert!(words.contains("may not merge into main; for automerge, give it the role Maintainer (40)"), "{words}");
    });
    gitlab(async |scene| {
        scene.stub.scopes(&["read_api", "write_repository"]);
        let error = text(&scene.forge.doctor("landfall").await.unwrap_err());
        assert!(error.contains("the token has the scopes read_api, write_repository"), "{error}");
        assert!(error.contains("next: make a token with the scope `api`"), "{error}");
        let error = text(&scene.try_ensure(&bare("web to 1.2"), None).await.unwrap_err());
        assert!(error.contains("insufficient_scope") && error.contains("next: make a token"), "{error}");
    });
    gitea(async |scene| {
        for (scopes, missing) in [
            (&["write:issue"][..], "read:repository"),
            (&["read:repository", "write:issue"], "write:repository"),
            (&["write:repository"], "write:issue"),
            (&["write:repository", "read:issue"], "write:issue"),
        ] {
            scene.stub.scopes(scopes);
            let error = text(&scene.forge.doctor("landfall").await.unwrap_err());
            assert!(error.contains(&format!("required=[{missing}]")), "{scopes:?}: {error}");
            assert!(error.contains("next: give the token the scopes"), "{error}");
        }
        assert_eq!(scene.stub.pulls(), [], "to know it, nothing is changed");
    });
    gitea(async |scene| {
        scene.stub.scopes(&["read:repository"]);
        let error = text(&scene.try_ensure(&bare("web to 1.2"), None).await.unwrap_err());
        assert!(error.contains("required=[write:repository]"), "{error}");
    });
}

#[test]
fn doctor_names_what_a_token_of_bitbucket_lacks() {
    on(&KINDS[4..5], async |mut scene| {
        scene.stub.administers(false);
        let words = scene.forge.doctor("landfall").await.unwrap().unwrap();
        assert!(words.contains("only default reviewers' approvals count"), "{words}");
        scene.stub.scopes(&["pullrequest", "repository"]);
        let error = text(&scene.forge.doctor("landfall").await.unwrap_err());
        assert!(error.contains("the token has the scopes pullrequest, repository)"), "{error}");
        assert!(error.contains("next: make a token"), "{error}");
        let error = text(&scene.try_ensure(&bare("web to 1.2"), None).await.unwrap_err());
        assert!(error.contains("required scopes: pullrequest:write"), "{error}");
        scene.stub.token("another");
        scene.restart().await;
        let error = text(&scene.forge.doctor("landfall").await.unwrap_err());
        assert!(error.contains("token refused or expired; next: "), "{error}");
    });
}

/// The words of each row of the table in the documentation are words that it says.
#[test]
fn doctor_says_what_the_documentation_says() {
    let mut said: Vec<String> = Vec::new();
    let told = std::cell::RefCell::new(&mut said);
    let ask = async |forge: &Forge| {
        let words = match forge.doctor("landfall").await {
            Ok(words) => words.unwrap_or_default(),
            Err(error) => text(&error),
        };
        told.borrow_mut().push(words);
    };
    everywhere(async |mut scene| {
        ask(&scene.forge).await;
        scene.stub.protect();
        scene.stub.administers(false);
        ask(&scene.forge).await;
        scene.stub.rights(false, false);
        ask(&scene.forge).await;
        scene.stub.rights(true, false);
        scene.stub.votes(false);
        ask(&scene.forge).await;
        for scopes in [&["read_api"][..], &["pullrequest", "repository"]] {
            scene.stub.scopes(scopes);
            ask(&scene.forge).await;
        }
        scene.stub.fault(Fault::on("GET", "").times(9).message(404, "Not Found"));
        ask(&scene.forge).await;
        scene.stub.no_faults();
        scene.stub.fault(Fault::on("GET", "").answer(301, &[("location", "https://elsewhere.example.com/x")], "{}"));
        ask(&scene.forge).await;
        if scene.kind == "gitea" {
            let Err(error) = scene.try_ensure(&bare("x"), None).await else { panic!("it has no scope") };
            told.borrow_mut().push(text(&error));
        }
        scene.stub.token("another");
        scene.restart().await;
        ask(&scene.forge).await;
    });
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/how-to/forges.md")).unwrap();
    let (_, table) = page.split_once("| it says | it means |").unwrap();
    let rows: Vec<&str> = table.lines().skip(2).filter_map(|row| row.split('`').nth(1)).collect();
    assert!(rows.len() > 9, "{rows:?}");
    for row in rows {
        let parts: Vec<&str> = row.split('…').collect();
        let has_all = |words: &&String| {
            let mut rest = words.as_str();
            parts.iter().all(|part| rest.find(part).map(|at| rest = &rest[at + part.len()..]).is_some())
        };
        assert!(said.iter().any(|words| has_all(&words)), "nothing says `{row}`: {said:#?}");
    }
}

#[test]
fn what_a_forge_has_not_is_known_beforehand() {
    let lacks = |forge: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("landfall.yaml");
        let text =
            format!("repositories:\n  - {{ name: deploys, url: https://x.example.com/a/b.git, forge: {forge} }}\n");
        std::fs::write(&file, text).unwrap();
        config::load(&file).unwrap().settings.repositories.remove(0).forge.lacks()
    };
    let hosted = "url: https://x.example.com, repository: a/b, token: { env: T }";
    assert_eq!(lacks(&format!("{{ kind: gitlab, {hosted} }}")), [Feature::TeamReviewers]);
    assert_eq!(lacks(&format!("{{ kind: forgejo, {hosted} }}")), []);
    assert_eq!(lacks(&format!("{{ kind: azure-devops, {hosted} }}")), [Feature::ApprovalsOfWriters]);
    assert_eq!(lacks(&format!("{{ kind: bitbucket-dc, {hosted} }}")), [Feature::Labels, Feature::TeamReviewers]);
    let cloud = lacks("{ kind: bitbucket, repository: a/b, token: { env: T } }");
    assert_eq!(cloud, [Feature::Labels, Feature::TeamReviewers, Feature::MergeAtCommit]);
    assert!(lacks("{ kind: local }").contains(&Feature::Checks));
}
