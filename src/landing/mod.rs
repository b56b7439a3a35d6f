//! Objects of a cluster → verdicts.

pub mod watch;
