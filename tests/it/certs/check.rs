//! What `kalpana certs check` says of what servers show and of what files hold.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::site::{Authority, Leaf, Machine, Ran, Server, WORKSPACE, serve};

const NAMES: [&str; 2] = ["kalpana.localhost", "*.kalpana.localhost"];

/// Runs the check against a server, in JSON.
async fn check(machine: &Machine, server: &Server, more: &[&str]) -> anyhow::Result<Ran> {
    let setting = server.setting();
    let own = ["check", "--format", "json", "--set", setting.as_str()];
    machine.certs(&[&own[..], more].concat()).await
}

/// Returns the codes of what was found at each host.
fn codes(ran: &Ran) -> Vec<Vec<String>> {
    let report = ran.json();
    let of = |host: &Value| {
        let findings = host["findings"].as_array().expect("findings");
        findings
            .iter()
            .map(|finding| {
                for field in ["message", "fix"] {
                    let text = finding[field].as_str().unwrap_or_default();
                    assert!(!text.is_empty(), "{finding}");
                }
                finding["code"].as_str().expect("a code").to_owned()
            })
            .collect()
    };
    let hosts = report["hosts"].as_array().expect("hosts").iter();
    hosts
        .chain(report["files"].as_array().expect("files"))
        .map(of)
        .collect()
}

fn fix(ran: &Ran) -> String {
    ran.json()["hosts"][0]["findings"][0].to_string()
}

