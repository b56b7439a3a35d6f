// Cuts GitHub's OpenAPI description to the operations that Landfall uses, with everything they refer to. The whole of it
// takes prism 11 s and 500 MB to load, this part of it about a second.
//
// usage: node github-openapi.js WHOLE.json PART.json

const fs = require("fs");

const USED = {
  "/user": ["get"],
  "/repos/{owner}/{repo}": ["get"],
  "/repos/{owner}/{repo}/activity": ["get"],
  "/repos/{owner}/{repo}/pulls": ["get", "post"],
  "/repos/{owner}/{repo}/pulls/{pull_number}": ["get", "patch"],
  "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers": ["post"],
  "/repos/{owner}/{repo}/pulls/{pull_number}/reviews": ["get"],
  "/repos/{owner}/{repo}/pulls/{pull_number}/merge": ["put"],
  "/repos/{owner}/{repo}/git/blobs": ["post"],
  "/repos/{owner}/{repo}/git/trees": ["post"],
  "/repos/{owner}/{repo}/git/commits": ["post"],
  "/app-manifests/{code}/conversions": ["post"],
  "/repos/{owner}/{repo}/commits/{ref}": ["get"],
  "/repos/{owner}/{repo}/commits/{ref}/status": ["get"],
  "/repos/{owner}/{repo}/commits/{ref}/check-runs": ["get"],
  "/repos/{owner}/{repo}/collaborators/{username}/permission": ["get"],
  "/repos/{owner}/{repo}/issues/{issue_number}/labels": ["post"],
  "/repos/{owner}/{repo}/issues/{issue_number}/labels/{name}": ["delete"],
  "/repos/{owner}/{repo}/issues/{issue_number}/comments": ["get", "post"],
  "/repos/{owner}/{repo}/issues/{issue_number}/events": ["get"],
};

const [wholeFile, partFile] = process.argv.slice(2);
const whole = JSON.parse(fs.readFileSync(wholeFile, "utf8"));
const part = { openapi: whole.openapi, info: whole.info, servers: [{ url: "/" }], paths: {}, components: {} };

for (const [path, methods] of Object.entries(USED)) {
  if (!whole.paths[path]) throw new Error(`GitHub's description has no ${path} any more`);
  part.paths[path] = {};
  for (const method of methods) {
    if (!whole.paths[path][method]) throw new Error(`GitHub's description has no ${method} ${path} any more`);
    part.paths[path][method] = whole.paths[path][method];
  }
}

// Pages by id: GitHub's own Link headers point to /repositories/ID/…, which its description does not list.
part.paths["/repositories/{repository_id}/pulls"] = {
  get: {
    ...part.paths["/repos/{owner}/{repo}/pulls"].get,
    operationId: "pulls/list-by-id",
    parameters: part.paths["/repos/{owner}/{repo}/pulls"].get.parameters
      .filter((p) => !/\/(owner|repo)$/.test(p.$ref || ""))
      .concat([{ name: "repository_id", in: "path", required: true, schema: { type: "integer" } }]),
  },
};

const done = new Set();
function follow(node) {
  if (Array.isArray(node)) return node.forEach(follow);
  if (!node || typeof node !== "object") return;
  for (const [key, value] of Object.entries(node)) {
    if (key === "$ref" && typeof value === "string") {
      if (done.has(value)) continue;
      done.add(value);
      const [, , kind, name] = value.split("/");
      const target = whole.components[kind][name];
      if (!target) throw new Error(`${value} leads nowhere`);
      (part.components[kind] ||= {})[name] = target;
      follow(target);
    } else if (key === "examples" && node.schema) {
      delete node[key]; // most of the size, and nothing is checked against them
    } else follow(value);
  }
}
follow(part.paths);

fs.writeFileSync(partFile, JSON.stringify(part));
console.log(`${partFile}: ${Object.keys(part.paths).length} paths, ${Math.round(fs.statSync(partFile).size / 1024)} kB`);
