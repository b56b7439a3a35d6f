//! The `landfall` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    landfall::cli::main()
}
