//! The local authority in the stores of browsers, by the real `certutil`.

use std::path::Path;

use anyhow::ensure;
use serde_json::{Value, json};

use super::browsers::{certutil, make_database, open};
use super::site::{Authority, Machine, Ran, is_database};

const NAME: &str = "Kalpana local authority (kalpana.localhost)";

/// Tells whether a database vouches for servers whom this authority has signed.
async fn vouches_for(folder: &Path, authority: &Authority) -> anyhow::Result<bool> {
    let listed = certutil(folder, &["-L"]).await?;
    let lines: Vec<&str> = listed.lines().filter(|line| line.contains(NAME)).collect();
    if lines.is_empty() {
        return Ok(false);
    }
    ensure!(
        lines.len() == 1 && lines[0].trim_end().ends_with("C,,"),
        "{listed}"
    );
    let pem = certutil(folder, &["-L", "-a", "-n", NAME]).await?;
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    Ok(plain(&pem) == plain(&authority.pem()))
}

/// Returns each store with what came of it.
fn results(ran: &Ran) -> Vec<(String, String)> {
    let outcomes = ran.json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let outcomes = outcomes.as_array().expect("a list").iter();
    outcomes
        .map(|outcome| (text(&outcome["store"]), text(&outcome["result"])))
        .collect()
}

fn each(stores: &[&str], result: &str) -> Vec<(String, String)> {
    let stores = stores.iter();
    stores
        .map(|store| ((*store).to_owned(), result.to_owned()))
        .collect()
}

const USER: [&str; 4] = ["trust", "--user", "--format", "json"];

#[tokio::test]
async fn chromium_and_every_profile_of_firefox_trust_it_and_forget_it_again() -> anyhow::Result<()>
{
    let machine = Machine::new()?;
    let authority = Authority::root(NAME)?;
    machine.publish(&authority)?;
    let chromium = machine.home().join(".pki/nssdb");
    let profiles = [
        machine.home().join(".mozilla/firefox/abcd.default-release"),
        machine
            .home()
            .join("snap/firefox/common/.mozilla/firefox/efgh.work"),
    ];
    for profile in &profiles {
        make_database(profile).await?;
    }
    // A directory that is no profile.
    std::fs::create_dir_all(machine.home().join(".mozilla/firefox/Crash Reports"))?;
    let stores = [
        "Chromium",
        "Firefox profile abcd.default-release",
        "Firefox profile efgh.work",
    ];
    let databases = [&chromium, &profiles[0], &profiles[1]];

    let ran = machine.certs(&USER).await?;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(results(&ran), each(&stores, "trusted"));
    for database in databases {
        assert!(
            vouches_for(database, &authority).await?,
            "{}",
            database.display()
        );
    }
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&chromium)?.permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");

    let again = machine.certs(&USER).await?;
    assert_eq!(
        results(&again),
        each(&stores, "already_trusted"),
        "{again:?}"
    );

    let removed = machine.certs(&[&USER[..], &["--remove"]].concat()).await?;
    assert_eq!(results(&removed), each(&stores, "removed"), "{removed:?}");
    for database in databases {
        assert!(!vouches_for(database, &authority).await?);
    }
    let again = machine.certs(&[&USER[..], &["--remove"]].concat()).await?;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(results(&again), each(&stores, "not_there"));
    Ok(())
}

#[tokio::test]
async fn an_older_authority_of_the_same_name_makes_place() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let chromium = machine.home().join(".pki/nssdb");
    let (old, new) = (Authority::root(NAME)?, Authority::root(NAME)?);
    for authority in [&old, &new] {
        machine.publish(authority)?;
        let ran = machine.certs(&USER).await?;
        assert_eq!(results(&ran), each(&["Chromium"], "trusted"), "{ran:?}");
        assert!(vouches_for(&chromium, authority).await?);
    }
    // Somebody took away the trust but not the certificate.
    certutil(&chromium, &["-M", "-n", NAME, "-t", ",,"]).await?;
    let ran = machine.certs(&USER).await?;
    assert_eq!(results(&ran), each(&["Chromium"], "trusted"), "{ran:?}");
    assert!(vouches_for(&chromium, &new).await?);
    Ok(())
}

