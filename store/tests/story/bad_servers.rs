//! What MongoDB's backend says about servers that it cannot use: a typed error that names the
//! setting and the way out, and nothing written.

use std::path::{Path, PathBuf};

use kalpana_config::Secret;
use kalpana_domain::audit::AuditAction;
use kalpana_store::mongo::MongoStore;
use kalpana_store::repository::{Audit, Health, Workspaces};
use kalpana_store::{OpenMode, Outage, StoreError};
use kalpana_test_mongodb::{Database, Options, Server};
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Client, IndexModel};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::trash::{assert_kept_from_now_on, long_deleted};
use crate::world::event;

const BOTH: &[OpenMode] = &[OpenMode::Migrate, OpenMode::Use];

/// Settings that give up quickly.
fn settings(uri: &str) -> kalpana_config::Store {
    let mut settings = kalpana_config::Store::default();
    settings.mongodb.uri = Some(Secret::new(uri.to_owned()));
    settings.mongodb.connect_timeout = "1s".parse().expect("legal");
    settings
}

async fn open(settings: &kalpana_config::Store, mode: OpenMode) -> Result<MongoStore, StoreError> {
    MongoStore::open(settings, mode, None).await
}

/// Checks that the modes refuse the server, saying all of `words`, and not `secret`.
async fn assert_refused(settings: &kalpana_config::Store, modes: &[OpenMode], words: &[&str]) {
    for mode in modes {
        let error = open(settings, *mode).await.expect_err("refused");
        assert!(
            matches!(error, StoreError::Open { .. }),
            "{mode:?}: {error:?}"
        );
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "{mode:?}: {word:?} is not in: {text}");
        }
        assert!(!format!("{text} {error:?}").contains("hunter2"), "{text}");
    }
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

/// An authority, and a certificate of 127.0.0.1 that it signed.
struct Authority {
    certificate: PathBuf,
    leaf: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("legal");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: one that is its issuer's makes a certificate look self-signed.
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
            .expect("signed");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .expect("legal")
            .signed_by(&key, &issuer)
            .expect("signed");
        Self {
            certificate: write(directory, &format!("{name}-ca.pem"), &issuer.pem()),
            leaf: write(directory, &format!("{name}.pem"), &leaf.pem()),
            key: write(directory, &format!("{name}.key"), &key.serialize_pem()),
        }
    }

    /// The certificate and its key in one file.
    fn pair(&self) -> PathBuf {
        let text = [&self.leaf, &self.key].map(|path| std::fs::read_to_string(path).expect("read"));
        let path = self.leaf.with_extension("pair.pem");
        std::fs::write(&path, text.concat()).expect("written");
        path
    }
}

#[tokio::test]
async fn an_unusable_uri_is_named_without_its_password() {
    for uri in [
        "mongodb://ada:hunter2@[::1/",
        "mongodb://ada:hunter2@/",
        "mongodb://ada:hunter2%zz@127.0.0.1/",
        "mongodb://ada:hunter2@127.0.0.1:notaport/",
        "postgres://ada:hunter2@127.0.0.1/",
    ] {
        assert_refused(
            &settings(uri),
            BOTH,
            &["store.mongodb.uri", "mongodb://host1"],
        )
        .await;
    }
}

#[tokio::test]
async fn an_unreachable_host_is_named() {
    // A port that is bound and not listened on refuses every connection.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    let port = socket.local_addr().expect("bound").port();
    let place = format!("127.0.0.1:{port}");
    let settings = settings(&format!("mongodb://ada:hunter2@{place}/?replicaSet=rs0"));
    let words = ["store.mongodb.uri", "store.mongodb.connect_timeout", &place];
    assert_refused(&settings, BOTH, &words).await;
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = Server::start().await.expect("started");
    server.hold().expect("held");
    let words = ["no server of store.mongodb.uri answered", "start MongoDB"];
    assert_refused(&settings(&server.uri()), BOTH, &words).await;
}

#[tokio::test]
async fn a_server_without_a_replica_set_is_refused() {
    let options = Options {
        standalone: true,
        ..Options::default()
    };
    let server = Server::start_with(options).await.expect("started");
    let words = ["store.mongodb.uri", "--replSet", "rs.initiate()"];
    assert_refused(&settings(&server.uri()), BOTH, &words).await;
}

