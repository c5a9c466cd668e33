//! A database of a test's own.

use anyhow::Context;

use crate::Server;

/// A database that no other test uses. It is removed when dropped.
#[derive(Debug)]
pub struct Database {
    uri: String,
    name: String,
    /// The server, when it was started for this database.
    server: Option<Box<Server>>,
}

impl Database {
    /// Makes a database on the shared server, or on one that is started for it.
    ///
    /// # Errors
    /// If there is no server and none can be started.
    pub async fn fresh() -> anyhow::Result<Self> {
        let (uri, server) = match std::env::var("KALPANA_TEST_MONGODB_URI") {
            Ok(uri) if !uri.is_empty() => (uri, None),
            _ => {
                let server = Server::start().await?;
                (server.uri(), Some(Box::new(server)))
            }
        };
        let name = format!("kalpana_test_{:016x}", rand::random::<u64>());
        Ok(Self { uri, name, server })
    }

    /// Returns where its server is.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the database by the driver, to look at or to spoil what is in it.
    ///
    /// # Errors
    /// If the URI cannot be used.
    pub async fn driver(&self) -> anyhow::Result<mongodb::Database> {
        let client = mongodb::Client::with_uri_str(&self.uri).await?;
        Ok(client.database(&self.name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.server.is_some() {
            return;
        }
        let (uri, name) = (self.uri.clone(), self.name.clone());
        // On a thread of its own, because a runtime cannot be made on one that has one.
        let removal = std::thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("a runtime")?;
            runtime.block_on(async {
                let client = mongodb::Client::with_uri_str(uri).await?;
                Ok(client.database(&name).drop().await?)
            })
        });
        // Left behind on a server that is away: a test that lost its server has failed already.
        let _ = removal.join();
    }
}
