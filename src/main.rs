//! The `landfall` program: everything is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Of the many small texts of a cluster's objects, the system's allocator holds a third more memory.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    landfall::cli::main()
}
