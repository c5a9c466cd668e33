//! Tries to get out of a workspace, or to reach what is not its own, in every way that containers
//! are known to be left by, and prints a line per attempt: `name<TAB>outcome`.
//!
//! An outcome is `allowed`, the name of an error (`EPERM`), the signal that the attempt died of,
//! `empty` for a file that opens and has nothing in it, or `no answer`. The orchestrator's tests
//! build it as a static executable, run it in a real workspace as its user, and compare what it
//! prints with a file that people have read.
//!
//! Attempts are harmless where they succeed: they open for writing and do not write, set what is
//! set, unload what is not loaded. Still, run it only where it may succeed.

#![expect(
    unsafe_code,
    reason = "system calls that no library offers, because they should fail"
)]

mod attempt;
mod files;
mod kernel;
mod namespaces;
mod processes;
mod sockets;

use std::io::Write as _;
use std::process::ExitCode;

use attempt::Attempt;

fn main() -> ExitCode {
    let groups: [&[Attempt]; 5] = [
        namespaces::ATTEMPTS,
        kernel::ATTEMPTS,
        processes::ATTEMPTS,
        files::ATTEMPTS,
        sockets::ATTEMPTS,
    ];
    let mut output = std::io::stdout().lock();
    for (name, attempt) in groups.into_iter().flatten() {
        let outcome = attempt::isolated(*attempt);
        if writeln!(output, "{name}\t{outcome}")
            .and_then(|()| output.flush())
            .is_err()
        {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
