//! The table of answers: what a server, the network or the file itself says; in
//! words, with the next step for the user; and what the program does then.

use std::fmt::Display;
use std::io::{self, Read, Take};
use std::time::Duration;

use anyhow::Error;
use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
use rustls::Error::InvalidCertificate;
use ureq::http::header::{self, HeaderName};
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Body, BodyReader};

use self::Next::{Again, Anew, End};
use super::address::{HUB, host};
use super::files::{Origin, Partial};
use crate::gguf;
use installation::board::clock;

/// What the program does after a try that did not bring the model.
pub(super) enum Next {
    /// Ask again after the pause that the server asks for, or else the program's
    /// own: so many times. The part is kept.
    Again(Option<Duration>),
    /// Remove the part, since it is none of this file, and ask for the whole file.
    /// If there was no part when the try began, end.
    Anew,
    /// End, and keep the part.
    End,
    /// End, and remove the part.
    Remove,
}

impl Next {
    pub(super) fn because(self, what: impl Display) -> Refusal {
        Refusal { what: what.to_string(), next: self }
    }
}

/// Why a try did not bring the model, and what the program does then.
pub(super) struct Refusal {
    pub(super) what: String,
    pub(super) next: Next,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        End.because(format_args!("{error:#}"))
    }
}

/// Bytes of the file, and what the server says of the file.
pub(super) struct Answer {
    /// Who sends the body.
    pub(super) host: String,
    /// The position in the file of the body's first byte.
    pub(super) from: u64,
    pub(super) record: Origin,
    pub(super) body: Take<BodyReader<'static>>,
}

/// The value of a header, if it is text.
pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Who was asked, and how.
pub(super) struct Asked<'a> {
    pub(super) address: &'a Uri,
    /// The host that was asked first and has redirected to this one, if it is another.
    pub(super) by: Option<&'a str>,
    /// Whether HF_TOKEN was sent.
    pub(super) with_token: bool,
    /// Whether HF_TOKEN is set.
    pub(super) has_token: bool,
}

/// The host of `address` for messages, and the one that redirects to it, if another does.
pub(super) fn who(address: &Uri, by: Option<&str>) -> String {
    let host = host(address);
    by.map_or_else(|| host.to_owned(), |by| format!("{host} (to which {by} redirects)"))
}

/// What `response` says to a request for a file, or for what is missing after the `kept`
/// part of it. `record`: what is known of the file.
pub(super) fn read(
    asked_of: &Asked<'_>,
    response: Response<Body>,
    mut record: Origin,
    kept: Option<&Partial>,
) -> Result<Answer, Refusal> {
    let (head, body) = response.into_parts();
    let value = |name| header(&head.headers, name);
    let is_page = value(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"));
    let (first, size) = value(header::CONTENT_RANGE).and_then(content_range).unwrap_or_default();
    let (asked, known) = kept.map_or((0, None), |kept| (kept.len, kept.record.size));
    let code = head.status.as_u16();
    let (from, size, limit) = match code {
        200 if !is_page => {
            (0, value(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()), u64::MAX)
        }
        // The size has not changed, if it is known.
        206 if first == Some(asked) && size.or(known) == known.or(size) => (asked, size.or(known), u64::MAX),
        // The part is the whole file; the body is a text about that.
        416 if asked > 0 && size == Some(asked) => (asked, size, 0),
        _ => return Err(refused(asked_of, code, time_to_wait(value))),
    };
    // Only a strong ETag may be sent in If-Range (RFC 9110, 13.1.5).
    let strong = value(header::ETAG).filter(|etag| etag.starts_with('"'));
    let validator = strong.or_else(|| value(header::LAST_MODIFIED)).map(str::to_owned);
    let then = kept.filter(|_| from > 0).map(|kept| &kept.record);
    record.size = size;
    record.sha256 = record.sha256.or_else(|| then?.sha256.clone());
    record.validator = validator.or_else(|| then?.validator.clone());
    Ok(Answer {
        host: who(asked_of.address, asked_of.by),
        from,
        record,
        body: body.into_reader().take(limit),
    })
}

/// What it means that this status code is answered, and not the bytes that were asked for.
/// `wait`: the time after which it may be asked again, as far as it is said.
fn refused(asked: &Asked<'_>, code: u16, wait: Option<Duration>) -> Refusal {
    let Asked { address, by, with_token, has_token } = *asked;
    // A CDN is told by the signature in its address who asks; the hub is not.
    let is_hub = HUB.strip_prefix("https://") == Some(host(address));
    let (next, words) = match code {
        200 if address.path().contains("/blob/") => {
            (End, "a web page, not the file; a file's own address has /resolve/, not /blob/")
        }
        200 => (End, "a web page, not the file; if this network has a login page, log in and start again"),
        206 | 416 => (Anew, "another part than the one that is missing"),
        401 if with_token => {
            (End, "the token in HF_TOKEN was refused, or there is no such repository; look at both")
        }
        401 | 403 if by.is_some() && has_token && (code == 401 || is_hub) => (
            End,
            "it wants to know who asks, and HF_TOKEN goes only to the host that was asked first; set \
             HF_ENDPOINT to this one, or unset it",
        ),
        // The hub's answer for a repository that does not exist, too.
        401 => (
            End,
            "it wants to know who asks, or has no such repository; look at the address, or set HF_TOKEN \
             to a token of your account",
        ),
        403 if by.is_some() && !is_hub => (
            End,
            "this host, where the file lies, does not give it: a firewall or a proxy may forbid it; have it let through",
        ),
        403 if with_token => (End, "this account may not have it; accept the model's terms on its page"),
        403 => (End, "this account may not have it; accept the model's terms on its page and set HF_TOKEN"),
        404 | 410 => (End, "it has no such file; look at the address again"),
        407 => (End, "a proxy wants a password; give it in HTTPS_PROXY, as http://NAME:PASSWORD@HOST:PORT"),
        408 | 425 => (Again(wait), "not now"),
        429 => (Again(wait.or(Some(UNTOLD))), "too many requests"),
        451 => (End, "a law forbids it to give the file; name another model with --model"),
        511 => (End, "this network has a login page; log in and start again"),
        500..=599 => (Again(wait), "it has a fault of its own"),
        _ => (End, "the program does not know what to do with that"),
    };
    next.because(format_args!("{} answers {code}: {words}", who(address, by)))
}

/// What a server that says "too many requests" and not for how long is taken to ask for.
const UNTOLD: Duration = Duration::from_secs(60);

/// The longest time that a server may ask to wait; what is beyond is taken for it.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a server asks to wait: by `Retry-After`, in seconds or until a date by the server's
/// own clock, or by `RateLimit` (`t=` of the present draft, `reset=` of those before), where of
/// several limits the longest counts.
fn time_to_wait<'a>(value: impl Fn(HeaderName) -> Option<&'a str>) -> Option<Duration> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let date = |name| value(name).and_then(clock::http_date);
    let until = || u64::try_from(date(header::RETRY_AFTER)? - date(header::DATE)?).ok();
    let limits = || {
        let fields = value(HeaderName::from_static("ratelimit"))?.split([';', ',']).map(str::trim);
        fields
            .filter_map(|field| number(field.strip_prefix("t=").or_else(|| field.strip_prefix("reset="))?))
            .max()
    };
    let seconds = value(header::RETRY_AFTER).and_then(number).or_else(until).or_else(limits)?;
    Some(Duration::from_secs(seconds.max(1)).min(LONGEST_WAIT))
}

