//! Issued certificates are what a real Chromium wants, however the names were proven.

use super::browsers::{certutil, make_database, open};
use super::gateway::{DOMAIN, Gateway, Proof, WORKSPACE_HOST};

/// What the gateway says where the control plane does not run.
const OF_SITE: &str = "The control plane does not answer right now.";

/// What it says while it has not heard yet which workspaces there are.
const OF_WORKSPACE: &str = "Kalpana is starting";

/// Lets this machine's Chromium trust the authority, and nobody else beside those that it brings.
async fn trust(gateway: &Gateway) -> anyhow::Result<()> {
    let database = gateway.machine.home().join(".pki/nssdb");
    make_database(&database).await?;
    let own = ["-A", "-n", "the test's authority", "-t", "C,,", "-i"];
    certutil(&database, &[&own[..], &[&gateway.root_file]].concat()).await?;
    Ok(())
}

/// Opens each host, which is refused without the authority's root and shows `words` with it.
async fn opens(proof: Proof, hosts: &[(&str, &str)]) -> anyhow::Result<()> {
    let gateway = Gateway::start(proof).await?;
    for (host, _) in hosts {
        let page = open(&gateway.machine, &gateway.url(host)).await?;
        assert_eq!(page, "net::ERR_CERT_AUTHORITY_INVALID", "{host}");
    }
    trust(&gateway).await?;
    for (host, words) in hosts {
        let page = open(&gateway.machine, &gateway.url(host)).await?;
        assert!(page.contains(words), "{host}: {page}");
    }
    Ok(())
}

#[tokio::test]
async fn chromium_opens_a_site_that_was_proven_by_http_01() -> anyhow::Result<()> {
    opens(Proof::Http01, &[(DOMAIN, OF_SITE)]).await
}

#[tokio::test]
async fn chromium_opens_a_site_that_was_proven_by_tls_alpn_01() -> anyhow::Result<()> {
    opens(Proof::TlsAlpn01, &[(DOMAIN, OF_SITE)]).await
}

#[tokio::test]
async fn chromium_opens_a_site_and_its_workspaces_by_one_wildcard() -> anyhow::Result<()> {
    let hosts = [(DOMAIN, OF_SITE), (WORKSPACE_HOST, OF_WORKSPACE)];
    opens(Proof::Dns01, &hosts).await
}

#[tokio::test]
async fn chromium_refuses_a_workspace_that_the_sites_own_certificate_does_not_name()
-> anyhow::Result<()> {
    let gateway = Gateway::start(Proof::Http01).await?;
    trust(&gateway).await?;
    let host = format!("deeper.{WORKSPACE_HOST}");
    let page = open(&gateway.machine, &gateway.url(&host)).await?;
    assert_eq!(page, "net::ERR_CERT_COMMON_NAME_INVALID");
    Ok(())
}
