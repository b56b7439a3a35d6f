//! What the tests stand on: servers and repositories of their own.

pub(crate) mod front;
pub(crate) mod github_prism;
mod github_shape;
pub(crate) mod github_stub;
pub(crate) mod world;
