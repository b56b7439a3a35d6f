// Speaks to the stand-in for GitLab through gitbeaker: whatever the bot relies on must be there for others, too.
//
// usage: gitlab-client.js URL TOKEN

const assert = require("node:assert");
const { Gitlab } = require("@gitbeaker/rest");

const [host, token] = process.argv.slice(2);
const gl = new Gitlab({ host, token });
const PROJECT = "acme/deploys";

/** What is refused, is so with this status. */
async function refused(status, promise) {
  const error = await promise.then(() => assert.fail("it was not refused"), (error) => error);
  assert.equal(error.cause?.response?.status, status, error);
  return error;
}

async function main() {
  assert((await gl.PersonalAccessTokens.show()).scopes.includes("api"));
  const project = await gl.Projects.show(PROJECT);
  assert.deepEqual([project.path_with_namespace, project.archived, project.merge_method], [PROJECT, false, "merge"]);

  const wanted = [PROJECT, "landfall/prod", "main", "Draft: web to 1.2"];
  const created = await gl.MergeRequests.create(...wanted, { description: "text" });
  assert.deepEqual([created.iid, created.state, created.draft], [1, "opened", true]);
  await refused(409, gl.MergeRequests.create(...wanted));
  const found = await gl.MergeRequests.all({
    projectId: PROJECT,
    state: "opened",
    sourceBranch: "landfall/prod",
    targetBranch: "main",
  });
  assert.deepEqual(found.map((request) => request.iid), [1]);
  assert.equal((await gl.MergeRequests.show(PROJECT, 1)).detailed_merge_status, "draft_status");

  const [ann] = await gl.Users.all({ username: "ann" });
  await gl.MergeRequests.edit(PROJECT, 1, { title: "web to 1.3", addLabels: "release,needs review", reviewerIds: [ann.id] });
  const request = await gl.MergeRequests.show(PROJECT, 1);
  assert.deepEqual([request.draft, request.title, request.detailed_merge_status], [false, "web to 1.3", "mergeable"]);
  assert.deepEqual(request.labels, ["release", "needs review"]);
  assert.deepEqual(request.reviewers.map((reviewer) => reviewer.username), ["ann"]);
  const labelled = await gl.MergeRequestLabelEvents.all(PROJECT, 1);
  assert.deepEqual(labelled.map((event) => event.action), ["add", "add"]);
  await gl.MergeRequestNotes.create(PROJECT, 1, "hello");
  assert((await gl.MergeRequestNotes.all(PROJECT, 1)).some((note) => note.body === "hello"));
  assert.deepEqual((await gl.MergeRequestApprovals.showConfiguration(PROJECT, { mergerequestIId: 1 })).approved_by, []);
  assert.equal((await gl.ProjectMembers.show(PROJECT, ann.id, { includeInherited: true })).access_level, 30);
  assert.deepEqual(await gl.Commits.allStatuses(PROJECT, request.sha), []);
  assert.deepEqual(await gl.Pipelines.all(PROJECT, { sha: request.sha }), []);

  await refused(409, gl.MergeRequests.merge(PROJECT, 1, { sha: "0".repeat(40) }));
  const merged = await gl.MergeRequests.merge(PROJECT, 1, { sha: request.sha });
  assert.equal(merged.state, "merged");
  assert(merged.merge_commit_sha);

  const second = await gl.MergeRequests.create(PROJECT, "landfall/prod", "main", "web to 1.4");
  await gl.MergeRequests.edit(PROJECT, second.iid, { stateEvent: "close" });
  assert.equal((await gl.MergeRequests.show(PROJECT, second.iid)).state, "closed");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
