//! Images in Terraform and OpenTofu; the files are read in [`terraform`](super::super::terraform).

use super::{Claim, Recognizer, nothing_more};
use crate::model::{PinKind, PinRole};

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "terraform",
        summary: "an image in Terraform or OpenTofu: an attribute, a local, a module's input, a variable's default or value",
        role: PinRole::Outside,
    },
    document: |_, _| Claim::Passed,
    file: nothing_more,
};
