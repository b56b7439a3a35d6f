//! Work that may break off, which is a fault of the bot: it costs what it was about, and nothing else.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What this comes to, or in which words it panicked.
pub(super) fn unbroken<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| said(&*panic))
}

/// The words of a panic, fit to be shown.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    crate::model::one_line(said, 200)
}
