//! What several files' tests need.

use kalpana_config::{Config, Site};

/// A site in `/data` that nothing reads or writes.
pub(crate) fn site() -> Site {
    let mut config = Config::default();
    config.server.data_dir = Some("/data".into());
    Site::resolve(&config, false, None).expect("a valid site")
}
