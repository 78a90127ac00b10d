//! `/api/sendDebugCommand` and `/api/getLastTWCResponse`.

use std::sync::PoisonError;

use http_door::Response;
use serde_json::Value;

use super::{merge, object};
use crate::DebugMessage;
use crate::api::Inner;
use crate::route::Call;

/// `/api/sendDebugCommand`: only messages that harm nobody leave, whatever is asked for.
pub(crate) fn send(api: &Inner, call: &Call) -> Response {
    merge(object(call).and_then(|body| {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let Some(name) = text("commandName") else {
            return Err(Response::error(400, "commandName is required and must be a string"));
        };
        let message = match name {
            "GetFirmwareVersion" => DebugMessage::FirmwareVersion,
            "Custom" => bytes(text("customCommand").unwrap_or_default())?,
            // The old page offers a few frames by their bytes.
            other => bytes(other)?,
        };
        api.send_debug(&message)?.map(|()| Response::new(204)).map_err(|reason| Response::error(400, &reason))
    }))
}

impl Inner {
    /// Sends a debug message; the inner error is the reason of the bus why it is not sent, and is kept for who asks later.
    pub(crate) fn send_debug(&self, message: &DebugMessage) -> Result<Result<(), String>, Response> {
        let Some(bus) = &self.config.bus else {
            return Err(Response::error(409, "there is no bus of Gen 2 connectors here: see interface.RS485"));
        };
        let sent = bus.send(message);
        *self.debug_refusal.lock().unwrap_or_else(PoisonError::into_inner) = sent.as_ref().err().cloned();
        Ok(sent)
    }

    /// Why the last debug message was not sent, and the bytes of the last unusual answer.
    pub(crate) fn last_debug(&self) -> (Option<String>, Option<Vec<u8>>) {
        let refusal = self.debug_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (refusal, self.config.bus.as_ref().and_then(|bus| bus.last_answer()))
    }
}

/// `/api/getLastTWCResponse`: as Python prints the bytes of the last unusual answer, or why the last message was not sent.
pub(crate) fn last_response(api: &Inner, _: &Call) -> Response {
    let (refusal, answer) = api.last_debug();
    let text = refusal.unwrap_or_else(|| answer.map_or_else(|| "None".to_owned(), |bytes| python_bytes(&bytes)));
    Response::with_content(200, "text/plain", text)
}

/// A message by its bytes in hexadecimal.
pub(crate) fn bytes(text: &str) -> Result<DebugMessage, Response> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let is_hex = digits.len().is_multiple_of(2)
        && (4..=64).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        let hint = "send GetFirmwareVersion, or Custom with the bytes of a message in hexadecimal in customCommand";
        return Err(Response::error(400, hint));
    }
    let pairs = digits.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    Ok(DebugMessage::Bytes(pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()))
}

/// As Python's `str(bytearray(…))`.
fn python_bytes(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = format!("bytearray(b{quote}");
    for byte in bytes {
        match byte {
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\\' => out.push_str("\\\\"),
            b'\'' if quote == '\'' => out.push_str("\\'"),
            0x20..=0x7e => out.push(char::from(*byte)),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out.push(quote);
    out.push(')');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_printed_as_python_does() {
        assert_eq!(python_bytes(b""), "bytearray(b'')");
        assert_eq!(python_bytes(b"\xfd\x1b \x00a\\\t'"), "bytearray(b\"\\xfd\\x1b \\x00a\\\\\\t'\")");
        assert_eq!(python_bytes(b"'\""), "bytearray(b'\\'\"')");
    }

    #[test]
    fn only_hexadecimal_is_bytes() {
        assert_eq!(bytes("fb eb").ok(), Some(DebugMessage::Bytes(vec![0xfb, 0xeb])));
        for text in ["", "fb", "fbe", "xx11", "fbéb"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
