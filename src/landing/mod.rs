//! How far declared images have come, and who has to be told.
//!
//! Pure: everything is decided from values that are given, time included.

pub mod incident;