#[tokio::test]
async fn a_site_with_its_own_authority_is_good() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let authority = Authority::root("Kalpana local authority (kalpana.localhost)")?;
    machine.publish(&authority)?;
    let leaf = authority.sign(&NAMES, (-1, 89))?;
    let server = serve(&leaf, &[]).await?;
    let ran = check(&machine, &server, &[]).await?;
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    assert_eq!(report["is_good"], true);
    let hosts = report["hosts"].as_array().expect("hosts");
    assert_eq!(hosts.len(), 2);
    for (host, name) in hosts.iter().zip(["kalpana.localhost", WORKSPACE]) {
        assert_eq!(host["host"], name);
        assert_eq!(host["port"], server.port);
        assert_eq!(host["tls"], "TLS 1.3");
        assert_eq!(host["alpn"], "h2");
        let shown = &host["certificate"];
        assert_eq!(shown["names"], json!(NAMES));
        assert_eq!(
            shown["issuer"],
            "Kalpana local authority (kalpana.localhost)"
        );
        assert_eq!(shown["chain_length"], 1);
        assert_eq!(shown["is_chain_complete"], true);
        assert_eq!(shown["is_trusted_by_authority"], true);
        assert_eq!(shown["is_trusted_by_system"], false);
        assert!(
            [88, 89].map(Value::from).contains(&shown["days_left"]),
            "{shown}"
        );
    }
    let setting = server.setting();
    let text = machine.certs(&["check", "--set", &setting]).await?;
    assert_eq!(text.code, 0, "{text:?}");
    assert!(
        text.stdout.contains("`kalpana certs trust` changes that"),
        "{text:?}"
    );

    // And this system trusts it, once it is told to.
    let roots = machine.file("roots.pem", &authority.pem())?;
    let arguments = ["check", "--set", setting.as_str()];
    let text = machine
        .certs_with(&arguments, &[("SSL_CERT_FILE", &roots)])
        .await?;
    assert!(
        text.stdout.contains("trusted   by this system, and by"),
        "{text:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_missing_intermediate_is_named() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let root = Authority::root("Test Root")?;
    let intermediate = root.intermediate("Test Intermediate")?;
    let leaf = intermediate.sign(&NAMES, (-1, 89))?;
    let roots = machine.file("roots.pem", &root.pem())?;
    let trusting = [("SSL_CERT_FILE", roots.as_str())];
    let run = async |server: &Server| {
        let setting = server.setting();
        let arguments = ["check", "--format", "json", "--set", setting.as_str()];
        machine.certs_with(&arguments, &trusting).await
    };
    let whole = serve(&leaf, &[intermediate.der()]).await?;
    let ran = run(&whole).await?;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["hosts"][0]["certificate"]["chain_length"], 2);

    let alone = serve(&leaf, &[]).await?;
    let ran = run(&alone).await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(codes(&ran), [["chain_incomplete"], ["chain_incomplete"]]);
    assert_eq!(
        ran.json()["hosts"][0]["certificate"]["is_chain_complete"],
        false
    );
    assert!(fix(&ran).contains("signed by Test Intermediate"), "{ran:?}");
    assert!(fix(&ran).contains("append its certificate"), "{ran:?}");
    assert!(ran.stderr.contains("error: 2 things are wrong"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn an_expired_certificate_is_told_from_one_that_nobody_trusts() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let authority = Authority::root("Local")?;
    machine.publish(&authority)?;
    let expired = serve(&authority.sign(&NAMES, (-91, -1))?, &[]).await?;
    let ran = check(&machine, &expired, &["kalpana.localhost"]).await?;
    assert_eq!(codes(&ran), [["certificate_expired"]], "{ran:?}");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.json()["hosts"][0]["certificate"]["is_trusted_by_authority"],
        true
    );
    let text = machine
        .certs(&["check", "--set", &expired.setting(), "kalpana.localhost"])
        .await?;
    assert!(text.stdout.contains("(certificate_expired)"), "{text:?}");
    assert!(
        text.stderr.contains("error: one thing is wrong"),
        "{text:?}"
    );

    let stranger = Authority::root("Stranger")?.sign(&NAMES, (-91, -1))?;
    let both = serve(&stranger, &[]).await?;
    let ran = check(&machine, &both, &["kalpana.localhost"]).await?;
    assert_eq!(
        codes(&ran),
        [["certificate_expired", "chain_incomplete"]],
        "{ran:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_should_have_been_replaced_is_said_and_a_short_life_is_not() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let authority = Authority::root("Local")?;
    machine.publish(&authority)?;
    for (days, expected) in [
        ((-80, 10), vec!["certificate_ends_soon"]),
        ((-60, 30), vec![]),
        ((-3, 3), vec![]),
        ((2, 92), vec!["clock_wrong"]),
    ] {
        let server = serve(&authority.sign(&NAMES, days)?, &[]).await?;
        let ran = check(&machine, &server, &["kalpana.localhost"]).await?;
        assert_eq!(codes(&ran), [expected], "{days:?} {ran:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_name_is_found_at_the_host_that_has_it() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let authority = Authority::root("Local")?;
    machine.publish(&authority)?;
    let server = serve(&authority.sign(&NAMES[..1], (-1, 89))?, &[]).await?;
    let ran = check(&machine, &server, &[]).await?;
    assert_eq!(codes(&ran), [vec![], vec!["name_not_covered"]], "{ran:?}");
    // A wildcard stands for one label only.
    let wildcard = serve(&authority.sign(&NAMES[1..], (-1, 89))?, &[]).await?;
    let hosts = [
        "a.kalpana.localhost",
        "a.b.kalpana.localhost",
        "kalpana.localhost",
    ];
    let ran = check(&machine, &wildcard, &hosts).await?;
    let wrong = vec!["name_not_covered"];
    assert_eq!(codes(&ran), [vec![], wrong.clone(), wrong], "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn who_signed_himself_is_trusted_by_nobody() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let root = Authority::root("Sent Root")?;
    let server = serve(&root.sign(&NAMES, (-1, 89))?, &[root.der()]).await?;
    let ran = check(&machine, &server, &["kalpana.localhost"]).await?;
    assert_eq!(codes(&ran), [["untrusted"]], "{ran:?}");
    // The same name with another key is another authority.
    machine.publish(&Authority::root("Sent Root")?)?;
    let ran = check(&machine, &server, &["kalpana.localhost"]).await?;
    assert_eq!(codes(&ran), [["untrusted"]], "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn how_far_one_comes_is_said_where_there_is_no_certificate() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let talker = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 hello\r\n").await;
        }
    });
    let host = format!("kalpana.localhost:{port}");
    let ran = machine.certs(&["check", "--format", "json", &host]).await?;
    assert_eq!(codes(&ran), [["handshake_failed"]], "{ran:?}");
    talker.abort();
    let _ = talker.await;
    let ran = machine.certs(&["check", "--format", "json", &host]).await?;
    assert_eq!(codes(&ran), [["unreachable"]], "{ran:?}");
    assert!(fix(&ran).contains("kalpana up"), "{ran:?}");
    let ran = machine.certs(&["check", "--format", "json", "a b"]).await?;
    assert_eq!(codes(&ran), [["name_not_resolved"]], "{ran:?}");
    let ran = machine.certs(&["check", "kalpana.localhost:x"]).await?;
    assert!(ran.code == 1 && ran.stderr.contains("hint: "), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn any_name_can_be_looked_for_at_an_address() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let authority = Authority::root("Local")?;
    machine.publish(&authority)?;
    let server = serve(&authority.sign(&["dev.example.com"], (-1, 89))?, &[]).await?;
    let address = format!("127.0.0.1:{}", server.port);
    let arguments = [
        "check",
        "--connect",
        &address,
        "--format",
        "json",
        "dev.example.com",
    ];
    let ran = machine.certs(&arguments).await?;
    assert_eq!(codes(&ran), [Vec::<String>::new()], "{ran:?}");
    Ok(())
}

/// Writes a pair of files and checks them, with nothing running.
async fn check_files(machine: &Machine, leaf: &Leaf, key: &str, mode: u32) -> anyhow::Result<Ran> {
    let certificate = machine.file("c.pem", &leaf.pem)?;
    let key = machine.file("k.pem", key)?;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode))?;
    let settings = [
        format!("certs.certificate_file={certificate}"),
        format!("certs.key_file={key}"),
    ];
    let own = ["check", "--format", "json", "--connect", "127.0.0.1:1"];
    let [one, other] = &settings;
    let arguments = [
        &own[..],
        &["--set", one, "--set", other, "kalpana.localhost"],
    ]
    .concat();
    machine.certs(&arguments).await
}

