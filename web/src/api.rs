//! The calls of the public API, one file for each thing they are about.

pub(crate) mod access_requests;
pub(crate) mod admin;
pub(crate) mod certificates;
pub(crate) mod deleted_workspaces;
pub(crate) mod figures;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod password;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod setup;
pub(crate) mod share_links;
pub(crate) mod sharing;
pub(crate) mod site;
pub(crate) mod snapshots;
pub(crate) mod tokens;
pub(crate) mod workspaces;

use kalpana_store::PageRequest;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{ApiError, ApiResult};

/// Rows of one page unless asked otherwise.
const PAGE: usize = 50;

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// The `next_cursor` of the part before; the first part when absent.
    cursor: Option<String>,
    /// Rows wanted, from 1 to 200. Default: 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

impl Paging {
    fn into_request(self) -> ApiResult<PageRequest> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=PageRequest::LIMIT).contains(&limit) {
            let most = PageRequest::LIMIT;
            return Err(ApiError::invalid_request(format!(
                "The limit must be from 1 to {most}."
            )));
        }
        Ok(PageRequest {
            after: self.cursor,
            limit,
        })
    }
}
