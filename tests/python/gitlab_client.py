"""Speaks to the stand-in for GitLab through python-gitlab: whatever the bot relies on must be there for others, too.

usage: gitlab_client.py URL TOKEN
"""

import sys

import gitlab

url, token = sys.argv[1:]
gl = gitlab.Gitlab(url, private_token=token)
assert "api" in gl.personal_access_tokens.get("self").scopes
project = gl.projects.get("acme/deploys")
assert project.path_with_namespace == "acme/deploys" and not project.archived
assert project.merge_method == "merge" and project.squash_option == "default_off"

wanted = {"source_branch": "landfall/prod", "target_branch": "main", "title": "Draft: web to 1.2", "description": "text"}
created = project.mergerequests.create(wanted)
assert (created.iid, created.state, created.draft, created.title) == (1, "opened", True, "Draft: web to 1.2")
try:
    project.mergerequests.create(wanted)
    sys.exit("a second merge request of one branch was created")
except gitlab.GitlabCreateError as error:
    assert error.response_code == 409 and "already exists" in str(error), error
found = project.mergerequests.list(state="opened", source_branch="landfall/prod", target_branch="main", get_all=True)
assert [request.iid for request in found] == [1]

request = project.mergerequests.get(1)
assert request.detailed_merge_status == "draft_status"
request.title = "web to 1.3"
request.save()
ann = gl.users.list(username="ann", get_all=True)[0]
project.mergerequests.update(1, {"add_labels": "release,needs review", "reviewer_ids": [ann.id]})
request = project.mergerequests.get(1)
assert (request.draft, request.title, request.detailed_merge_status) == (False, "web to 1.3", "mergeable")
assert request.labels == ["release", "needs review"]
assert [reviewer["username"] for reviewer in request.reviewers] == ["ann"]
assert [event.action for event in request.resourcelabelevents.list(get_all=True)] == ["add", "add"]
request.notes.create({"body": "hello"})
assert "hello" in [note.body for note in request.notes.list(get_all=True)]
assert request.approvals.get().approved_by == []
assert project.members_all.get(ann.id).access_level == gitlab.const.AccessLevel.DEVELOPER
assert project.commits.get(request.sha, lazy=True).statuses.list(get_all=True) == []
assert project.pipelines.list(sha=request.sha, get_all=True) == []

place = f"/projects/{project.encoded_id}/merge_requests/1/merge"
try:
    gl.http_put(place, post_data={"sha": "0" * 40})
    sys.exit("another commit was merged")
except gitlab.GitlabHttpError as error:
    assert error.response_code == 409, error
merged = gl.http_put(place, post_data={"sha": request.sha})
assert merged["state"] == "merged" and merged["merge_commit_sha"]

second = project.mergerequests.create(wanted | {"title": "web to 1.4"})
project.mergerequests.update(second.iid, {"state_event": "close"})
assert project.mergerequests.get(second.iid).state == "closed"
