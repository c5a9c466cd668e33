//! Reads what a request carries: all of it understood, or none of it used.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kalpana_config::ByteSize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// How long a request may take to send its body.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest text of what was wrong in a body; a value quoted in it may be as long as the body.
const REASON_LIMIT: usize = 200;

/// A JSON body: of the right type, within the limit, without fields we do not know.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> ApiResult<Self> {
        let (parts, body) = request.into_parts();
        demand_json(&parts.headers)?;
        let bytes = read(&parts.headers, body, state.config.body_limit).await?;
        parse(&bytes).map(Self)
    }
}

/// The absence of a body. An empty JSON object is as good, for clients that always send one.
#[derive(Debug)]
pub(crate) struct NoBody;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl FromRequest<AppState> for NoBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> ApiResult<Self> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, state.config.body_limit).await?;
        if bytes.is_empty() {
            return Ok(Self);
        }
        demand_json(&parts.headers)?;
        parse::<Nothing>(&bytes).map(|Nothing {}| Self)
    }
}

/// The query of the address, without parameters we do not know.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| {
                let reason = cut(&crate::error::describe(&rejection));
                ApiError::invalid_request(format!(
                    "The address's query is not understood: {reason}."
                ))
            })
    }
}

/// The part of the address that names something, `{id}`, as text.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) String);

impl FromRequestParts<AppState> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let parts = PathParts::from_request_parts(parts, state).await?;
        Ok(Self(parts.part("id").to_owned()))
    }
}

/// The parts of the address that name something, as text.
#[derive(Debug)]
pub(crate) struct PathParts(HashMap<String, String>);

impl PathParts {
    /// Returns the part that the route calls `name`; nothing when it has none.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl FromRequestParts<AppState> for PathParts {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(parts)| Self(parts))
            // Percent-encoded bytes that are no text.
            .map_err(|rejection| {
                let reason = cut(&crate::error::describe(&rejection));
                ApiError::invalid_request(format!("The address is not understood: {reason}."))
            })
    }
}

fn demand_json(headers: &HeaderMap) -> ApiResult<()> {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let is_json = parts.next() == Some("application/json")
        && parts.all(|parameter| matches!(parameter, "charset=utf-8" | "charset=\"utf-8\""));
    if is_json {
        Ok(())
    } else {
        Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must be JSON.",
        )
        .hint("Send it with `Content-Type: application/json`."))
    }
}

async fn read(headers: &HeaderMap, body: Body, limit: ByteSize) -> ApiResult<Bytes> {
    let too_large = || {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("The body is larger than {limit}."),
        )
    };
    let limit_bytes = usize::try_from(limit.0).unwrap_or(usize::MAX);
    let announced: Option<u64> = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > limit.0) {
        return Err(too_large());
    }
    let collected = Limited::new(body, limit_bytes).collect();
    match tokio::time::timeout(PATIENCE, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::invalid_request("The body ended too early.")),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "The body did not arrive in time.",
        )),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let reason = cut(&error.inner().to_string());
        let place = if path == "." {
            String::new()
        } else {
            format!(" at `{}`", cut(&path))
        };
        ApiError::invalid_request(format!("The body is not understood{place}: {reason}."))
    })?;
    deserializer.end().map_err(|error| {
        let reason = cut(&error.to_string());
        ApiError::invalid_request(format!("The body goes on after its end: {reason}."))
    })?;
    Ok(value)
}

fn cut(text: &str) -> String {
    text.chars().take(REASON_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        name: String,
        count: Option<u8>,
    }

    #[test]
    fn only_what_is_wholly_understood_is_taken() {
        let wish: Wish = parse(br#"{"name":"a","count":2}"#).unwrap();
        assert_eq!(
            wish,
            Wish {
                name: "a".to_owned(),
                count: Some(2)
            }
        );
        let deep = "[".repeat(10_000);
        for wrong in [
            r#"{"name":"a","owner":"b"}"#,
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":{"$gt":""}}"#,
            r#"{"name":"a","count":NaN}"#,
            r#"{"name":"a","count":256}"#,
            r#"{"name":"a"} {}"#,
            r#"{"name":"\ud800"}"#,
            r"[]",
            "",
            &deep,
            &format!(r#"{{"name":{deep}"#),
        ] {
            let error = parse::<Wish>(wrong.as_bytes()).unwrap_err();
            assert_eq!(error.code(), "invalid_request");
        }
    }

    #[test]
    fn only_json_is_json() {
        let judge = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            demand_json(&headers).is_ok()
        };
        assert!(judge("application/json") && judge("Application/JSON; charset=UTF-8"));
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json-patch+json",
            "application/json; charset=utf-16",
            "",
        ] {
            assert!(!judge(other), "{other}");
        }
        assert!(demand_json(&HeaderMap::new()).is_err());
    }
}
