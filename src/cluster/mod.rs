//! Edge: what Kubernetes says.

pub mod object;
