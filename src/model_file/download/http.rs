//! One HTTP GET: token, redirects, time limits. The only file that sends
//! requests with ureq; others use its `Uri`.
//!
//! Redirects are followed here and not by ureq, because Hugging Face sends a
//! file's sha256 with the redirect and not with the final answer, and because
//! each step must decide whether the next host may be sent the token.

use std::io::{self, Read};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Error, Result, anyhow, ensure};
use rustls::CertificateError;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_RANGE,
    LAST_MODIFIED, LOCATION, RANGE, RETRY_AFTER,
};
use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::address::{host, join, same_origin, web_address};

/// The hub that HF_TOKEN is for, unless HF_ENDPOINT names another.
const HUB: &str = "https://huggingface.co";

/// Redirects that are followed before they count as a loop: curl's and
/// browsers' order of magnitude; Hugging Face takes one or two.
const MAX_REDIRECTS: usize = 10;

/// The header that holds, in quotes, the sha256 of a file that Hugging Face
/// stores on another server.
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");

/// Time limits for the network. A working connection stays within all of them.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the name lookup, for connecting, for the response's header, and for
    /// each read and write.
    pub silence: Duration,
    /// The time over which a body's speed is measured.
    pub window: Duration,
    /// The fewest bytes of a body that must arrive in each window.
    pub least: u64,
    /// The pause before the second try; it doubles before each further one.
    pub pause: Duration,
    /// The longest pause that a server may ask for with `Retry-After`.
    pub longest_pause: Duration,
    /// The number of tries in all, the first one included.
    pub tries: u32,
}

impl Default for Patience {
    /// 30 s of silence; 10 kB/s over a minute (the default model then takes
    /// three hours); five tries with 1, 2, 4 and 8 s between them.
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            window: Duration::from_secs(60),
            least: 600_000,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            tries: 5,
        }
    }
}

impl Patience {
    /// The pause before the file is requested again, which is `asked`, after
    /// `tries` tries, the last of which failed because of `why`.
    ///
    /// # Errors
    ///
    /// When there were as many tries as are allowed, or the pause is too long.
    pub(super) fn may_ask_again(&self, why: &str, tries: u32, asked: Duration) -> Result<Duration> {
        ensure!(tries < self.tries, "{why} at each of {tries} tries");
        ensure!(
            asked <= self.longest_pause,
            "{why} and asks for {} s of patience; start again then",
            asked.as_secs()
        );
        Ok(asked)
    }
}

/// What the environment says about the hub and how to reach it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `HF_ENDPOINT`: the mirror that is used in place of
    /// <https://huggingface.co>.
    pub endpoint: Uri,
    /// `HF_TOKEN`, as the value of the `Authorization` header.
    pub token: Option<HeaderValue>,
    /// `HF_HUB_OFFLINE`: the network must not be used, even if the model is
    /// missing.
    pub offline: bool,
    /// `SSL_CERT_FILE`: the certificates to trust instead of Mozilla's, for
    /// networks whose proxy decrypts TLS.
    pub roots: Option<Vec<u8>>,
}

impl Environment {
    /// Reads the variables; an empty one counts as unset.
    ///
    /// # Errors
    ///
    /// When one of them has an invalid value, or names a file that cannot be
    /// read.
    pub fn read() -> Result<Self> {
        let variable = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
        let token = variable("HF_TOKEN")
            .map(|token| HeaderValue::from_str(&format!("Bearer {}", token.trim())))
            .transpose()
            .context("HF_TOKEN holds characters that no token has; set it again or unset it")?;
        let roots = variable("SSL_CERT_FILE")
            .map(|path| {
                fs::read(&path).with_context(|| {
                    format!("cannot read SSL_CERT_FILE {path:?}; unset it or name a PEM file")
                })
            })
            .transpose()?;
        Ok(Self {
            endpoint: web_address(&endpoint).context("HF_ENDPOINT cannot be used")?,
            token,
            offline: variable("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            roots,
        })
    }
}

/// Whether a variable of Hugging Face has one of the values that mean "true".
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.trim().to_lowercase().as_str())
}

/// The missing rest of a partly downloaded file.
#[derive(Debug, Clone, Copy)]
pub struct Rest<'a> {
    /// The first byte that is missing.
    pub from: u64,
    /// The ETag or modification date of the version that the bytes before it
    /// belong to.
    pub validator: &'a str,
}

/// A server's answer.
pub struct Answer {
    /// Which bytes of the file the body holds.
    pub part: Part,
    /// Size of the whole file in bytes, if the server states it.
    pub size: Option<u64>,
    /// The file's sha256 in lower-case hexadecimal, if the server states it.
    pub sha256: Option<String>,
    /// The ETag or modification date of this version of the file.
    pub validator: Option<String>,
    /// Whether the `Content-Type` is HTML.
    pub is_page: bool,
    /// The body.
    pub body: Box<dyn Read>,
}

