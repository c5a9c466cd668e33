//! The image workspaces run: present on the host, or a failure that says how to make it.

use kalpana_domain::lifecycle::{FailureCode, FailureReason};

/// Returns the failure of a start whose image is not on the host.
///
/// Nothing is pulled: what runs is what the operator built or loaded, not what a registry says
/// the name means today.
pub(crate) fn missing(image: &str) -> FailureReason {
    FailureReason::new(
        FailureCode::ImageMissing,
        format!(
            "The workspace image {image} is not on the host: build it with `make image`, then \
             start the workspace again."
        ),
    )
}
