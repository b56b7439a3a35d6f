//! Objects of a cluster → verdicts; what Git declares → how far it has come, and who has to be told.
//!
//! Pure: everything is decided from values that are given, time included.

pub mod incident;
