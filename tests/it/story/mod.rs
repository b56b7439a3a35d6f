//! Whole stories: the program itself, with real Git, a real registry protocol and a forge, judged by what stands in Git.

mod api_commits;
mod app;
mod attacks;
mod behind;
mod branches;
mod charts;
mod commits;
mod daemon;
mod decided;
mod decisions;
mod demo;
mod entra;
mod github;
mod groups;
mod key_paths;
mod merges;
mod messages;
mod outages;
mod people;
mod plans;
mod policies;
mod pulls;
mod rollbacks;
mod signatures;
mod signed;
mod trouble;
