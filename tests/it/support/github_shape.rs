//! GitHub's objects with every key that its OpenAPI description requires; checked by prism in `tests/it/forge.rs`.

use serde_json::{Map, Value, json};

/// Where the stub is, and as which repository.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// The API's address without a closing `/`.
    pub(crate) api: String,
    /// The repository's owner.
    pub(crate) owner: String,
    /// The repository's name.
    pub(crate) name: String,
    /// The repository's id.
    pub(crate) id: u64,
}

fn urls(into: &mut Map<String, Value>, base: &str, keys: &[&str]) {
    for key in keys {
        let path = key.trim_end_matches("_url").replace('_', "-");
        into.insert((*key).to_owned(), json!(format!("{base}/{path}")));
    }
}

pub(crate) fn user(api: &str, login: &str) -> Value {
    let mut user = json!({
        "login": login, "id": 1, "node_id": "U_1", "avatar_url": "https://avatars.example.com/u/1", "gravatar_id": "",
        "url": format!("{api}/users/{login}"), "html_url": format!("https://github.example.com/{login}"),
        "type": "User", "site_admin": false,
    });
    let keys = [
        "followers_url",
        "following_url",
        "gists_url",
        "starred_url",
        "subscriptions_url",
        "organizations_url",
        "repos_url",
        "events_url",
        "received_events_url",
    ];
    urls(user.as_object_mut().unwrap(), &format!("{api}/users/{login}"), &keys);
    user
}

pub(crate) fn team(api: &str, org: &str, slug: &str) -> Value {
    json!({
        "id": 7, "node_id": "T_7", "name": slug, "slug": slug, "description": null, "privacy": "closed",
        "url": format!("{api}/teams/7"), "html_url": format!("https://github.example.com/orgs/{org}/teams/{slug}"),
        "members_url": format!("{api}/teams/7/members"), "repositories_url": format!("{api}/teams/7/repos"),
        "permission": "pull", "parent": null, "type": "organization", "organization_id": 8,
    })
}

pub(crate) fn label(shape: &Shape, name: &str) -> Value {
    json!({
        "id": 3, "node_id": "LA_3", "url": format!("{}/labels/x", shape.repository_url()), "name": name,
        "description": "", "color": "ededed", "default": false,
    })
}

const REPOSITORY_URLS: &[&str] = &[
    "archive_url",
    "assignees_url",
    "blobs_url",
    "branches_url",
    "collaborators_url",
    "comments_url",
    "commits_url",
    "compare_url",
    "contents_url",
    "contributors_url",
    "deployments_url",
    "downloads_url",
    "events_url",
    "forks_url",
    "git_commits_url",
    "git_refs_url",
    "git_tags_url",
    "hooks_url",
    "issue_comment_url",
    "issue_events_url",
    "issues_url",
    "keys_url",
    "labels_url",
    "languages_url",
    "merges_url",
    "milestones_url",
    "notifications_url",
    "pulls_url",
    "releases_url",
    "stargazers_url",
    "statuses_url",
    "subscribers_url",
    "subscription_url",
    "tags_url",
    "teams_url",
    "trees_url",
];

impl Shape {
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub(crate) fn repository_url(&self) -> String {
        format!("{}/repos/{}/{}", self.api, self.owner, self.name)
    }

    /// The repository; `id` other than ours is a fork of the same name.
    pub(crate) fn repository(&self, owner: &str, id: u64) -> Value {
        let html = format!("https://github.example.com/{owner}/{}", self.name);
        let mut repository = json!({
            "id": id, "node_id": "R_1", "name": self.name, "full_name": format!("{owner}/{}", self.name), "private": true,
            "owner": user(&self.api, owner), "html_url": html, "description": null, "fork": id != self.id,
            "url": format!("{}/repos/{owner}/{}", self.api, self.name), "homepage": null, "language": null,
            "forks": 0, "forks_count": 0, "stargazers_count": 0, "watchers": 0, "watchers_count": 0, "size": 1,
            "default_branch": "main", "open_issues": 0, "open_issues_count": 0, "is_template": false, "topics": [],
        });
        let more = json!({
            "has_issues": true, "has_projects": true, "has_wiki": true, "has_pages": false, "has_downloads": true,
            "has_discussions": false, "archived": false, "disabled": false, "visibility": "private", "license": null,
            "pushed_at": TIME, "created_at": TIME, "updated_at": TIME, "mirror_url": null, "network_count": 0,
            "subscribers_count": 0, "allow_forking": true, "web_commit_signoff_required": false,
            "git_url": format!("git://github.example.com/{owner}/{}.git", self.name),
            "ssh_url": format!("git@github.example.com:{owner}/{}.git", self.name),
            "clone_url": format!("{html}.git"), "svn_url": html,
            "permissions": {"admin": false, "maintain": false, "push": true, "triage": true, "pull": true},
        });
        repository.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        urls(
            repository.as_object_mut().unwrap(),
            &format!("{}/repos/{owner}/{}", self.api, self.name),
            REPOSITORY_URLS,
        );
        repository
    }

    /// One end of a pull request.
    pub(crate) fn end(&self, owner: &str, id: Option<u64>, branch: &str, sha: &str) -> Value {
        json!({
            "label": format!("{owner}:{branch}"), "ref": branch, "sha": sha, "user": user(&self.api, owner),
            "repo": id.map(|id| self.repository(owner, id)),
        })
    }

