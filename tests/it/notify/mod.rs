//! Alerts from tracked images to receivers: each stub holds its receiver's real contract and refuses what that would refuse.

mod contracts;
mod doctor;
mod forges;
mod github;
mod receivers;
mod scene;
mod secrets;
mod stub;
mod trouble;