/// Which bytes of the file an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Status 200: all of them.
    Whole,
    /// Status 206: those from this one on.
    From(u64),
    /// Status 416: none, since the range begins at or behind the end of the
    /// file.
    Beyond,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// Another request may succeed, after a pause if the server asks for one.
    Passing(String, Option<Duration>),
    /// The same request would fail again.
    Lasting(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Lasting(error)
    }
}

/// The HTTP client that requests files.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    environment: Environment,
    patience: Patience,
}

impl Client {
    /// Creates a client, which does not connect to anything yet.
    ///
    /// # Errors
    ///
    /// When the certificates of `SSL_CERT_FILE` cannot be read.
    pub fn new(environment: Environment, patience: Patience) -> Result<Self> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("torment-nexus/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.silence))
            .timeout_connect(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_per_write(Some(patience.silence));
        if let Some(pem) = &environment.roots {
            config = config.tls_config(TlsConfig::builder().root_certs(root_certs(pem)?).build());
        }
        Ok(Self { agent: config.build().into(), environment, patience })
    }

    /// The time limits of this client.
    #[must_use]
    pub fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Whether the network may be used.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.environment.offline
    }

    /// The address to request for the file at `address`: the mirror's, if the
    /// file is on the hub.
    fn at_endpoint(&self, address: &Uri) -> Result<Uri> {
        match address.to_string().strip_prefix(HUB) {
            Some(path) if path.starts_with('/') => {
                let endpoint = self.environment.endpoint.to_string();
                web_address(&format!("{}{path}", endpoint.trim_end_matches('/')))
            }
            _ => Ok(address.clone()),
        }
    }

    /// Requests the file at `address`, or only its `rest`.
    ///
    /// # Errors
    ///
    /// When there is no answer, when its status is none of 200, 206 and 416,
    /// when it does not say which part it holds, or when a redirect is refused.
    pub fn get(&self, address: &Uri, rest: Option<Rest<'_>>) -> Result<Answer, Fault> {
        let mut address = self.at_endpoint(address)?;
        let mut sha256 = None;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.ask(&address, rest)?;
            let headers = response.headers();
            sha256 = sha256.or_else(|| header(headers, &LINKED_ETAG).and_then(|etag| as_sha256(&etag)));
            if !(response.status().is_redirection() && headers.contains_key(LOCATION)) {
                return answer(&address, response, sha256);
            }
            let location = header(headers, &LOCATION).unwrap_or_default();
            let next = join(&address, &location)
                .with_context(|| format!("{} redirects to nowhere", host(&address)))?;
            if address.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(anyhow!(
                    "{} redirects to {}, which is not encrypted",
                    host(&address),
                    host(&next)
                )
                .into());
            }
            address = next;
        }
        Err(anyhow!("{} redirects in a loop", host(&address)).into())
    }

    fn ask(&self, address: &Uri, rest: Option<Rest<'_>>) -> Result<Response<Body>, Fault> {
        let mut request = self.agent.get(address).header(ACCEPT_ENCODING, "identity");
        if let Some(token) =
            self.environment.token.as_ref().filter(|_| same_origin(address, &self.environment.endpoint))
        {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(rest) = rest {
            request = request.header(RANGE, format!("bytes={}-", rest.from)).header(IF_RANGE, rest.validator);
        }
        request.call().map_err(|error| unreachable(address, error))
    }
}

