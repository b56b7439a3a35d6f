//! Objects of a cluster → verdicts.

pub mod tie;
