//! JSON-RPC 2.0, as much of it as is used: single messages with numeric or text ids. Batches are
//! refused; they would make the limit on requests in flight ambiguous.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names a request within its connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A whole number; what our own client uses.
    Number(u64),
    /// A text of at most [`RequestId::TEXT_LIMIT`] bytes.
    Text(String),
}

impl RequestId {
    /// Longest id, in bytes.
    pub const TEXT_LIMIT: usize = 64;
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => write!(formatter, "{text:?}"),
        }
    }
}

/// A message that asks for something, or tells something.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// To be answered under its id.
    Request {
        /// The id to answer under.
        id: RequestId,
        /// What is asked.
        method: String,
        /// With what; `Null` if absent.
        params: Value,
    },
    /// Not to be answered.
    Notification {
        /// What is told.
        method: String,
        /// With what; `Null` if absent.
        params: Value,
    },
    /// The answer to a request of ours.
    Reply {
        /// The id of our request; absent if the other side could not read it.
        id: Option<RequestId>,
        /// What came of it.
        outcome: Result<Value, RpcError>,
    },
}

/// The fields a message may have. Unknown ones are ignored, as the specification allows peers to
/// be newer.
#[derive(Deserialize)]
struct Raw {
    jsonrpc: String,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    error: Option<RpcError>,
}

/// Keeps `null` apart from absent: a reply's result may be null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Incoming {
    /// Reads one text frame.
    ///
    /// # Errors
    /// The error to answer with, under the id as far as one could be read.
    pub fn parse(text: &str) -> Result<Self, (Option<RequestId>, RpcError)> {
        let value: Value =
            serde_json::from_str(text).map_err(|_| (None, RpcError::parse_error()))?;
        let id = value
            .get("id")
            .and_then(|id| RequestId::deserialize(id).ok());
        let invalid = |reason: &str| (id.clone(), RpcError::invalid_request(reason));
        if !value.is_object() {
            return Err(invalid("expected a single JSON object"));
        }
        let raw: Raw = serde_json::from_value(value)
            .map_err(|_| invalid("expected the fields of JSON-RPC 2.0"))?;
        if raw.jsonrpc != "2.0" {
            return Err(invalid("expected jsonrpc 2.0"));
        }
        if raw.id.as_ref().is_some_and(|id| !id.is_null()) {
            let is_usable = match &id {
                Some(RequestId::Number(_)) => true,
                Some(RequestId::Text(text)) => text.len() <= RequestId::TEXT_LIMIT,
                None => false,
            };
            if !is_usable {
                return Err((
                    None,
                    RpcError::invalid_request("expected a short text or number as id"),
                ));
            }
        }
        match (raw.method, raw.result, raw.error) {
            (Some(method), None, None) => Ok(match (raw.id, id) {
                (None, _) => Self::Notification {
                    method,
                    params: raw.params,
                },
                (Some(_), Some(id)) => Self::Request {
                    id,
                    method,
                    params: raw.params,
                },
                (Some(_), None) => {
                    return Err((
                        None,
                        RpcError::invalid_request("a request's id cannot be null"),
                    ));
                }
            }),
            (None, Some(result), None) => Ok(Self::Reply {
                id,
                outcome: Ok(result),
            }),
            (None, None, Some(error)) => Ok(Self::Reply {
                id,
                outcome: Err(error),
            }),
            _ => Err(invalid("expected either a method, a result or an error")),
        }
    }
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outgoing {
    /// Asks for something.
    Request {
        /// Always `2.0`.
        jsonrpc: Version,
        /// The id to be answered under.
        id: RequestId,
        /// What is asked.
        method: String,
        /// With what.
        #[serde(skip_serializing_if = "Value::is_null")]
        params: Value,
    },
    /// Tells something.
    Notification {
        /// Always `2.0`.
        jsonrpc: Version,
        /// What is told.
        method: String,
        /// With what.
        #[serde(skip_serializing_if = "Value::is_null")]
        params: Value,
    },
    /// Answers a request.
    Success {
        /// Always `2.0`.
        jsonrpc: Version,
        /// The request's id.
        id: RequestId,
        /// What came of it.
        result: Value,
    },
    /// Refuses a request.
    Failure {
        /// Always `2.0`.
        jsonrpc: Version,
        /// The request's id, or null if it could not be read.
        id: Option<RequestId>,
        /// Why.
        error: RpcError,
    },
}

/// The text `2.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version;

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("2.0")
    }
}

impl Outgoing {
    /// Makes a request.
    pub fn request(id: RequestId, method: &str, params: Value) -> Self {
        Self::Request {
            jsonrpc: Version,
            id,
            method: method.to_owned(),
            params,
        }
    }

    /// Makes a notification.
    pub fn notification(method: &str, params: Value) -> Self {
        Self::Notification {
            jsonrpc: Version,
            method: method.to_owned(),
            params,
        }
    }

