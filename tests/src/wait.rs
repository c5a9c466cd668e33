//! Waits on conditions, never on time alone.

use std::time::Duration;

use anyhow::bail;

/// How often a condition of another process is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// Waits until `look` returns something.
///
/// # Errors
/// When it does not within `limit`, saying what was waited for.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if tokio::time::Instant::now() >= deadline {
            bail!("waited {limit:?} for {what}");
        }
        tokio::time::sleep(GLANCE).await;
    }
}
