//! The editor's own files, given from the gateway's memory to every workspace of the image.

use std::time::Duration;

use kalpana_tests::client::Answer;
use kalpana_tests::docker::run_inside;
use kalpana_tests::{Browser, GitServer, World, until};
use reqwest::Method;

use super::journey::running_workspace;
use super::operations::admin;

/// Where code-server has the files that are below its static root.
const TREE: &str = "/opt/kalpana/code-server/lib/node_modules/code-server/lib/vscode";

#[tokio::test]
async fn a_second_workspace_opens_without_reading_the_editor_from_its_container()
-> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let first = running_workspace(&world, &git, &ada).await?;
    let (_, page) = ada.navigate(&format!("{}/", ada.origin(&first))).await?;
    let files = static_files(&page.body);
    assert!(files.len() >= 3, "{files:?}");
    for file in &files {
        let url = format!("{}/{file}", ada.origin(&first));
        let kept = until("a file to be kept", Duration::from_secs(120), async || {
            let answer = fetch(&ada, &url).await?;
            Ok(answer.header("etag").is_some().then_some(answer))
        });
        let kept = kept.await?;
        let path = file.split_once("/static/").map_or("", |(_, path)| path);
        let hash = run_inside(&first, &format!("sha256sum {TREE}/{path} | cut -c1-64")).await?;
        assert_eq!(kept.header("etag"), Some(&*format!("\"{hash}\"")), "{file}");
    }

    let second = running_workspace(&world, &git, &ada).await?;
    let (_, page) = ada.navigate(&format!("{}/", ada.origin(&second))).await?;
    assert_eq!(static_files(&page.body), files);
    let before = misses(&world).await?;
    for file in &files {
        let answer = fetch(&ada, &format!("{}/{file}", ada.origin(&second))).await?;
        assert!(answer.header("etag").is_some(), "{file}");
        assert_eq!(answer.header("content-encoding"), Some("br"), "{file}");
        let kind = answer.header("content-type").unwrap_or_default();
        let is_known = kind.starts_with("text/javascript") || kind.starts_with("text/css");
        assert!(is_known, "{file}: {kind}");
    }
    assert_eq!(misses(&world).await?, before, "every request was a hit");
    world.tear_down().await
}

async fn fetch(browser: &Browser, url: &str) -> anyhow::Result<Answer> {
    let answer = browser
        .raw(Method::GET, url, &[("accept-encoding", "gzip, br")])
        .await?;
    assert_eq!(answer.status, 200, "{url}");
    Ok(answer)
}

/// Returns the paths of the editor's own files that its page names, each once.
fn static_files(page: &str) -> Vec<String> {
    let mut files: Vec<String> = page
        .split('"')
        .filter(|value| value.starts_with("stable-") && value.contains("/static/"))
        .filter(|value| value.ends_with(".js") || value.ends_with(".css"))
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    files
}

async fn misses(world: &World) -> anyhow::Result<String> {
    let (_, text) = admin(world.admin_ports[0], "/metrics").await?;
    let line = text
        .lines()
        .find(|line| line.starts_with("kalpana_gateway_assets_total{cache=\"miss\"}"));
    Ok(line.unwrap_or_default().to_owned())
}