#[tokio::test]
async fn files_are_judged_while_nothing_runs() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let authority = Authority::root("Company")?;
    machine.publish(&authority)?;
    let leaf = authority.sign(&NAMES, (-1, 89))?;
    let partial = authority.sign(&NAMES[..1], (-1, 89))?;
    let expired = authority.sign(&NAMES, (-91, -1))?;
    let stranger = Authority::root("Other")?.sign(&NAMES, (-1, 89))?;
    for (leaf, key, mode, expected) in [
        (&leaf, &leaf.key_pem, 0o600, None),
        (&leaf, &leaf.key_pem, 0o644, Some("certificate_key_exposed")),
        (
            &leaf,
            &partial.key_pem,
            0o600,
            Some("certificate_key_mismatch"),
        ),
        (
            &leaf,
            &"garbage".to_owned(),
            0o600,
            Some("certificate_key_garbage"),
        ),
        (
            &expired,
            &expired.key_pem,
            0o600,
            Some("certificate_expired"),
        ),
        (&partial, &partial.key_pem, 0o600, Some("name_not_covered")),
        (
            &stranger,
            &stranger.key_pem,
            0o600,
            Some("chain_incomplete"),
        ),
    ] {
        let ran = check_files(&machine, leaf, key, mode).await?;
        let found = codes(&ran);
        assert_eq!(found[0], ["unreachable"], "nothing runs: {ran:?}");
        let expected: Vec<&str> = expected.into_iter().collect();
        assert_eq!(found[1], expected, "{ran:?}");
        assert!(!ran.stdout.contains("PRIVATE KEY") && !ran.stderr.contains("PRIVATE KEY"));
    }
    Ok(())
}