fn root_certs(pem: &[u8]) -> Result<RootCerts> {
    let certificates: Vec<_> = ureq::tls::parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    ensure!(!certificates.is_empty(), "SSL_CERT_FILE holds no certificate; unset it or name a PEM file");
    Ok(RootCerts::from(certificates))
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The sha256 in an ETag; `None` if the ETag is something else.
fn as_sha256(etag: &str) -> Option<String> {
    let hash = etag.trim_start_matches("W/").trim_matches('"').to_lowercase();
    (hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

fn answer(address: &Uri, response: Response<Body>, sha256: Option<String>) -> Result<Answer, Fault> {
    let headers = response.headers();
    let length = header(headers, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let range = header(headers, &CONTENT_RANGE).unwrap_or_default();
    let (part, size) = match response.status() {
        StatusCode::OK => (Part::Whole, length),
        StatusCode::PARTIAL_CONTENT => match content_range(&range) {
            Some((Some(from), size)) => (Part::From(from), size),
            _ => {
                return Err(
                    anyhow!("{} sends a part of the file and does not say which", host(address)).into()
                );
            }
        },
        StatusCode::RANGE_NOT_SATISFIABLE => (Part::Beyond, content_range(&range).and_then(|(_, size)| size)),
        status => return Err(refused(host(address), status, header(headers, &RETRY_AFTER).as_deref())),
    };
    // Only a strong ETag may be sent in If-Range (RFC 9110, 13.1.5).
    let strong = header(headers, &ETAG).filter(|etag| etag.starts_with('"'));
    Ok(Answer {
        part,
        size,
        sha256,
        validator: strong.or_else(|| header(headers, &LAST_MODIFIED)),
        is_page: header(headers, &CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")),
        body: Box::new(response.into_body().into_reader()),
    })
}

/// Parses a Content-Range, `bytes 10-19/20` or `bytes */20`: the first byte's
/// position and the size of the whole file.
fn content_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let from = range.split_once('-').and_then(|(from, _)| from.trim().parse().ok());
    Some((from, size.trim().parse().ok()))
}

/// The fault for a status other than success, with the next step for the user.
fn refused(host: &str, status: StatusCode, retry_after: Option<&str>) -> Fault {
    let lasting = |words: &str| Fault::Lasting(anyhow!("{host} answers {}: {words}", status.as_u16()));
    match status.as_u16() {
        401 => lasting("it wants to know who asks; set HF_TOKEN to a token of your account"),
        403 => lasting(
            "this account may not have the file; accept the model's terms on its page and set HF_TOKEN",
        ),
        404 | 410 => lasting("it has no such file; look at the address again"),
        429 => {
            let pause = retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
            Fault::Passing(format!("{host} answers 429: too many requests"), pause)
        }
        code @ 500..=599 => Fault::Passing(format!("{host} answers {code}: it has a fault of its own"), None),
        code => lasting(&format!("the program does not know what to do with {code}")),
    }
}

/// The fault when a request to `address` got no response.
fn unreachable(address: &Uri, error: ureq::Error) -> Fault {
    let host = host(address);
    match error {
        ureq::Error::Timeout(_) => Fault::Passing(format!("{host} does not answer"), None),
        error => {
            let error = error.into_io();
            match certificate_fault(&error) {
                Some(fault) => Fault::Lasting(anyhow!("{}", fault.replace("HOST", host))),
                None if breaks_off(&error) => Fault::Passing(format!("{host} closed the connection"), None),
                None => Fault::Lasting(anyhow!("cannot reach {host} ({error}); look at the network")),
            }
        }
    }
}

/// Whether an established connection broke off, as opposed to one that was
/// never established.
fn breaks_off(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
}

/// What is wrong with the server's certificate, if that is the cause. The
/// caller puts the host's name in the place of `HOST`.
fn certificate_fault(error: &io::Error) -> Option<String> {
    // ureq passes on rustls's error directly or wrapped in its own.
    let inner = error.get_ref()?;
    let tls = match inner.downcast_ref::<ureq::Error>() {
        Some(ureq::Error::Rustls(tls)) => tls,
        Some(ureq::Error::Io(io)) => return certificate_fault(io),
        _ => inner.downcast_ref::<rustls::Error>()?,
    };
    let rustls::Error::InvalidCertificate(fault) = tls else { return None };
    Some(match fault {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate of HOST is not valid yet by this machine's clock: a board has no clock of its own, \
             so wait until the network has set it (timedatectl shows it) or set it with date, and start again"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate of HOST has expired by this machine's clock: look whether the date is right (timedatectl)"
                .to_owned()
        }
        other => format!(
            "the certificate of HOST is not trusted ({other}): another machine may be answering in its place; \
             where that is meant, SSL_CERT_FILE names the certificates to trust"
        ),
    })
}

/// Why a body ended too early, in words.
#[must_use]
pub fn broke_off(error: &io::Error) -> String {
    let timeout = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    match timeout {
        Some(ureq::Error::Timeout(_)) => "the server stopped sending".to_owned(),
        _ if breaks_off(error) => "the connection broke off".to_owned(),
        _ => format!("the connection failed ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sha256_is_taken_from_an_etag() {
        let hash = "ab".repeat(32);
        assert_eq!(as_sha256(&format!("\"{}\"", hash.to_uppercase())), Some(hash));
        assert_eq!(as_sha256("\"d41d8cd98f00b204e9800998ecf8427e\""), None);
    }

    #[test]
    fn a_content_range_says_where_it_begins_and_how_much_there_is() {
        assert_eq!(content_range("bytes 10-19/20"), Some((Some(10), Some(20))));
        assert_eq!(content_range("bytes */20"), Some((None, Some(20))));
        assert_eq!(content_range("bytes 10-19/*"), Some((Some(10), None)));
        assert_eq!(content_range("lines 1-2/3"), None);
    }

    #[test]
    fn the_variables_of_hugging_face_say_yes_in_several_ways() {
        assert!(["1", "ON", "yes", "True"].into_iter().all(is_true));
        assert!(!["0", "false", "no"].into_iter().any(is_true));
    }
}
