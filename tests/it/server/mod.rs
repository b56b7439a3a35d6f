//! The web server of `landfall run`: webhooks, health, metrics; and what strangers send to it.

mod health;
mod hostile;
mod real;
mod support;
mod webhooks;
