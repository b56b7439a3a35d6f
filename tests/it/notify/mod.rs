//! Alerts from tracked images to receivers: each stub holds its receiver's real contract and refuses what that would refuse.

mod chats;
mod contracts;
mod doctor;
mod forges;
mod github;
mod mail;
mod receivers;
mod scene;
mod secrets;
mod services;
mod smtp;
mod stub;
mod trouble;
