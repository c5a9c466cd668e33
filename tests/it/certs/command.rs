//! `kalpana certs issue`, `renew`, `revoke`, `show` and `list`, where all goes well.

use anyhow::Context;
use serde_json::{Value, json};

use super::gateway::{DOMAIN, Gateway, Proof, WORKSPACE_HOST};
use super::site::Ran;

/// Runs a command, which succeeds.
async fn run(gateway: &Gateway, arguments: &[&str]) -> anyhow::Result<Ran> {
    let ran = gateway.machine.certs(arguments).await?;
    assert_eq!(ran.code, 0, "{ran:?}");
    Ok(ran)
}

async fn run_json(gateway: &Gateway, arguments: &[&str]) -> anyhow::Result<Value> {
    let ran = run(gateway, &[arguments, &["--format", "json"]].concat()).await?;
    assert_eq!(ran.stderr, "", "nothing is said beside the answer");
    Ok(ran.json())
}

fn serial(certificate: &Value) -> String {
    certificate["served"]["serial"].to_string()
}

#[tokio::test]
async fn a_certificate_is_listed_shown_renewed_and_revoked() -> anyhow::Result<()> {
    let gateway = Gateway::start(Proof::Dns01).await?;
    let shown = run_json(&gateway, &["show", DOMAIN]).await?;
    assert_eq!(shown["id"], DOMAIN);
    assert_eq!(shown["names"], json!([DOMAIN, "*.example.test"]));
    assert_eq!(
        (&shown["source"], &shown["state"]),
        (&json!("acme"), &json!("good"))
    );
    assert_eq!(shown["served"]["chain_length"], 2);
    assert_eq!(shown["problem"], Value::Null);
    let listed = run_json(&gateway, &["list"]).await?;
    assert_eq!(
        listed,
        json!({ "certificates": [shown], "on_demand_left": null })
    );

    let text = run(&gateway, &["list"]).await?;
    assert_eq!(text.stderr, "");
    let lines: Vec<&str> = text.stdout.lines().collect();
    let [headings, row] = lines[..] else {
        panic!("{text:?}");
    };
    let headings: Vec<&str> = headings.split_whitespace().collect();
    let expected = [
        "ID", "NAMES", "SOURCE", "ISSUER", "STATE", "EXPIRES", "RENEWAL",
    ];
    assert_eq!(headings, expected);
    for part in [
        "example.test, *.example.test",
        "Pebble Intermediate",
        "good",
        "in 89 days",
    ] {
        assert!(row.contains(part), "{part}: {text:?}");
    }
    let text = run(&gateway, &["show", DOMAIN]).await?;
    for part in [
        "example.test: good\n",
        "names        example.test, *.example.test\n",
        "issuer       Pebble Intermediate",
        "(in 89 days)\n",
        "chain        2 certificates are sent\n",
        "renewal      ",
    ] {
        assert!(text.stdout.contains(part), "{part}: {text:?}");
    }

    let renewed = run_json(&gateway, &["renew", DOMAIN]).await?;
    assert_ne!(serial(&renewed), serial(&shown));
    let revoked = run_json(&gateway, &["revoke", "--yes", DOMAIN]).await?;
    assert_ne!(serial(&revoked), serial(&renewed));
    assert_eq!(revoked["state"], "good");
    assert_eq!(serial(&gateway.shown(DOMAIN).await?), serial(&revoked));
    assert_eq!(gateway.pebble.issued(), 3);

    let text = run(&gateway, &["renew", DOMAIN]).await?;
    assert_eq!(text.stderr.lines().count(), 1, "{text:?}");
    assert!(
        text.stderr.contains("waiting for a new certificate"),
        "{text:?}"
    );
    assert!(text.stdout.starts_with("example.test: good\n"), "{text:?}");
    let text = run(&gateway, &["revoke", "--yes", DOMAIN]).await?;
    assert!(
        text.stderr.starts_with("revoking, and asking for another"),
        "{text:?}"
    );
    assert!(text.stdout.starts_with("example.test: good\n"), "{text:?}");
    Ok(())
}

#[tokio::test]
async fn to_revoke_is_asked_for_twice_and_what_is_not_there_is_said() -> anyhow::Result<()> {
    let gateway = Gateway::start(Proof::Dns01).await?;
    let before = gateway.shown(DOMAIN).await?;
    let refused = gateway.machine.certs(&["revoke", DOMAIN]).await?;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("hint: add --yes if you are sure"),
        "{refused:?}"
    );
    for command in ["show", "renew"] {
        let refused = gateway.machine.certs(&[command, "nobody"]).await?;
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (1, ""),
            "{refused:?}"
        );
        let words = "there is no certificate called nobody";
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    let covered = gateway.machine.certs(&["issue", WORKSPACE_HOST]).await?;
    assert_eq!(covered.code, 1, "{covered:?}");
    assert!(
        covered
            .stderr
            .contains("is named by a certificate that is there"),
        "{covered:?}"
    );
    assert_eq!(gateway.shown(DOMAIN).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_workspace_gets_a_certificate_of_its_own_where_there_is_no_wildcard() -> anyhow::Result<()>
{
    let gateway = Gateway::start(Proof::TlsAlpn01).await?;
    let issued = run_json(&gateway, &["issue", WORKSPACE_HOST]).await?;
    assert_eq!(issued["names"], json!([WORKSPACE_HOST]));
    assert_eq!(issued["state"], "good");
    let listed = run_json(&gateway, &["list"]).await?;
    let ids = listed["certificates"].as_array().context("a list")?.iter();
    let ids: Vec<&Value> = ids.map(|certificate| &certificate["id"]).collect();
    assert_eq!(ids, [DOMAIN, WORKSPACE_HOST]);
    assert_eq!(listed["on_demand_left"], 44);
    let text = run(&gateway, &["list"]).await?;
    let words = "44 more certificates can be ordered for single workspaces this week.";
    assert!(text.stdout.ends_with(&format!("\n\n{words}\n")), "{text:?}");
    // Whoever asks again gets another.
    let text = run(&gateway, &["issue", WORKSPACE_HOST]).await?;
    assert!(
        text.stderr.starts_with("waiting for the authority"),
        "{text:?}"
    );
    let again = gateway.shown(WORKSPACE_HOST).await?;
    assert_ne!(serial(&again), serial(&issued));
    Ok(())
}
