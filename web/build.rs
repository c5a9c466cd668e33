//! Turns the exported user interface into a table that is compiled in: bytes, type, entity tag,
//! gzip, and the hashes of the inline scripts that each page's policy must allow.
//!
//! The bytes and the hashes come from the same reading of the same file, so that they cannot
//! disagree; that is why this is not left to a macro that embeds a folder.
//!
//! - By default `web/ui/out` is embedded, which `make ui` builds. Without it the build fails.
//! - `KALPANA_UI_DIR=<folder>` embeds another export.
//! - `KALPANA_WITHOUT_UI=1` embeds one plain page that says so: for work on the Rust side only.

#[path = "src/inline_script.rs"]
mod inline_script;
#[path = "build/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match generate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("cargo::error={problem}");
            ExitCode::FAILURE
        }
    }
}

fn generate() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=KALPANA_WITHOUT_UI");
    println!("cargo::rerun-if-env-changed=KALPANA_UI_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/inline_script.rs");
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR").ok_or("cargo sets the folder")?);
    let target = PathBuf::from(variable("OUT_DIR").ok_or("cargo sets the target folder")?);
    let is_left_out = variable("KALPANA_WITHOUT_UI").is_some_and(|value| value != "0");
    let folder = if is_left_out {
        manifest.join("build/without-ui")
    } else {
        variable("KALPANA_UI_DIR").map_or_else(|| manifest.join("ui/out"), PathBuf::from)
    };
    println!("cargo::rerun-if-changed={}", folder.display());
    if !folder.join("index.html").is_file() {
        return Err(format!(
            "there is no user interface at {}; build it with `make ui`, or set \
             KALPANA_WITHOUT_UI=1 to work on the Rust side only",
            folder.display()
        ));
    }
    table::write(&folder, !is_left_out, &target).map_err(|error| {
        format!(
            "could not embed the user interface of {}: {error}",
            Path::display(&folder)
        )
    })
}
