//! Asks the gateway about its certificates, and makes its answers ours.

use std::time::Duration;

use http::{Method, StatusCode};
use kalpana_link::{CallError, Client};
use kalpana_protocol::certificates::{Certificate, Certificates, Problem};

use crate::error::{ApiError, ApiResult, sentence};
use crate::request::RequestContext;

/// How long clients should wait while the gateway does not answer.
const AWAY: Duration = Duration::from_secs(2);

/// How long an order may take. The gateway gives up sooner, and goes on by itself.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// What may be asked of a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// A new one.
    Renew,
    /// That it is declared void, and a new one.
    Revoke,
}

/// The gateway, as web sees it.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    client: Client,
}

impl Gateway {
    /// Speaks through `client`.
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Lists the certificates.
    pub(crate) async fn certificates(&self, context: &RequestContext) -> ApiResult<Certificates> {
        let path = "/v1/certificates";
        let answer = self
            .client
            .call(Method::GET, path, Some(&context.id), None::<&()>)
            .await;
        answer.map_err(refused)
    }

    /// Asks for a change of one of them, and waits until it is done.
    pub(crate) async fn ask(
        &self,
        id: &str,
        wanted: Wanted,
        context: &RequestContext,
    ) -> ApiResult<Certificate> {
        let what = match wanted {
            Wanted::Renew => "renew",
            Wanted::Revoke => "revoke",
        };
        // Who it was is written down already.
        let path = format!("/v1/certificates/{id}/{what}?by=web");
        let client = self.client.clone().with_timeout(PATIENCE);
        let answer = client
            .call(Method::POST, &path, Some(&context.id), None::<&()>)
            .await;
        answer.map_err(refused)
    }
}

fn refused(error: CallError) -> ApiError {
    match &error {
        CallError::Unavailable { .. } => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "gateway_unavailable",
            "The gateway does not say how its certificates are.",
        )
        .hint("It may be restarting, or on another machine. Try again in a moment.")
        .retry_after(AWAY)
        .caused_by(error),
        CallError::Unreadable { .. } => ApiError::internal(error),
        CallError::Refused { status, body, .. } => match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => {
                let code = match *status {
                    StatusCode::NOT_FOUND => "certificate_not_found",
                    StatusCode::CONFLICT => "certificate_not_ordered",
                    _ => "certificate_refused",
                };
                ApiError::new(*status, code, sentence(&problem.message)).hint(problem.next_step)
            }
            Err(_) => ApiError::internal(error),
        },
    }
}