#[tokio::test]
async fn a_profile_with_a_password_is_named_and_the_others_are_done() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let authority = Authority::root(NAME)?;
    machine.publish(&authority)?;
    let locked = machine.home().join(".mozilla/firefox/locked.default");
    make_database(&locked).await?;
    let empty = machine.file("empty", "\n")?;
    let password = machine.file("password", "a password\n")?;
    certutil(&locked, &["-W", "-f", &empty, "-@", &password]).await?;
    let ran = machine.certs(&USER).await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    let mut expected = each(&["Chromium"], "trusted");
    expected.extend(each(&["Firefox profile locked.default"], "failed"));
    assert_eq!(results(&ran), expected);
    let reason = ran.json()[1]["reason"].to_string();
    assert!(reason.contains("a password of its own"), "{reason}");
    assert!(vouches_for(&machine.home().join(".pki/nssdb"), &authority).await?);
    Ok(())
}

#[tokio::test]
async fn without_certutil_one_is_told_where_it_is() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    machine.publish(&Authority::root(NAME)?)?;
    // A path with a shell and nothing else.
    let programs = machine.path("bin");
    std::fs::create_dir(&programs)?;
    for program in ["sh", "mkdir"] {
        std::os::unix::fs::symlink(format!("/bin/{program}"), programs.join(program))?;
    }
    let programs = programs.display().to_string();
    let ran = machine
        .certs_with(&["trust", "--user"], &[("PATH", &programs)])
        .await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout.contains("libnss3-tools (Debian, Ubuntu)"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("hint: each line above says why"),
        "{ran:?}"
    );
    assert!(!is_database(&machine.home().join(".pki/nssdb")));
    Ok(())
}

#[tokio::test]
async fn the_authority_is_exported_and_trusted_on_another_machine() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let none = machine.certs(&["export-ca"]).await?;
    assert_eq!(none.code, 1);
    assert!(
        none.stderr.contains("hint: the gateway makes it"),
        "{none:?}"
    );
    let authority = Authority::root(NAME)?;
    machine.publish(&authority)?;
    let printed = machine.certs(&["export-ca"]).await?;
    let pem = authority.pem().replace("\r\n", "\n");
    assert_eq!(
        (printed.code, printed.stdout.trim()),
        (0, pem.trim()),
        "{printed:?}"
    );
    let file = machine.path("exported.pem").display().to_string();
    let written = machine.certs(&["export-ca", "--output", &file]).await?;
    assert_eq!(written.code, 0, "{written:?}");
    assert_eq!(written.stdout, "");

    let other = Machine::new()?;
    let arguments = [&USER[..], &["--file", &file]].concat();
    let ran = other.certs(&arguments).await?;
    assert_eq!(results(&ran), each(&["Chromium"], "trusted"), "{ran:?}");
    assert!(vouches_for(&other.home().join(".pki/nssdb"), &authority).await?);
    Ok(())
}

#[tokio::test]
async fn what_is_no_authority_is_trusted_by_nobody() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let authority = Authority::root(NAME)?;
    let leaf = authority.sign(&["kalpana.localhost"], (-1, 89))?;
    let two = format!("{}{}", authority.pem(), authority.pem());
    for (contents, expected) in [
        (leaf.pem.as_str(), "is the certificate of a host"),
        (leaf.key_pem.as_str(), "is not one PEM certificate"),
        (two.as_str(), "is not one PEM certificate"),
        ("garbage", "is not one PEM certificate"),
    ] {
        let file = machine.file("f.pem", contents)?;
        let ran = machine.certs(&["trust", "--user", "--file", &file]).await?;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
        assert!(!is_database(&machine.home().join(".pki/nssdb")));
    }
    Ok(())
}

#[tokio::test]
async fn a_real_chromium_opens_a_page_that_it_would_not_have_opened_before() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let authority = Authority::root(NAME)?;
    machine.publish(&authority)?;
    let leaf = authority.sign(&["kalpana.localhost"], (-1, 89))?;
    let server = super::site::serve_page(&leaf, "hello from the site").await?;
    let url = format!("https://kalpana.localhost:{}/", server.port);
    let page = || open(&machine, &url);
    let before = page().await?;
    assert!(!before.contains("hello from the site"), "{before}");
    let ran = machine.certs(&USER).await?;
    assert_eq!(results(&ran), each(&["Chromium"], "trusted"), "{ran:?}");
    let after = page().await?;
    assert!(after.contains("hello from the site"), "{after}");
    let ran = machine.certs(&[&USER[..], &["--remove"]].concat()).await?;
    assert_eq!(
        ran.json()[0],
        json!({
            "store": "Chromium",
            "place": machine.home().join(".pki/nssdb").display().to_string(),
            "result": "removed",
            "reason": null,
        })
    );
    let gone = page().await?;
    assert!(!gone.contains("hello from the site"), "{gone}");
    Ok(())
}
