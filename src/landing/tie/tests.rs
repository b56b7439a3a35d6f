//! Who watches what.
