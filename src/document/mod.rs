//! How our own YAML files are read: strictly, and saying everything that is wrong at its file:line:column.
//!
//! Promise: unknown keys, missing keys and values of the wrong kind are all reported, with the nearest known word where there
//! is one; nothing is guessed or ignored; no secret is in a value of this module (only where it is to be found), in a message
//! or in a line that is shown.
//!
//! Design: YAML text → a tree with places (`yaml`) → raw types, which are also the JSON Schema (`decode`, `at`, and `kinds` where
//! a key `kind` decides which others there are) → values with their meaning (`check`, `value`). What the files are about is
//! elsewhere: in `config`, and of each kind of forge, receiver and login in its own folder.

pub(crate) mod at;
pub(crate) mod check;
pub(crate) mod decode;
pub(crate) mod diagnostic;
pub(crate) mod fault;
pub(crate) mod kinds;
pub mod secret;
pub(crate) mod value;
pub(crate) mod yaml;
