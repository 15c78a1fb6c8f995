//! Messages of JSON-RPC 2.0.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The message is not JSON.
pub(crate) const PARSE_ERROR: i32 = -32700;
/// The message is JSON, but no request.
pub(crate) const INVALID_REQUEST: i32 = -32600;
/// There is no such method.
pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
/// The parameters are not those of the method.
pub(crate) const INVALID_PARAMS: i32 = -32602;
/// The machine, or a guest file, refused: the text has the reason, `data.errno` the name of the error number.
pub(crate) const FAILED: i32 = -1;
/// The client asks for more at once than it may.
pub(crate) const BUSY: i32 = -32000;

/// Why a request failed.
#[derive(Debug, Serialize)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }
}

impl From<tuxlet::Error> for RpcError {
    fn from(error: tuxlet::Error) -> Self {
        Self {
            code: FAILED,
            message: error.to_string(),
            data: error.errno_name().map(|name| json!({ "errno": name })),
        }
    }
}

/// A request or a notification.
#[derive(Debug)]
pub(crate) struct Request {
    /// `None`: a notification, which gets no reply.
    pub(crate) id: Option<Value>,
    pub(crate) method: String,
    pub(crate) params: Value,
}

/// One message, or several at once.
#[derive(Debug)]
pub(crate) enum Incoming {
    One(Result<Request, Value>),
    Batch(Vec<Result<Request, Value>>),
}

#[derive(Deserialize)]
struct Raw {
    jsonrpc: Option<String>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    method: String,
    #[serde(default)]
    params: Value,
}

/// A member that is there, even if it is null: `"id": null` asks for a reply, no `id` at all does not.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl Request {
    /// `Err` is the reply that says what is wrong.
    fn parse(value: Value) -> Result<Self, Value> {
        let id = value.get("id").cloned().unwrap_or(Value::Null);
        let wrong = |message: String| reply(&id, Err(RpcError::new(INVALID_REQUEST, message)));
        let raw: Raw = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
        // The predecessor's clients leave the version out.
        if raw.jsonrpc.is_some_and(|v| v != "2.0") {
            return Err(wrong("\"jsonrpc\" is not \"2.0\"".to_owned()));
        }
        if !matches!(
            raw.id,
            None | Some(Value::Null | Value::String(_) | Value::Number(_))
        ) {
            return Err(reply(
                &Value::Null,
                Err(RpcError::new(
                    INVALID_REQUEST,
                    "\"id\" is neither text nor a number",
                )),
            ));
        }
        if !matches!(raw.params, Value::Null | Value::Object(_) | Value::Array(_)) {
            return Err(wrong(
                "\"params\" is neither an object nor an array".to_owned(),
            ));
        }
        Ok(Self {
            id: raw.id,
            method: raw.method,
            params: raw.params,
        })
    }
}

impl Incoming {
    /// `Err` is the reply that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, Value> {
        let value: Value = serde_json::from_str(text).map_err(|e| {
            reply(
                &Value::Null,
                Err(RpcError::new(PARSE_ERROR, format!("not JSON: {e}"))),
            )
        })?;
        match value {
            Value::Array(all) if all.is_empty() => Err(reply(
                &Value::Null,
                Err(RpcError::new(INVALID_REQUEST, "an empty batch")),
            )),
            Value::Array(all) => Ok(Self::Batch(all.into_iter().map(Request::parse).collect())),
            one => Ok(Self::One(Request::parse(one))),
        }
    }
}

/// The reply to a request.
pub(crate) fn reply(id: &Value, result: Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    }
}

/// A message that nobody asked for.
pub(crate) fn notification(method: &str, params: impl Serialize) -> String {
    json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> i64 {
        let reply = match Incoming::parse(text) {
            Err(reply) | Ok(Incoming::One(Err(reply))) => reply,
            other => panic!("{text}: {other:?}"),
        };
        reply["error"]["code"].as_i64().unwrap()
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(code("{"), -32700);
        assert_eq!(code("[]"), -32600);
        assert_eq!(code("1"), -32600);
        assert_eq!(code("{}"), -32600);
        assert_eq!(code(r#"{"method": 1}"#), -32600);
        assert_eq!(code(r#"{"method": "ping", "jsonrpc": "1.0"}"#), -32600);
        assert_eq!(code(r#"{"method": "ping", "id": {}}"#), -32600);
        assert_eq!(code(r#"{"method": "ping", "params": 1}"#), -32600);
    }

    #[test]
    fn notifications_are_told_from_requests() {
        let id = |text| match Incoming::parse(text) {
            Ok(Incoming::One(Ok(request))) => request.id,
            other => panic!("{other:?}"),
        };
        assert_eq!(id(r#"{"method": "x"}"#), None);
        assert_eq!(id(r#"{"method": "x", "id": null}"#), Some(Value::Null));
        assert_eq!(id(r#"{"method": "x", "id": "a"}"#), Some("a".into()));
    }
}