    /// The address keys of a pull request.
    pub(crate) fn pull_urls(&self, number: u64, into: &mut Map<String, Value>) {
        let html = format!("https://github.example.com/{}/pull/{number}", self.full_name());
        let url = format!("{}/pulls/{number}", self.repository_url());
        let issue = format!("{}/issues/{number}", self.repository_url());
        let found = json!({
            "url": url, "id": 1000 + number, "node_id": format!("PR_{number}"), "html_url": html,
            "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"), "issue_url": issue,
            "commits_url": format!("{url}/commits"), "review_comments_url": format!("{url}/comments"),
            "review_comment_url": format!("{url}/comments{{/number}}"), "comments_url": format!("{issue}/comments"),
            "statuses_url": format!("{}/statuses/x", self.repository_url()),
            "_links": {
                "self": {"href": url}, "html": {"href": html}, "issue": {"href": issue},
                "comments": {"href": format!("{issue}/comments")},
                "review_comments": {"href": format!("{url}/comments")},
                "review_comment": {"href": format!("{url}/comments{{/number}}")},
                "commits": {"href": format!("{url}/commits")},
                "statuses": {"href": format!("{}/statuses/x", self.repository_url())},
            },
        });
        into.extend(found.as_object().unwrap().clone());
    }
}

/// When everything happens.
pub(crate) const TIME: &str = "2026-01-05T08:00:00Z";

/// The keys that single pull requests have and lists have not.
pub(crate) fn pull_details(merged: bool, state: &str) -> Map<String, Value> {
    let details = json!({
        "merged": merged, "mergeable": null, "rebaseable": null, "mergeable_state": state, "merged_by": null,
        "comments": 0, "review_comments": 0, "maintainer_can_modify": false, "commits": 1, "additions": 1,
        "deletions": 1, "changed_files": 1,
    });
    details.as_object().unwrap().clone()
}

/// An entry of an issue's history.
pub(crate) fn event(shape: &Shape, kind: &str, more: &Value) -> Value {
    let mut event = json!({
        "id": 5, "node_id": "E_5", "url": format!("{}/issues/events/5", shape.repository_url()),
        "actor": user(&shape.api, "landfall-bot"), "event": kind, "commit_id": null, "commit_url": null,
        "created_at": TIME, "performed_via_github_app": null,
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// A comment.
pub(crate) fn comment(shape: &Shape, number: u64, id: u64, body: &str) -> Value {
    json!({
        "id": id, "node_id": format!("IC_{id}"), "url": format!("{}/issues/comments/{id}", shape.repository_url()),
        "html_url": format!("https://github.example.com/{}/pull/{number}#issuecomment-{id}", shape.full_name()),
        "body": body, "user": user(&shape.api, "landfall-bot"), "created_at": TIME, "updated_at": TIME,
        "issue_url": format!("{}/issues/{number}", shape.repository_url()), "author_association": "MEMBER",
        "performed_via_github_app": null,
    })
}

/// A commit of a pull request.
pub(crate) fn pull_commit(shape: &Shape, sha: &str, message: &str, writer: &str, address: &str) -> Value {
    let url = format!("{}/commits/{sha}", shape.repository_url());
    let who = json!({ "name": writer, "email": address, "date": TIME });
    json!({
        "sha": sha, "node_id": "C_1", "url": url, "comments_url": format!("{url}/comments"),
        "html_url": format!("https://github.example.com/{}/commit/{sha}", shape.full_name()),
        "author": user(&shape.api, writer), "committer": user(&shape.api, writer), "parents": [],
        "commit": {
            "author": who, "committer": who, "message": message, "comment_count": 0, "url": url,
            "tree": { "sha": sha, "url": format!("{}/git/trees/{sha}", shape.repository_url()) },
        },
    })
}

/// A review; `at` counts them.
pub(crate) fn review(shape: &Shape, number: u64, at: usize, by: &str, state: &str, sha: &str) -> Value {
    let html = format!("https://github.example.com/{}/pull/{number}#pullrequestreview-{at}", shape.full_name());
    let pull = format!("{}/pulls/{number}", shape.repository_url());
    json!({
        "id": at + 1, "node_id": format!("PRR_{at}"), "user": user(&shape.api, by), "body": "", "state": state,
        "html_url": html, "pull_request_url": pull, "submitted_at": TIME, "commit_id": sha,
        "author_association": "MEMBER", "_links": { "html": { "href": html }, "pull_request": { "href": pull } },
    })
}

/// A commit status.
pub(crate) fn status(shape: &Shape, sha: &str, context: &str, state: &str) -> Value {
    json!({
        "id": 11, "node_id": "SC_11", "state": state, "context": context, "description": null, "target_url": null,
        "url": format!("{}/statuses/{sha}", shape.repository_url()), "created_at": TIME, "updated_at": TIME,
        "avatar_url": null,
    })
}

/// A check run; `at` counts them.
pub(crate) fn check_run(
    shape: &Shape,
    sha: &str,
    at: usize,
    name: &str,
    status: &str,
    conclusion: Option<&str>,
) -> Value {
    let url = format!("{}/check-runs/{}", shape.repository_url(), at + 100);
    json!({
        "id": at + 100, "node_id": format!("CR_{at}"), "head_sha": sha, "external_id": "", "url": url, "html_url": url,
        "details_url": url, "status": status, "conclusion": conclusion, "started_at": TIME,
        "completed_at": conclusion.map(|_| TIME), "name": name, "check_suite": { "id": 5 }, "app": null,
        "pull_requests": [],
        "output": {
            "title": null, "summary": null, "text": null, "annotations_count": 0,
            "annotations_url": format!("{url}/annotations"),
        },
    })
}