/// As many bytes as tell what a file is.
pub(super) const BEGINNING: usize = 64;

/// What it means that a file from `host` begins with these bytes.
pub(super) fn beginning(host: &str, first: &[u8]) -> Result<(), Refusal> {
    if first.starts_with(gguf::MAGIC) {
        return Ok(());
    }
    Err(End.because(match gguf::pointer(first) {
        Some(kind) => format!(
            "what {host} sends is {kind}, a text in place of the file; on Hugging Face the file's own address \
             has /resolve/, not /raw/"
        ),
        None => format!(
            "what {host} sends is no GGUF file; if this network has a login page, log in and start again"
        ),
    }))
}

/// What it means that a connection to `host` failed, or never came to be.
pub(super) fn unreachable(host: &str, error: &io::Error) -> Refusal {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, TimedOut, UnexpectedEof,
    };
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref()) {
        Some(InvalidCertificate(
            NotValidYet | NotValidYetContext { .. } | Expired | ExpiredContext { .. },
        )) => {
            return End.because(format_args!(
                "the certificate of {host} is not valid yet, or no longer, by this machine's clock: a board has no \
                 clock of its own, so wait until the network has set it (timedatectl shows it) or set it with \
                 date, and start again"
            ));
        }
        Some(InvalidCertificate(fault)) => {
            return End.because(format_args!(
                "the certificate of {host} is not trusted ({fault}): another machine may be answering in its \
                 place; where that is meant, SSL_CERT_FILE names the certificates to trust"
            ));
        }
        _ => {}
    }
    match error.kind() {
        _ if matches!(inner.and_then(|inner| inner.downcast_ref()), Some(ureq::Error::Timeout(_))) => {
            Again(None).because(format_args!("{host} does not answer"))
        }
        BrokenPipe | ConnectionAborted | ConnectionReset | Interrupted | TimedOut | UnexpectedEof => {
            Again(None).because("the connection broke off")
        }
        _ => End.because(format_args!("cannot reach {host} ({error}); look at the network")),
    }
}

/// The sha256 in an ETag, in lower case; `None` if the ETag is something else.
pub(super) fn sha256(etag: &str) -> Option<String> {
    let hash = etag.trim_matches(['W', '/', '"']).to_lowercase();
    (hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

/// Parses a Content-Range, `bytes 10-19/20` or `bytes */20`: the first byte's
/// position and the size of the whole file.
fn content_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let from = range.split_once('-').and_then(|(from, _)| from.trim().parse().ok());
    Some((from, size.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sha256_is_taken_from_an_etag() {
        let hash = "ab".repeat(32);
        assert_eq!(sha256(&format!("\"{}\"", hash.to_uppercase())), Some(hash));
        assert_eq!(sha256("\"d41d8cd98f00b204e9800998ecf8427e\""), None);
    }

    #[test]
    fn a_content_range_says_where_it_begins_and_how_much_there_is() {
        assert_eq!(content_range("bytes 10-19/20"), Some((Some(10), Some(20))));
        assert_eq!(content_range("bytes */20"), Some((None, Some(20))));
        assert_eq!(content_range("bytes 10-19/*"), Some((Some(10), None)));
        assert_eq!(content_range("lines 1-2/3"), None);
    }
}
