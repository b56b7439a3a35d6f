//! Many pull requests at once: what they are judged by, and what became of their branches before, in one GraphQL query for up to
//! a hundred of them.
//!
//! Promise: what is said here is what single questions would say. Where GraphQL is refused or answers only a part, where a list
//! is longer than was asked for, or nothing says who pushed what was approved, nothing is said, and single questions follow.
//!
//! Sources: GitHub's GraphQL reference (`PullRequest`, `PullRequestReview.authorCanPushToRepository`, `StatusCheckRollup`) and its
//! limit of 500,000 nodes for one query: a hundred pull requests ask for some 16,000.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::GitHubApi;
use super::judge::latest_checks;
use super::wire::{WireActivity, WireCheckRun, WirePull, WireStatus};
use crate::forge::AT_ONCE;
use crate::forge::error::ForgeError;
use crate::forge::hosted::{Ahead, PushedTip, counts, may_be_unknown};
use crate::model::{BranchName, CommitId, Review, ReviewState, Reviews, Weight};

/// Up to this many branches are asked about alone who pushed to them; of more, the pushes to all branches are listed, as far back as
/// this many pages.
const FEW: usize = 3;
const PAGES: usize = 5;
/// What one query asks of each, at most.
const JUDGED: &str = "number headRefOid headRefName mergeStateStatus \
     reviews(last: 50) { pageInfo { hasPreviousPage } nodes { author { login __typename } authorCanPushToRepository state commit { oid } } } \
     commits(last: 1) { nodes { commit { oid statusCheckRollup { contexts(first: 100) { pageInfo { hasNextPage } nodes { __typename \
     ... on StatusContext { context state } \
     ... on CheckRun { databaseId name status conclusion checkSuite { databaseId app { databaseId } } } } } } } } }";
const PULL: &str = "number url state title body isDraft isCrossRepository headRefName baseRefName headRefOid updatedAt closedAt mergedAt \
     labels(first: 50) { nodes { name } }";
/// How many pull requests of one branch are read.
const OF_BRANCH: usize = 10;

