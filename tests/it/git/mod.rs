//! The Git edge against real Git: paths, HTTP with a login, ssh; hooks, races and faults. A plain `git clone` and
//! `git fsck` are the judges of what was pushed.

mod faults;
pub(crate) mod support;

mod damage;
mod history;
mod objects;
mod partial;
mod races;
mod remotes;
mod secrets;
