//! Objects of a cluster → verdicts.
