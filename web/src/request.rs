//! What is known of every request before anybody looks at what it wants.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use kalpana_auth::Client;
use kalpana_link::REQUEST_ID_HEADER;
use uuid::Uuid;

/// Longest `User-Agent` kept, in bytes.
const USER_AGENT_LIMIT: usize = 256;

/// Where a request comes from, and what it is called in the logs of every process.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    /// The request's id, which the gateway gave it.
    pub(crate) id: String,
    /// The client's network address, as the gateway saw it.
    pub(crate) address: Option<IpAddr>,
    /// What the client calls itself.
    pub(crate) user_agent: Option<String>,
}

impl RequestContext {
    /// Reads the headers that the gateway sets. Only the gateway can connect to this socket, so
    /// they are believed; of a list of addresses only the last is the gateway's own word.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let id = headers
            .get(REQUEST_ID_HEADER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| Uuid::try_parse(text).ok())
            .unwrap_or_else(Uuid::now_v7)
            .hyphenated()
            .to_string();
        let address = headers
            .get_all("x-forwarded-for")
            .iter()
            .next_back()
            .and_then(|value| value.to_str().ok())
            .and_then(|list| list.rsplit(',').next())
            .and_then(|last| last.trim().parse().ok());
        let user_agent = headers
            .get(http::header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .map(|text| text.chars().take(USER_AGENT_LIMIT).collect());
        Self {
            id,
            address,
            user_agent,
        }
    }

    /// Returns what accounts want to know of who calls.
    pub(crate) fn client(&self) -> Client {
        Client {
            address: self.address,
            user_agent: self.user_agent.clone(),
            request_id: Some(self.id.clone()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().cloned();
        Ok(known.unwrap_or_else(|| Self::read(&parts.headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> RequestContext {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        RequestContext::read(&map)
    }

    #[test]
    fn the_last_hop_is_the_address() {
        let forged = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2, 2001:db8::1"),
        ];
        assert_eq!(read(&forged).address, "2001:db8::1".parse().ok());
        assert_eq!(read(&[("x-forwarded-for", "nonsense")]).address, None);
        assert_eq!(read(&[]).address, None);
    }

    #[test]
    fn ids_are_kept_when_they_are_ids() {
        let id = "01938f2e-0000-7000-8000-000000000000";
        assert_eq!(read(&[("x-request-id", id)]).id, id);
        let made = read(&[("x-request-id", "a b\"c")]).id;
        assert!(Uuid::try_parse(&made).is_ok(), "{made}");
    }

    #[test]
    fn long_user_agents_are_cut() {
        let long = "x".repeat(10_000);
        let kept = read(&[("user-agent", &long)]).user_agent.unwrap();
        assert_eq!(kept.len(), USER_AGENT_LIMIT);
    }
}
