//! The `kalpana` executable: every role of a site, and the command line of its users.

mod admin;
mod api;
mod command;
mod credentials;
mod lifecycle;
mod output;
mod privilege;
mod role;
mod supervise;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

/// A gateway holds thousands of small things for days and large ones for moments. The system's
/// allocator keeps the memory of the large ones; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First thing: two cryptography providers are compiled in, and this one serves.
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    debug_assert!(installed.is_ok(), "nobody installs a provider before main");
    match command::Kalpana::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
