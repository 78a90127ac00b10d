//! Everything the door says no to, with its status and its text, in one table.

use crate::response::Response;
use crate::settings::Limits;

/// Why a connection's request was not passed on. After each of these the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reject {
    TlsOnPlainPort,
    PlainOnTlsPort,
    BadRequestLine,
    BadHeaderLine,
    ControlCharacter,
    BareLineFeed,
    BareCarriageReturn,
    BadTarget,
    BadHost,
    BothFramings,
    RepeatedLength,
    BadLength,
    ChunkedInOldVersion,
    BadChunk,
    BodyCutShort,
    HeadTooLate,
    BodyTooLate,
    BodyTooLarge,
    TargetTooLong,
    ExpectationUnknown,
    HeadTooLarge,
    TooManyHeaders,
    HandlerFailed,
    MethodUnknown,
    EncodingUnknown,
    VersionUnknown,
    TooManyConnections,
    TooManyStreams,
    TooManyBodies,
    AnswerTooLate,
    Ending,
}

impl Reject {
    pub(crate) fn status(self) -> u16 {
        use Reject::*;
        match self {
            TlsOnPlainPort | PlainOnTlsPort | BadRequestLine | BadHeaderLine | ControlCharacter | BareLineFeed
            | BareCarriageReturn | BadTarget | BadHost | BothFramings | RepeatedLength | BadLength
            | ChunkedInOldVersion | BadChunk | BodyCutShort => 400,
            HeadTooLate | BodyTooLate => 408,
            BodyTooLarge => 413,
            TargetTooLong => 414,
            ExpectationUnknown => 417,
            HeadTooLarge | TooManyHeaders => 431,
            HandlerFailed => 500,
            MethodUnknown | EncodingUnknown => 501,
            TooManyConnections | TooManyStreams | TooManyBodies | AnswerTooLate | Ending => 503,
            VersionUnknown => 505,
        }
    }

    fn text(self, limits: &Limits) -> String {
        use Reject::*;
        let text = match self {
            TlsOnPlainPort => "this port speaks plain HTTP: use an address that begins with http://",
            PlainOnTlsPort => "this port speaks HTTPS: use an address that begins with https://",
            BadRequestLine => "the first line is not a request: send METHOD, space, target, space, HTTP/1.1",
            BadHeaderLine => {
                "a header line is malformed: send name, colon, value, without space before the colon and without folded lines"
            }
            ControlCharacter => "the head holds a control character: send text only",
            BareLineFeed => "a line ends with LF alone: end every line of the head with CR LF",
            BareCarriageReturn => "the head holds a CR that is not followed by LF: end every line with CR LF",
            BadTarget => {
                "the request target is malformed: send a path that begins with / in visible ASCII, percent-encode the rest"
            }
            BadHost => "send exactly one Host header with a host name and optionally a port",
            BothFramings => "the request has both Transfer-Encoding and Content-Length: send one of them",
            RepeatedLength => "the request has more than one Content-Length: send one",
            BadLength => "Content-Length is not a plain decimal number: send the number of bytes of the body",
            ChunkedInOldVersion => "HTTP/1.0 has no Transfer-Encoding: send Content-Length",
            BadChunk => {
                "the chunked body is malformed: send size in hexadecimal, CR LF, data, CR LF and a last chunk of size 0"
            }
            BodyCutShort => "the connection ended before the announced body was complete: send it again",
            HeadTooLate => {
                return format!(
                    "the head of the request did not arrive within {} s: send it again",
                    limits.head_time.as_secs_f32()
                );
            }
            BodyTooLate => {
                return format!(
                    "the body of the request did not arrive within {} s: send it again",
                    limits.body_time.as_secs_f32()
                );
            }
            BodyTooLarge => return format!("the body is larger than the {} bytes allowed: send less", limits.body),
            TargetTooLong => {
                return format!(
                    "the request line is longer than the {} bytes allowed: send a shorter address",
                    limits.head
                );
            }
            ExpectationUnknown => "the only expectation that is known is 100-continue: leave the Expect header out",
            HeadTooLarge => {
                return format!(
                    "the headers are larger than the {} bytes allowed: clear the cookies of this site or send fewer headers",
                    limits.head
                );
            }
            TooManyHeaders => return format!("there are more than the {} headers allowed: send fewer", limits.headers),
            HandlerFailed => "something went wrong inside the program: its log says what",
            MethodUnknown => "this method is not known: use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
            EncodingUnknown => "the only transfer encoding that is known is chunked: use that or Content-Length",
            VersionUnknown => "this HTTP version is not spoken here: use HTTP/1.1",
            TooManyConnections => "too many connections are open: close some and try again",
            TooManyStreams => "too many live views are open: close some browser tabs and reload",
            TooManyBodies => "too many uploads are running: try again in a minute",
            AnswerTooLate => "the program did not answer in time: try again in a minute",
            Ending => "the program is shutting down: try again when it runs",
        };
        text.to_owned()
    }

    /// The answer the client sees. The connection is closed after it.
    pub(crate) fn response(self, limits: &Limits) -> Response {
        let response = Response::error(self.status(), &self.text(limits));
        match self.status() {
            503 => response.with_header("Retry-After", "5"),
            _ => response,
        }
    }
}