#[tokio::test]
async fn users_sign_in_by_the_settings_and_wrong_ones_are_told() {
    let options = Options {
        auth: true,
        ..Options::default()
    };
    let mut server = Server::start_with(options).await.expect("started");
    server
        .create_user("ada", "correct horse")
        .await
        .expect("made");
    let words = ["store.mongodb.username", "password_file", "authSource"];
    let wrong = settings(&server.uri_with("ada:hunter2@"));
    assert_refused(&wrong, BOTH, &words).await;
    let nobody = settings(&server.uri());
    let error = open(&nobody, OpenMode::Migrate).await.expect_err("refused");
    assert!(error.to_string().contains("store.mongodb"), "{error}");

    let file = write(server.folder(), "password", "correct horse\n");
    let mut right = settings(&server.uri());
    right.mongodb.username = Some("ada".to_owned());
    right.mongodb.password_file = Some(file.clone());
    let store = open(&right, OpenMode::Migrate).await.expect("opened");
    store.ping().await.expect("answers");

    for (text, word) in [("hunter2\n", "password_file"), ("\nhunter2", "first line")] {
        std::fs::write(&file, text).expect("written");
        assert_refused(&right, BOTH, &[word, "store.mongodb."]).await;
    }
    std::fs::remove_file(&file).expect("removed");
    assert_refused(
        &right,
        BOTH,
        &["store.mongodb.password_file", "cannot be read"],
    )
    .await;
}

#[tokio::test]
async fn tls_is_checked_both_ways() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let (ours, theirs) = (
        Authority::new(folder.path(), "ours"),
        Authority::new(folder.path(), "theirs"),
    );
    let options = Options {
        certificate: Some((theirs.leaf.clone(), theirs.key.clone())),
        client_authority: Some(ours.certificate.clone()),
        ..Options::default()
    };
    let server = Server::start_with(options).await.expect("started");
    let settings = |authority: &Path, certificate: Option<PathBuf>| {
        let mut settings = settings(&server.uri());
        settings.mongodb.ca_file = Some(authority.to_owned());
        settings.mongodb.certificate_file = certificate;
        settings
    };
    let good = settings(&theirs.certificate, Some(ours.pair()));
    let store = open(&good, OpenMode::Migrate).await.expect("opened");
    store.ping().await.expect("answers");

    let wrong_authority = settings(&ours.certificate, Some(ours.pair()));
    assert_refused(&wrong_authority, BOTH, &["store.mongodb.ca_file", "signed"]).await;
    let nothing_to_show = settings(&theirs.certificate, None);
    let error = open(&nothing_to_show, OpenMode::Use)
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("store.mongodb"), "{error}");

    let garbage = write(folder.path(), "garbage.pem", "not a certificate");
    let bad = settings(&garbage, None);
    assert_refused(&bad, BOTH, &["store.mongodb.ca_file", "PEM"]).await;
    let missing = settings(&folder.path().join("missing.pem"), None);
    assert_refused(&missing, BOTH, &["store.mongodb.ca_file", "cannot be read"]).await;
    let no_key = settings(&theirs.certificate, Some(ours.leaf.clone()));
    assert_refused(&no_key, BOTH, &["certificate_file", "key"]).await;
}

#[tokio::test]
async fn tls_towards_a_plain_server_is_told() {
    let server = Server::start().await.expect("started");
    let authority = Authority::new(server.folder(), "ours");
    let mut settings = settings(&server.uri());
    settings.mongodb.ca_file = Some(authority.certificate);
    let error = open(&settings, OpenMode::Use).await.expect_err("refused");
    assert!(error.to_string().contains("store.mongodb"), "{error}");
}

#[tokio::test]
async fn what_was_deleted_before_there_was_a_trash_is_kept_from_now_on() {
    let (_database, settings, driver) = prepared().await;
    let store = open(&settings, OpenMode::Migrate).await.expect("opened");
    let store: kalpana_store::Store = std::sync::Arc::new(store);
    let deleted = long_deleted(&store).await;
    let meta = driver.collection::<Document>("meta");
    let older = doc! { "$set": { "version": 3 } };
    meta.update_one(doc! { "_id": "schema" }, older)
        .await
        .expect("as it was");
    let store = open(&settings, OpenMode::Migrate).await.expect("opened");
    let store: kalpana_store::Store = std::sync::Arc::new(store);
    assert_kept_from_now_on(&store, deleted).await;
}

/// A database, prepared by us, and the driver's way into it.
async fn prepared() -> (Database, kalpana_config::Store, mongodb::Database) {
    let database = Database::fresh().await.expect("a server");
    let mut settings = settings(database.uri());
    settings.mongodb.database = database.name().to_owned();
    open(&settings, OpenMode::Migrate).await.expect("prepared");
    let driver = database.driver().await.expect("connected");
    (database, settings, driver)
}

#[tokio::test]
async fn a_missing_store_is_made_by_one_mode_only() {
    let database = Database::fresh().await.expect("a server");
    let mut settings = settings(database.uri());
    settings.mongodb.database = database.name().to_owned();
    let words = ["nothing in this database yet", "kalpana web"];
    assert_refused(&settings, &[OpenMode::Use], &words).await;
    let driver = database.driver().await.expect("connected");
    let names = driver.list_collection_names().await.expect("listed");
    assert_eq!(names, Vec::<String>::new(), "looking made something");
    open(&settings, OpenMode::Migrate).await.expect("made");
    open(&settings, OpenMode::Use).await.expect("opened");
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let database = Database::fresh().await.expect("a server");
    let mut settings = settings(database.uri());
    settings.mongodb.database = database.name().to_owned();
    let driver = database.driver().await.expect("connected");
    let theirs = driver.collection::<Document>("invoices");
    theirs.insert_one(doc! { "_id": 1 }).await.expect("written");
    let words = ["another program", "store.mongodb.database"];
    assert_refused(&settings, BOTH, &words).await;
    let names = driver.list_collection_names().await.expect("listed");
    assert_eq!(names, ["invoices"]);
}

