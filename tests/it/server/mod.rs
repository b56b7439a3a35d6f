//! The web server of `landfall run`: the page, webhooks, health, metrics; and what strangers send to it.

mod health;
mod hostile;
mod page;
mod real;
pub(crate) mod support;
mod webhooks;
