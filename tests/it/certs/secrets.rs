//! However much is asked to be logged, no key is: not the account's, not the one that binds it, not
//! a certificate's, not the one for records.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

use super::gateway::{DOMAIN, Gateway, Options, Proof, WORKSPACE_HOST};
use super::site::Ran;

/// Everything that anybody logs, those included who are quiet otherwise.
const EVERYTHING: &str = "trace,pingora_core=trace,pingora_proxy=trace,rusqlite_migration=trace";

/// An account at the authority, and its key.
const ACCOUNT: (&str, &str) = (
    "kid-1",
    "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
);

/// What comes before the number that is the secret, in the DER of a key for P-256.
const BEFORE_SCALAR: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];

/// Secrets by name, each with every way in which it could be written.
type Secrets = BTreeMap<String, Vec<String>>;

/// Returns the ways in which bytes are written.
fn written(secret: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    // In base64, also where it stands in the middle of something: then it begins at any of three
    // places of a group.
    for skip in 0..3 {
        let part = &secret[skip..];
        let whole = &part[..part.len() / 3 * 3];
        forms.extend([STANDARD.encode(whole), URL_SAFE_NO_PAD.encode(whole)]);
    }
    let hex = |separator: &str| {
        let bytes = secret.iter().map(|byte| format!("{byte:02x}"));
        bytes.collect::<Vec<_>>().join(separator)
    };
    let lower = [hex(""), hex(":"), hex(" ")];
    forms.extend(lower.iter().map(|form| form.to_uppercase()));
    forms.extend(lower);
    // As lists of numbers, which is how Rust shows bytes.
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    forms.extend([numbers.join(", "), numbers.join(",")]);
    forms
}

/// Adds a private key, and the number in it that is the secret.
fn add_key(secrets: &mut Secrets, name: &str, der: &[u8]) -> anyhow::Result<()> {
    let at = der.windows(5).position(|window| window == BEFORE_SCALAR);
    let start = at.context("a key for P-256")? + BEFORE_SCALAR.len();
    let scalar = der.get(start..start + 32).context("32 bytes")?;
    let mut forms = [written(der), written(scalar)].concat();
    // A text of PEM may come line by line. What comes after these two is the public key.
    let pem = STANDARD.encode(der);
    forms.extend([pem[..64].to_owned(), pem[64..128].to_owned()]);
    secrets.insert(format!("{name} {}", &URL_SAFE.encode(scalar)[..6]), forms);
    Ok(())
}

/// Returns the keys in a text, whether its lines end as in a file or as in JSON.
fn keys(text: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let text = text.replace("\\n", "\n").replace("\\r", "");
    let blocks = text.split("-----BEGIN PRIVATE KEY-----").skip(1);
    blocks
        .map(|block| {
            let (body, _) = block.split_once("-----END").context("an end")?;
            let body: String = body.split_whitespace().collect();
            Ok(STANDARD.decode(body)?)
        })
        .collect()
}

/// Adds all keys of certificates in the files below a folder.
fn add_folder(secrets: &mut Secrets, folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            add_folder(secrets, &path)?;
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            for der in keys(&text)? {
                add_key(secrets, "a certificate's key", &der)?;
            }
        }
    }
    Ok(())
}

/// Adds the account's key.
fn add_account(secrets: &mut Secrets, vault: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(vault)? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy();
        if name.starts_with("account-") {
            let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
            let key = kept["key_pkcs8"].as_str().context("a key")?;
            return add_key(secrets, "the account's key", &URL_SAFE_NO_PAD.decode(key)?);
        }
    }
    anyhow::bail!("there is no account")
}

/// Returns the names of the secrets that a text gives away.
fn given_away<'a>(secrets: &'a Secrets, text: &str) -> Vec<&'a str> {
    // Quotes within quotes hide nothing.
    let text = text.replace('\\', "");
    secrets
        .iter()
        .filter(|(_, forms)| forms.iter().any(|form| text.contains(form.as_str())))
        .map(|(name, _)| name.as_str())
        .collect()
}

async fn nothing_is_given_away(proof: Proof) -> anyhow::Result<()> {
    let options = Options {
        eab: Some(ACCOUNT),
        log: EVERYTHING,
    };
    let gateway = Gateway::with(proof, options).await?;
    let mut secrets = Secrets::new();
    let mut said = String::new();
    let mut take = |ran: Ran| {
        assert_eq!(ran.code, 0, "{ran:?}");
        said += &ran.stdout;
        said += &ran.stderr;
    };
    add_account(&mut secrets, &gateway.vault())?;
    let directory = gateway.machine.path("d/gateway");
    add_folder(&mut secrets, &directory)?;
    let before = secrets.len();
    let mut commands = vec![vec!["renew", DOMAIN], vec!["revoke", "--yes", DOMAIN]];
    if proof != Proof::Dns01 {
        commands.push(vec!["issue", WORKSPACE_HOST]);
    }
    let orders = commands.len();
    for command in commands {
        take(gateway.machine.certs(&command).await?);
        add_folder(&mut secrets, &directory)?;
    }
    take(gateway.machine.certs(&["list", "--format", "json"]).await?);
    assert_eq!(secrets.len() - before, orders, "each has a key of its own");
    let mut binding = written(&URL_SAFE_NO_PAD.decode(ACCOUNT.1)?);
    binding.push(ACCOUNT.1.to_owned());
    secrets.insert("the key of the binding".to_owned(), binding);
    if let Some(path) = gateway.update_key() {
        let text = std::fs::read_to_string(path)?;
        let secret = text.split('"').filter(|part| STANDARD.decode(part).is_ok());
        let secret = secret.max_by_key(|part| part.len()).context("a secret")?;
        let mut forms = written(&STANDARD.decode(secret)?);
        forms.push(secret.to_owned());
        secrets.insert("the key for records".to_owned(), forms);
    }

    let log = gateway.log();
    assert_eq!(given_away(&secrets, &log), Vec::<&str>::new());
    assert_eq!(given_away(&secrets, &said), Vec::<&str>::new());

    // The log is whole: it has what is there to be seen, from every corner and to the end.
    for part in [
        "\"level\":\"TRACE\"",
        "\"level\":\"DEBUG\"",
        "rustls",
        "hyper",
    ] {
        ensure!(log.contains(part), "the log lacks {part}");
    }
    let serial = gateway.shown(DOMAIN).await?["served"]["serial"].clone();
    let serial = serial.as_str().context("a serial number")?;
    ensure!(!said.is_empty() && said.contains(serial), "{said}");
    for part in ["opened an account at", "revoked the certificate for"] {
        ensure!(log.contains(part), "the log lacks {part:?}");
    }
    // And every secret would be found in it, however it were written.
    for (name, forms) in &secrets {
        for form in forms {
            let found = given_away(&secrets, &format!("{{\"key\":\"{form}\"}}"));
            ensure!(found.contains(&name.as_str()), "{name} is not found");
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_key_is_logged_while_names_are_proven_by_http_01() -> anyhow::Result<()> {
    nothing_is_given_away(Proof::Http01).await
}

#[tokio::test]
async fn no_key_is_logged_while_names_are_proven_by_tls_alpn_01() -> anyhow::Result<()> {
    nothing_is_given_away(Proof::TlsAlpn01).await
}

#[tokio::test]
async fn no_key_is_logged_while_names_are_proven_by_dns() -> anyhow::Result<()> {
    nothing_is_given_away(Proof::Dns01).await
}
