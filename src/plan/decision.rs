//! Decisions of people that stand in the repository as files: freezes and holds.

/// All decisions of one repository.
#[derive(Debug, Clone, Default)]
pub struct Decisions {}