    /// Makes the answer to a request.
    pub fn reply(id: RequestId, outcome: Result<Value, RpcError>) -> Self {
        match outcome {
            Ok(result) => Self::Success {
                jsonrpc: Version,
                id,
                result,
            },
            Err(error) => Self::failure(Some(id), error),
        }
    }

    /// Makes the answer to a message that could not be read.
    pub fn failure(id: Option<RequestId>, error: RpcError) -> Self {
        Self::Failure {
            jsonrpc: Version,
            id,
            error,
        }
    }

    /// Returns the text frame.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("messages have text keys and no failing values")
    }
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// One of the constants below, or one of a newer bridge.
    pub code: i64,
    /// A sentence for people; not to be trusted.
    pub message: String,
    /// More, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// Not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// Not JSON-RPC 2.0, or a message out of turn.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters are not the method's.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The bridge failed at something that should have worked.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// `initialize` must come first.
    pub const NOT_INITIALIZED: i64 = -32002;
    /// Too many requests in flight; try again later.
    pub const OVERLOADED: i64 = -32001;
    /// The caller cancelled the request.
    pub const CANCELLED: i64 = -32800;

    /// Makes an error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Makes the answer to what is not JSON.
    pub fn parse_error() -> Self {
        Self::new(Self::PARSE_ERROR, "not JSON")
    }

    /// Makes the answer to what is not JSON-RPC.
    pub fn invalid_request(reason: &str) -> Self {
        Self::new(Self::INVALID_REQUEST, reason)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_notifications_and_replies_are_told_apart() {
        let request = Outgoing::request(RequestId::Number(1), "env/info", Value::Null).to_text();
        assert_eq!(request, r#"{"jsonrpc":"2.0","id":1,"method":"env/info"}"#);
        assert_eq!(
            Incoming::parse(&request),
            Ok(Incoming::Request {
                id: RequestId::Number(1),
                method: "env/info".into(),
                params: Value::Null
            })
        );
        let notification = Outgoing::notification("log", json!({"text": "x"})).to_text();
        assert_eq!(
            Incoming::parse(&notification),
            Ok(Incoming::Notification {
                method: "log".into(),
                params: json!({"text": "x"})
            })
        );
        let reply = Outgoing::reply(RequestId::Text("a".into()), Ok(Value::Null)).to_text();
        assert_eq!(
            Incoming::parse(&reply),
            Ok(Incoming::Reply {
                id: Some(RequestId::Text("a".into())),
                outcome: Ok(Value::Null)
            })
        );
        let error = RpcError::new(RpcError::CANCELLED, "cancelled");
        let failure = Outgoing::failure(None, error.clone()).to_text();
        assert_eq!(
            Incoming::parse(&failure),
            Ok(Incoming::Reply {
                id: None,
                outcome: Err(error)
            })
        );
    }

    #[test]
    fn what_is_not_a_message_is_answered_under_its_id_if_it_has_one() {
        let cases = [
            ("", None, RpcError::PARSE_ERROR),
            ("nonsense", None, RpcError::PARSE_ERROR),
            ("[]", None, RpcError::INVALID_REQUEST),
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"x"}]"#,
                None,
                RpcError::INVALID_REQUEST,
            ),
            (
                r#"{"id":1,"method":"x"}"#,
                Some(RequestId::Number(1)),
                RpcError::INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
                Some(RequestId::Number(1)),
                RpcError::INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#,
                None,
                RpcError::INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"2.0","id":-1,"method":"x"}"#,
                None,
                RpcError::INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
                None,
                RpcError::INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"2.0","id":2}"#,
                Some(RequestId::Number(2)),
                RpcError::INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"2.0","id":2,"method":"x","result":1}"#,
                Some(RequestId::Number(2)),
                RpcError::INVALID_REQUEST,
            ),
        ];
        for (text, id, code) in cases {
            let (found_id, error) = Incoming::parse(text).unwrap_err();
            assert_eq!((found_id, error.code), (id, code), "{text}");
        }
        let long = format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#,
            "x".repeat(65)
        );
        assert_eq!(Incoming::parse(&long).unwrap_err().0, None);
        let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(
            Incoming::parse(&deep).unwrap_err().1.code,
            RpcError::PARSE_ERROR
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in ".{0,200}") {
            let _ = Incoming::parse(&text);
        }

        #[test]
        fn requests_round_trip(number: u64, method in "[a-z/$]{1,20}", flag: bool) {
            let params = json!({ "flag": flag });
            let id = RequestId::Number(number);
            let text = Outgoing::request(id.clone(), &method, params.clone()).to_text();
            prop_assert_eq!(Incoming::parse(&text), Ok(Incoming::Request { id, method, params }));
        }
    }
}
