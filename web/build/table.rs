//! Writes the table of embedded files that `src/assets.rs` includes.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::inline_script;

/// Files smaller than this gain nothing from compression.
const COMPRESS_FROM: usize = 512;

/// Reads every file below `folder` and writes `export.rs`, and the compressed copies it refers to,
/// into `target`.
pub(crate) fn write(folder: &Path, has_ui: bool, target: &Path) -> io::Result<()> {
    let mut paths = Vec::new();
    walk(folder, "", &mut paths)?;
    paths.sort();
    let mut text = format!(
        "/// Whether the user interface is embedded, or the page that says it is not.\n\
         pub(crate) const HAS_UI: bool = {has_ui};\n\n\
         /// Every embedded file, sorted by path.\n\
         pub(crate) static FILES: &[File] = &[\n"
    );
    for (number, path) in paths.iter().enumerate() {
        let source = folder.join(path);
        let bytes = std::fs::read(&source)?;
        // A copy in the target folder, so that an export being rebuilt meanwhile cannot put other
        // bytes behind these hashes.
        let plain = target.join(format!("{number}.plain"));
        std::fs::write(&plain, &bytes)?;
        let gzip = compress(path, &bytes)?;
        let gzip = match gzip {
            Some(compressed) => {
                let file = target.join(format!("{number}.gz"));
                std::fs::write(&file, compressed)?;
                format!("Some(include_bytes!({file:?}))")
            }
            None => "None".to_owned(),
        };
        let is_page = path.ends_with(".html");
        let scripts = if is_page {
            inline_script::hashes(&String::from_utf8_lossy(&bytes))
        } else {
            Vec::new()
        };
        let tag = hex(&Sha256::digest(&bytes)[..12]);
        writeln!(
            text,
            "    File {{ path: {path:?}, content_type: {:?}, tag: \"\\\"{tag}\\\"\", \
             plain: include_bytes!({plain:?}), gzip: {gzip}, inline_scripts: &{scripts:?} }},",
            content_type(path),
        )
        .map_err(io::Error::other)?;
    }
    text.push_str("];\n");
    std::fs::write(target.join("export.rs"), text)
}

fn walk(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name
            .to_str()
            .ok_or_else(|| io::Error::other("a file name is not UTF-8"))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// Compresses what is text and becomes notably smaller.
fn compress(path: &str, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let is_packed_already = [".woff2", ".png", ".jpg", ".webp", ".avif", ".ico"]
        .iter()
        .any(|ending| path.ends_with(ending));
    if is_packed_already || bytes.len() < COMPRESS_FROM {
        return Ok(None);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    let compressed = encoder.finish()?;
    Ok((compressed.len() < bytes.len() * 9 / 10).then_some(compressed))
}

fn content_type(path: &str) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        // The router's own payloads; the framework's client insists on nothing more precise.
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
