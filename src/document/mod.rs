//! How our own YAML files are read: strictly, reporting every error at its file:line:column.
//!
//! Promise: unknown keys, missing keys and values of the wrong type are all reported, with the nearest known word if
//! there is one. Nothing is guessed or ignored. No secret is in a value of this module (only its location), in a
//! message or in a displayed line.
//!
//! Design: YAML text → a tree with places (`yaml`) → raw types, which are also the JSON Schema (`decode`, `at`, and
//! `kinds` for mappings whose key `kind` determines the others) → checked values (`check`, `value`). The content of the
//! files is defined elsewhere: in `config`, and for each kind of forge, receiver and login in its own folder.

pub(crate) mod at;
pub(crate) mod check;
pub(crate) mod decode;
pub(crate) mod diagnostic;
pub mod entra;
pub(crate) mod fault;
pub(crate) mod kinds;
pub mod secret;
pub(crate) mod value;
pub(crate) mod word_or;
pub(crate) mod yaml;
