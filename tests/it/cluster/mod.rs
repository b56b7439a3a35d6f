//! Watching clusters, against the API server of the demo and what it can be asked to do wrong.

mod assets;
mod faults;
mod reads;
mod real;
mod rights;
mod support;
