//! Has it landed? A corpus of whole situations, properties over it, and the command on real files.

mod command;
mod corpus;
mod kept;
mod properties;
mod reported;