/// The answers by their names in the query.
#[derive(Deserialize)]
struct GraphRepository<T> {
    repository: Option<BTreeMap<String, Option<T>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphJudged {
    number: u64,
    head_ref_oid: String,
    head_ref_name: String,
    #[serde(default)]
    merge_state_status: Option<String>,
    reviews: GraphList<GraphReview>,
    commits: GraphList<GraphCommitOf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphList<T> {
    nodes: Vec<T>,
    #[serde(default)]
    page_info: GraphPage,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GraphPage {
    has_next_page: bool,
    has_previous_page: bool,
}

impl<T> GraphList<T> {
    /// All of it, if it is all.
    fn whole(self) -> Option<Vec<T>> {
        (!self.page_info.has_next_page && !self.page_info.has_previous_page).then_some(self.nodes)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphReview {
    author: Option<GraphActor>,
    author_can_push_to_repository: bool,
    state: String,
    commit: Option<GraphOid>,
}

#[derive(Deserialize)]
struct GraphActor {
    login: String,
    #[serde(rename = "__typename")]
    kind: String,
}

#[derive(Deserialize)]
struct GraphOid {
    oid: String,
}

#[derive(Deserialize)]
struct GraphCommitOf {
    commit: GraphCommit,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphCommit {
    oid: String,
    status_check_rollup: Option<GraphRollup>,
}

#[derive(Deserialize)]
struct GraphRollup {
    contexts: GraphList<GraphContext>,
}

#[derive(Deserialize)]
#[serde(tag = "__typename")]
enum GraphContext {
    StatusContext {
        context: String,
        state: String,
    },
    #[serde(rename_all = "camelCase")]
    CheckRun {
        database_id: u64,
        name: String,
        status: String,
        conclusion: Option<String>,
        check_suite: Option<GraphSuite>,
    },
    /// Whatever GitHub has besides.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphSuite {
    database_id: Option<u64>,
    app: Option<GraphApp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphApp {
    database_id: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphPull {
    number: u64,
    url: String,
    state: String,
    title: String,
    body: String,
    is_draft: bool,
    is_cross_repository: bool,
    head_ref_name: String,
    base_ref_name: String,
    head_ref_oid: String,
    updated_at: Option<String>,
    closed_at: Option<String>,
    merged_at: Option<String>,
    labels: Option<GraphList<GraphName>>,
}

#[derive(Deserialize)]
struct GraphName {
    name: String,
}

impl GitHubApi {
    /// What these pull requests are judged by, as far as it can be asked of many at once.
    pub(super) async fn ahead(&self, numbers: &[u64]) -> Result<Vec<Ahead>, ForgeError> {
        let mut found = Vec::with_capacity(numbers.len());
        for some in numbers.chunks(AT_ONCE) {
            let mut query =
                "query($owner: String!, $name: String!) { repository(owner: $owner, name: $name) { ".to_owned();
            for number in some {
                let _infallible = write!(query, "p{number}: pullRequest(number: {number}) {{ ...judged }} ");
            }
            query.push_str(&format!("}} }} fragment judged on PullRequest {{ {JUDGED} }}"));
            let judged: Vec<GraphJudged> = self.whole(&query, json!({})).await?.into_values().collect();
            found.extend(judged.into_iter().filter(|judged| some.contains(&judged.number)).map(GraphJudged::ahead));
        }
        let approved: Vec<usize> = (0..found.len()).filter(|at| is_approved(&found[*at])).collect();
        match self.pushes_to(&found, &approved).await {
            Ok(pushes) => pushes.into_iter().for_each(|(at, pushes)| found[at].pushes = pushes),
            // Only whether these approvals count is to be asked one by one.
            Err(error) => tracing::debug!(%error, "it is not told who pushed what was approved"),
        }
        Ok(found)
    }

    /// The pull requests of each of these branches into one, newest first; of a branch that is missing, they are not known.
    pub(super) async fn past(
        &self,
        heads: &[BranchName],
        base: &BranchName,
    ) -> Result<Vec<(BranchName, Vec<WirePull>)>, ForgeError> {
        let mut found = Vec::with_capacity(heads.len());
        for some in heads.chunks(AT_ONCE) {
            let (mut query, mut variables) =
                ("query($owner: String!, $name: String!, $base: String!".to_owned(), json!({ "base": base.as_str() }));
            for (at, head) in some.iter().enumerate() {
                let _infallible = write!(query, ", $h{at}: String!");
                variables[format!("h{at}")] = json!(head.as_str());
            }
            query.push_str(") { repository(owner: $owner, name: $name) { ");
            for at in 0..some.len() {
                let _infallible = write!(
                    query,
                    "h{at}: pullRequests(headRefName: $h{at}, baseRefName: $base, first: {OF_BRANCH}, \
                     orderBy: {{ field: CREATED_AT, direction: DESC }}) {{ pageInfo {{ hasNextPage }} nodes {{ ...pull }} }} "
                );
            }
            query.push_str(&format!("}} }} fragment pull on PullRequest {{ {PULL} }}"));
            let mut lists: BTreeMap<String, GraphList<GraphPull>> = self.whole(&query, variables).await?;
            for (at, head) in some.iter().enumerate() {
                let Some(all) = lists.remove(&format!("h{at}")).and_then(GraphList::whole) else { continue };
                let own = |pull: &GraphPull| {
                    !pull.is_cross_repository
                        && pull.head_ref_name == head.as_str()
                        && pull.base_ref_name == base.as_str()
                };
                let mut own: Vec<WirePull> = all.into_iter().filter(own).map(GraphPull::wire).collect();
                own.sort_by_key(|pull| std::cmp::Reverse(pull.number));
                found.push((head.clone(), own));
            }
        }
        Ok(found)
    }

    /// All answers of a query, or an error: a part that was refused could look like nothing.
    async fn whole<T: serde::de::DeserializeOwned>(
        &self,
        query: &str,
        variables: Value,
    ) -> Result<BTreeMap<String, T>, ForgeError> {
        let (found, refused): (GraphRepository<T>, _) = self.in_repository(query, variables).await?;
        if let Some(refused) = refused {
            return Err(refused);
        }
        let all = found.repository.into_iter().flatten();
        all.map(|(name, value)| Some((name, value?)))
            .collect::<Option<_>>()
            .ok_or_else(|| self.api.nonsense("POST graphql", "a part of the answer is missing"))
    }

    /// Who pushed the approved commits of some of these, by their places.
    async fn pushes_to(&self, of: &[Ahead], some: &[usize]) -> Result<Vec<(usize, Vec<PushedTip>)>, ForgeError> {
        let mut found = Vec::new();
        if some.len() <= FEW {
            for at in some {
                let branch = format!("refs/heads/{}", of[*at].branch);
                let branch = form_urlencoded::byte_serialize(branch.as_bytes()).collect::<String>();
                let path = format!("activity?ref={branch}&per_page=100");
                let asked = may_be_unknown(self.api.some_of::<WireActivity>(path, 1).await)?.unwrap_or_default();
                found.push((*at, asked.into_iter().filter_map(WireActivity::pushed).collect()));
            }
            return Ok(found);
        }
        let asked = self.api.some_of::<WireActivity>("activity?per_page=100".to_owned(), PAGES).await;
        let mut by_branch: BTreeMap<String, Vec<PushedTip>> = BTreeMap::new();
        for activity in may_be_unknown(asked)?.unwrap_or_default() {
            let branch = activity.branch().to_owned();
            by_branch.entry(branch).or_default().extend(activity.pushed());
        }
        for at in some {
            let pushes = by_branch.remove(&format!("refs/heads/{}", of[*at].branch));
            found.push((*at, pushes.unwrap_or_default()));
        }
        Ok(found)
    }
}

fn is_approved(ahead: &Ahead) -> bool {
    ahead.reviews.iter().any(|reviews| reviews.standing().any(counts))
}

impl GraphJudged {
    fn ahead(self) -> Ahead {
        let reviews = self.reviews.whole().map(|given| Reviews::of(given.into_iter().map(GraphReview::into_model)));
        let tip = self.head_ref_oid;
        let last = self.commits.nodes.into_iter().next().map(|of| of.commit).filter(|commit| commit.oid == tip);
        let checks = last.and_then(|commit| match commit.status_check_rollup {
            None => Some(Vec::new()),
            Some(rollup) => rollup.contexts.whole(),
        });
        let behind = match self.merge_state_status.as_deref() {
            None | Some("UNKNOWN") => None,
            Some(state) => Some(state == "BEHIND"),
        };
        let checks = checks.and_then(|contexts| {
            let (mut statuses, mut runs) = (Vec::new(), Vec::new());
            for context in contexts {
                match context {
                    // Required, and not there yet.
                    GraphContext::StatusContext { state, .. } if state == "EXPECTED" => {}
                    GraphContext::StatusContext { context, state } => {
                        statuses.push(WireStatus { context, state: state.to_lowercase() });
                    }
                    GraphContext::CheckRun { database_id, name, status, conclusion, check_suite } => {
                        let suite = check_suite.as_ref().and_then(|suite| suite.database_id);
                        let app = check_suite.and_then(|suite| suite.app?.database_id);
                        let (status, conclusion) = (status.to_lowercase(), conclusion.map(|word| word.to_lowercase()));
                        runs.push(WireCheckRun::of(database_id, name, (status, conclusion), (app, suite)));
                    }
                    GraphContext::Other => return None,
                }
            }
            Some(latest_checks(statuses, runs))
        });
        let (number, branch) = (self.number, self.head_ref_name);
        Ahead { number, tip, branch, reviews, checks, behind, pushes: Vec::new() }
    }
}

impl GraphReview {
    fn into_model(self) -> Review {
        let no = |reason: &str| Weight::DoesNotCount(reason.to_owned());
        let (by, weight) = match self.author {
            None => ("ghost".to_owned(), no("the account no longer exists")),
            // GraphQL leaves out what tells an app from a person of the same name: neither may replace the other's review.
            Some(GraphActor { login, kind }) if kind == "Bot" => {
                (format!("{login}[bot]"), no("only people's approvals do"))
            }
            Some(GraphActor { login, kind }) if kind != "User" => {
                (format!("{login} ({kind})"), no("only people's approvals do"))
            }
            Some(GraphActor { login, .. }) if self.author_can_push_to_repository => (login, Weight::Counts),
            Some(GraphActor { login, .. }) => (login, no("they may not write to the repository")),
        };
        let commit = self.commit.and_then(|commit| CommitId::parse(&commit.oid).ok());
        Review { by, state: ReviewState::parse(&self.state), commit, weight }
    }
}

impl GraphPull {
    fn wire(self) -> WirePull {
        let labels = self.labels.map_or_else(Vec::new, |labels| labels.nodes);
        let state = if self.state == "OPEN" { "open" } else { "closed" };
        WirePull::of_own(
            (self.number, self.url, state),
            (self.title, self.body, self.is_draft),
            (self.head_ref_name, self.head_ref_oid, self.base_ref_name),
            labels.into_iter().map(|label| label.name).collect(),
            (self.updated_at, self.closed_at, self.merged_at),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CheckState, Checks};

    fn judged(change: impl FnOnce(&mut Value)) -> Ahead {
        let tip = "a".repeat(40);
        let run = |id: u64, name: &str, conclusion: Option<&str>| {
            json!({ "__typename": "CheckRun", "databaseId": id, "name": name, "status": if conclusion.is_some() { "COMPLETED" } else { "IN_PROGRESS" },
                "conclusion": conclusion, "checkSuite": { "databaseId": 5, "app": { "databaseId": 15368 } } })
        };
        let review = |by: &str, state: &str, may: bool| json!({ "author": { "login": by, "__typename": "User" }, "authorCanPushToRepository": may, "state": state, "commit": { "oid": tip } });
        let mut value = json!({
            "number": 7, "headRefOid": tip, "headRefName": "landfall/prod", "mergeStateStatus": "BEHIND",
            "reviews": { "pageInfo": { "hasPreviousPage": false }, "nodes": [
                review("ann", "APPROVED", true), review("ben", "APPROVED", false), review("cy", "CHANGES_REQUESTED", true),
                { "author": { "login": "renovate", "__typename": "Bot" }, "authorCanPushToRepository": true, "state": "APPROVED", "commit": null },
                { "author": null, "authorCanPushToRepository": false, "state": "APPROVED", "commit": null },
            ] },
            "commits": { "nodes": [{ "commit": { "oid": tip, "statusCheckRollup": { "contexts": { "pageInfo": { "hasNextPage": false }, "nodes": [
                { "__typename": "StatusContext", "context": "ci/lint", "state": "SUCCESS" },
                { "__typename": "StatusContext", "context": "ci/later", "state": "EXPECTED" },
                run(1, "build", Some("FAILURE")), run(2, "build", Some("SUCCESS")), run(3, "slow", None),
            ] } } } }] },
        });
        change(&mut value);
        serde_json::from_value::<GraphJudged>(value).unwrap().ahead()
    }

    #[test]
    fn what_many_are_judged_by_reads_as_that_of_one() {
        let ahead = judged(|_| {});
        assert_eq!((ahead.number, ahead.behind), (7, Some(true)));
        let reviews = ahead.reviews.unwrap();
        let tips = [CommitId::parse(&ahead.tip).unwrap()];
        assert_eq!((reviews.approvals(&tips), reviews.objections()), (vec!["ann"], vec!["cy"]));
        let checks = ahead.checks.unwrap();
        let all: Vec<(&str, &CheckState)> = checks.all().collect();
        assert_eq!(
            all,
            [("build", &CheckState::Passed), ("ci/lint", &CheckState::Passed), ("slow", &CheckState::Pending)]
        );
        assert_eq!(
            judged(|value| value["commits"]["nodes"][0]["commit"]["statusCheckRollup"] = Value::Null).checks,
            Some(Checks::default())
        );
    }

    #[test]
    fn an_app_and_a_person_of_the_same_name_do_not_speak_for_each_other() {
        let review = |kind: &str, state: &str| json!({ "author": { "login": "dee", "__typename": kind }, "authorCanPushToRepository": true, "state": state, "commit": null });
        let reviews = judged(|value| {
            value["reviews"]["nodes"] = json!([review("Bot", "CHANGES_REQUESTED"), review("User", "APPROVED")]);
        });
        assert_eq!(reviews.reviews.unwrap().objections(), ["dee[bot]"]);
    }

    #[test]
    fn what_is_not_all_there_is_left_to_single_questions() {
        assert_eq!(judged(|value| value["reviews"]["pageInfo"]["hasPreviousPage"] = json!(true)).reviews, None);
        let rollup = "/commits/nodes/0/commit/statusCheckRollup/contexts";
        let cut = judged(|value| value.pointer_mut(rollup).unwrap()["pageInfo"]["hasNextPage"] = json!(true));
        assert_eq!(cut.checks, None);
        let new = judged(|value| value.pointer_mut(rollup).unwrap()["nodes"][0] = json!({ "__typename": "CheckPoem" }));
        assert_eq!(new.checks, None);
        let other = judged(|value| value["commits"]["nodes"][0]["commit"]["oid"] = json!("b".repeat(40)));
        assert_eq!(other.checks, None);
        for state in [json!(null), json!("UNKNOWN")] {
            assert_eq!(judged(|value| value["mergeStateStatus"] = state).behind, None);
        }
    }
}
