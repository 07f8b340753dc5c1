//! Entry point: hands the arguments to `app` and turns its answer into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    rebalanced::app::main(std::env::args_os())
}