#[tokio::test]
async fn a_newer_or_older_schema_is_not_used() {
    let (_database, settings, driver) = prepared().await;
    let set = async |version: i32| {
        driver
            .collection::<Document>("meta")
            .update_one(
                doc! { "_id": "schema" },
                doc! { "$set": { "version": version } },
            )
            .await
            .expect("written");
    };
    set(99).await;
    assert_refused(&settings, BOTH, &["newer Kalpana", "backup"]).await;
    set(0).await;
    assert_refused(
        &settings,
        &[OpenMode::Use],
        &["older Kalpana", "kalpana web"],
    )
    .await;
}

#[tokio::test]
async fn a_missing_index_is_made_and_a_different_one_is_named() {
    let (_database, settings, driver) = prepared().await;
    let users = driver.collection::<Document>("users");
    users.drop_index("users_by_email").await.expect("dropped");
    let words = ["users.users_by_email is missing", "kalpana web"];
    assert_refused(&settings, &[OpenMode::Use], &words).await;
    open(&settings, OpenMode::Migrate)
        .await
        .expect("made again");
    open(&settings, OpenMode::Use).await.expect("opened");

    users.drop_index("users_by_email").await.expect("dropped");
    let options = IndexOptions::builder()
        .name("users_by_email".to_owned())
        .build();
    let not_unique = IndexModel::builder()
        .keys(doc! { "email": 1 })
        .options(options)
        .build();
    users.create_index(not_unique).await.expect("made");
    let words = ["users.users_by_email is not what Kalpana needs", "drop it"];
    assert_refused(&settings, BOTH, &words).await;
}

#[tokio::test]
async fn an_unreadable_document_is_named() {
    let (_database, settings, driver) = prepared().await;
    let store = open(&settings, OpenMode::Use).await.expect("opened");
    for (collection, document) in [
        ("workspaces", doc! { "_id": "short", "deletedAt": null }),
        ("auditEvents", doc! { "_id": "x", "sequence": 1_i64 }),
    ] {
        let documents = driver.collection::<Document>(collection);
        documents.insert_one(document).await.expect("written");
        let error = match collection {
            "workspaces" => store.all_workspaces().await.map(drop),
            _ => store
                .audit_events(crate::world::page(None, 1))
                .await
                .map(drop),
        };
        let error = error.expect_err("unreadable");
        assert!(
            matches!(&error, StoreError::Corrupt { what, .. } if what.contains(collection)),
            "{error:?}"
        );
    }
}

/// Makes the server answer `commands` with an error of this code, for a number of times.
async fn fail(server: &Server, commands: &[&str], code: i32, times: i32) {
    let client = Client::with_uri_str(server.uri()).await.expect("connected");
    let names: Vec<_> = commands.iter().map(|name| (*name).to_owned()).collect();
    client
        .database("admin")
        .run_command(doc! {
            "configureFailPoint": "failCommand",
            "mode": { "times": times },
            "data": { "failCommands": names, "errorCode": code },
        })
        .await
        .expect("set");
}

#[tokio::test]
async fn answers_of_a_server_in_trouble_say_what_to_do() {
    let server = Server::start().await.expect("started");
    let settings = settings(&server.uri());
    let store = open(&settings, OpenMode::Migrate).await.expect("opened");
    // Codes of the MongoDB server: out of disk space, not authorised, exceeded time.
    for (code, outage, words) in [
        (14_031, Outage::Refused, "disk full"),
        (13, Outage::Refused, "readWrite"),
        (50, Outage::Away, "too slow"),
    ] {
        fail(&server, &["insert"], code, 1).await;
        let refused = store.append_audit(event(AuditAction::SessionRefuse)).await;
        assert!(
            matches!(
                &refused,
                Err(StoreError::Unavailable { outage: told, reason, .. })
                    if *told == outage && reason.contains(words)
            ),
            "{code}: {refused:?}"
        );
        let written = store.append_audit(event(AuditAction::SessionRefuse)).await;
        written.expect("written once it is over");
    }
    // A primary that steps down for a moment is nobody's business: the driver finds it again.
    fail(&server, &["insert"], 10_107, 1).await;
    let written = store.append_audit(event(AuditAction::SessionRefuse)).await;
    written.expect("tried again");
}

#[tokio::test]
async fn a_server_that_only_reads_is_told_at_the_start() {
    let server = Server::start().await.expect("started");
    let settings = settings(&server.uri());
    fail(&server, &["create", "update", "createIndexes"], 13_435, 100).await;
    let words = ["store.mongodb.uri", "only reads", "primary"];
    assert_refused(&settings, &[OpenMode::Migrate], &words).await;
}
