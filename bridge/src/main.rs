//! Reads which of the bridge's jobs to do, and does it. Under the name `kalpana` it does what the
//! workspace's user may ask for.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use kalpana_bridge::exec::Exec;
use kalpana_bridge::settings::{Settings, SettingsError};
use kalpana_bridge::{archive, clone, init, keep_awake, log, serve, work};

/// The exit code of a bridge that was told something impossible. Source: `EX_CONFIG`, sysexits.h.
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let mut raw_args = std::env::args_os();
    let program = raw_args.next().unwrap_or_default();
    let raw_args: Vec<_> = raw_args.collect();
    if Path::new(&program).file_name() == Some(OsStr::new(keep_awake::PROGRAM)) {
        return keep_awake::kalpana(&raw_args);
    }
    let args: Vec<String> = raw_args
        .iter()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    match args.first().map(String::as_str) {
        Some("init") if args.len() == 1 => with_settings(log::say_now, init::run),
        Some("serve") if args.len() == 1 => with_settings(log::say_to_init, serve::run),
        Some("exec") => match Exec::parse(&args[1..]).and_then(|exec| exec.run()) {
            Ok(never) => match never {},
            Err(error) => failed(&error, 126),
        },
        Some("clone") => clone::run(&args[1..]),
        Some("work") => work::run(&args[1..]),
        Some("pack") => archive::run_pack(&raw_args[1..]),
        Some("unpack") => archive::run_unpack(&raw_args[1..]),
        Some("keep-awake") => keep_awake::run(&raw_args[1..]),
        Some("--version") => {
            log::say_now(&format!("kalpana bridge {}", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        _ => {
            log::say_to_init("usage: bridge (init | serve | --version)");
            ExitCode::from(2)
        }
    }
}

fn with_settings(
    say: fn(&str),
    job: impl FnOnce(Settings) -> std::io::Result<ExitCode>,
) -> ExitCode {
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(error) => {
            say(&format!(
                "the bridge cannot start: {}",
                log::chain::<SettingsError>(&error)
            ));
            return ExitCode::from(CONFIGURATION);
        }
    };
    match job(settings) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("the bridge stopped: {}", log::chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn failed(error: &dyn std::error::Error, code: u8) -> ExitCode {
    log::say_to_init(&log::chain(error));
    ExitCode::from(code)
}
