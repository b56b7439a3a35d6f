//! The actor, step by step.
