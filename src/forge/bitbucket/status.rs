//! Build statuses in the format of both Bitbuckets. Source: Atlassian's "Create a build status for a commit".
//!
//! A status needs an address, and on Bitbucket Cloud its key has at most 40 characters: of a longer one, the digest.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::http::status::{CommitState, CommitStatus, StatusSpeech, at_most};

/// The most characters of a key.
const KEY: usize = 40;

pub(super) const SPEECH: StatusSpeech = StatusSpeech {
    authorize: |request, user, token| match user {
        Some(user) => request.basic_auth(user, Some(token)),
        None => request.bearer_auth(token),
    },
    post: |status: &CommitStatus<'_>| (format!("/commit/{}/statuses/build", status.commit), body(status)),
    missing: None,
    look: "",
};

/// The body of a build status.
pub(in crate::forge) fn body(status: &CommitStatus<'_>) -> Value {
    let state = match status.state {
        CommitState::Succeeded => "SUCCESSFUL",
        CommitState::Pending => "INPROGRESS",
        CommitState::Failed => "FAILED",
        CommitState::Ended => "STOPPED",
    };
    let key = match status.name.chars().count() <= KEY {
        true => status.name.to_owned(),
        false => {
            digest(&SHA256, status.name.as_bytes()).as_ref()[..KEY / 2].iter().map(|b| format!("{b:02x}")).collect()
        }
    };
    json!({
        "key": key, "state": state, "name": at_most(status.name, 255), "description": at_most(status.description, 255),
        "url": status.page,
    })
}
