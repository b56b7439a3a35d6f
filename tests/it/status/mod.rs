//! `landfall status`: what Git declares, held against a cluster that is not there but answers as one.

mod alarm;
pub(crate) mod cluster;
mod filters;
mod looks;
mod matrix;
mod stories;
mod watch;
