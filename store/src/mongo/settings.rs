//! From `[store.mongodb]` to the driver's options, with an error for each setting that is wrong.

use std::path::Path;
use std::time::Duration;

use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::options::{
    Acknowledgment, AuthMechanism, ClientOptions, Credential, ReadConcern, ReadPreference,
    SelectionCriteria, Tls, TlsOptions, WriteConcern,
};

use crate::error::{StoreError, StoreResult};
use crate::guard::Metrics;

/// How long a write waits for a majority before it counts as failed.
const MAJORITY_LIMIT: Duration = Duration::from_secs(5);

/// The driver's options, and what to call the place.
pub(super) struct Connection {
    pub(super) options: ClientOptions,
    pub(super) location: String,
}

/// Reads the settings.
pub(super) async fn read(
    settings: &kalpana_config::Store,
    metrics: Option<&Metrics>,
) -> StoreResult<Connection> {
    let mongodb = &settings.mongodb;
    let unnamed = "mongodb";
    let uri = mongodb
        .uri
        .as_ref()
        .ok_or_else(|| refuse(unnamed, "store.mongodb.uri is not set", None))?;
    let mut options = ClientOptions::parse(uri.expose().as_str())
        .await
        .map_err(|error| {
            let reason = "store.mongodb.uri cannot be used; it must be like \
                 mongodb://host1:27017,host2:27017/?replicaSet=rs0, with ':', '/', '@' and '%' in \
                 a user name or password written as %3A, %2F, %40 and %25";
            refuse(unnamed, reason, Some(Box::new(error)))
        })?;
    let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    let location = format!("mongodb://{}/{}", hosts.join(","), mongodb.database);

    options.app_name = Some("kalpana".to_owned());
    options.max_pool_size = Some(mongodb.pool_size);
    options.connect_timeout = Some(mongodb.connect_timeout.0);
    options.server_selection_timeout = Some(mongodb.connect_timeout.0);
    options.retry_reads = Some(true);
    options.retry_writes = Some(true);
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.write_concern = Some(
        WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .w_timeout(MAJORITY_LIMIT)
            .build(),
    );
    if let (Some(username), Some(file)) = (&mongodb.username, &mongodb.password_file) {
        options.credential = Some(credential(username, file, options.credential, &location)?);
    }
    if mongodb.ca_file.is_some() || mongodb.certificate_file.is_some() {
        options.tls = Some(Tls::Enabled(tls(mongodb, options.tls, &location)?));
    }
    if let Some(metrics) = metrics {
        options.cmap_event_handler = Some(count_connections(metrics));
    }
    Ok(Connection { options, location })
}

fn credential(
    username: &str,
    file: &Path,
    given: Option<Credential>,
    location: &str,
) -> StoreResult<Credential> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let reason = format!(
            "store.mongodb.password_file {} cannot be read by this user; check its path, owner \
             and mode",
            file.display()
        );
        refuse(location, &reason, Some(Box::new(error)))
    })?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        let reason = "the first line of store.mongodb.password_file is empty; write the password \
             there";
        return Err(refuse(location, reason, None));
    }
    let source = given.and_then(|given| given.source);
    Ok(Credential::builder()
        .username(username.to_owned())
        .password(password.to_owned())
        .mechanism(AuthMechanism::ScramSha256)
        .source(source)
        .build())
}

fn tls(
    settings: &kalpana_config::Mongodb,
    given: Option<Tls>,
    location: &str,
) -> StoreResult<TlsOptions> {
    let mut options = match given {
        Some(Tls::Enabled(options)) => options,
        _ => TlsOptions::default(),
    };
    for (setting, path) in [
        ("store.mongodb.ca_file", &settings.ca_file),
        ("store.mongodb.certificate_file", &settings.certificate_file),
    ] {
        let Some(path) = path else { continue };
        let text = std::fs::read_to_string(path).map_err(|error| {
            let reason = format!(
                "{setting} {} cannot be read by this user; check its path, owner and mode",
                path.display()
            );
            refuse(location, &reason, Some(Box::new(error)))
        })?;
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            let reason = format!(
                "{setting} {} holds no certificate in PEM form",
                path.display()
            );
            return Err(refuse(location, &reason, None));
        }
    }
    if let Some(path) = &settings.ca_file {
        options.ca_file_path = Some(path.clone());
    }
    if let Some(path) = &settings.certificate_file {
        options.cert_key_file_path = Some(path.clone());
    }
    Ok(options)
}

/// Keeps the pool's gauges: connections in use and idle.
fn count_connections(metrics: &Metrics) -> EventHandler<CmapEvent> {
    let pool = metrics.pool();
    EventHandler::callback(move |event| match event {
        CmapEvent::ConnectionReady(_) => pool.idle(1),
        CmapEvent::ConnectionCheckedOut(_) => {
            pool.idle(-1);
            pool.used(1);
        }
        CmapEvent::ConnectionCheckedIn(_) => {
            pool.used(-1);
            pool.idle(1);
        }
        CmapEvent::ConnectionClosed(_) => pool.closed(),
        CmapEvent::ConnectionCheckoutFailed(_) => pool.checkout_failed(),
        _ => {}
    })
}

/// Makes the error of a store that cannot be opened.
pub(super) fn refuse(
    at: &str,
    reason: &str,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Open {
        at: at.to_owned(),
        reason: reason.to_owned(),
        source,
    }
}
