//! What the image that workspaces run is made of.

use kalpana_tests::docker::docker;
use kalpana_tests::image;

/// The first version of VS Code whose webviews ask where they are framed. Source: CVE-2026-57102,
/// GHSA-v282-cxqj-xgj4.
const WEBVIEWS_MENDED: [u32; 3] = [1, 128, 1];

#[tokio::test]
async fn the_editor_is_no_older_than_what_mended_its_webviews() -> anyhow::Result<()> {
    let editor = "/opt/kalpana/code-server/bin/code-server";
    let run = ["run", "--rm", "--network", "none", "--entrypoint", editor];
    let said = docker(&[&run[..], &[&image(), "--version"]].concat()).await?;
    let version = said.trim().rsplit_once("with Code ").map(|(_, v)| v);
    let version = version.ok_or_else(|| anyhow::anyhow!("no version in {said:?}"))?;
    let numbers = version.split('.').map(str::parse);
    let numbers: Vec<u32> = numbers.collect::<Result<_, _>>()?;
    anyhow::ensure!(numbers.len() == 3, "{version}");
    anyhow::ensure!(numbers[..] >= WEBVIEWS_MENDED[..], "{version} is too old");
    Ok(())
}
