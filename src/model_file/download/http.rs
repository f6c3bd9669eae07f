//! One HTTP GET: token, redirects, time limits. With `address.rs` the only user
//! of ureq.
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

/// The sha256 of a file that Hugging Face keeps elsewhere, in quotes.
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");

/// Time limits for the network. A working connection stays within all of them.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the name lookup, the connection, and each single read.
    pub silence: Duration,
    /// The time over which a body's speed is judged.
    pub window: Duration,
    /// The fewest bytes a body must bring in each window.
    pub least: u64,
    /// The pause before the second try; it doubles before each further one.
    pub pause: Duration,
    /// The longest that a server may ask to be left alone.
    pub longest_pause: Duration,
    /// How often a body that breaks off is asked for again.
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
    /// The pause before a file is asked for again, for which `asked` is asked,
    /// after `tries` tries of which the last ended because of `why`.
    ///
    /// # Errors
    ///
    /// When there were enough tries, or the pause is too long.
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
    /// `HF_ENDPOINT`: a mirror that stands for <https://huggingface.co>.
    pub endpoint: Uri,
    /// `HF_TOKEN`, as a header's value.
    pub token: Option<HeaderValue>,
    /// `HF_HUB_OFFLINE`: no network, whatever is missing.
    pub offline: bool,
    /// `SSL_CERT_FILE`: the certificates to trust instead of Mozilla's, for
    /// networks that inspect what passes.
    pub roots: Option<Vec<u8>>,
}

impl Environment {
    /// Reads the variables; an empty one counts as unset.
    ///
    /// # Errors
    ///
    /// When one of them has a value that cannot be meant.
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

/// Whether a variable of Hugging Face's says yes.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.trim().to_lowercase().as_str())
}

/// The rest of a file, as one attempt had left it.
#[derive(Debug, Clone, Copy)]
pub struct Rest<'a> {
    /// The first byte that is missing.
    pub from: u64,
    /// The ETag or date of the version that the bytes before it are of.
    pub validator: &'a str,
}

/// What a server answered.
pub struct Answer {
    /// The whole file from its beginning, its rest, or that there is no rest.
    pub part: Part,
    /// Size of the whole file in bytes, where the server says it.
    pub size: Option<u64>,
    /// The file's sha256 in lower-case hexadecimal, where the server says it.
    pub sha256: Option<String>,
    /// What tells this version of the file from others.
    pub validator: Option<String>,
    /// Whether the server calls it a web page.
    pub is_page: bool,
    /// The bytes.
    pub body: Box<dyn Read>,
}

/// Which bytes of the file an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Status 200: all of them.
    Whole,
    /// Status 206: those from this one on.
    From(u64),
    /// Status 416: none, since there are none so far back.
    Beyond,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// Asking again may help, after a pause where the server names one.
    Passing(String, Option<Duration>),
    /// Asking again the same way will not help.
    Lasting(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Lasting(error)
    }
}

/// Asks servers for files.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    environment: Environment,
    patience: Patience,
}

impl Client {
    /// A client that has not connected to anything yet.
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

    /// How long this client waits.
    #[must_use]
    pub fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Whether the network may be used.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.environment.offline
    }

    /// The address that is asked for a file at `address`: the mirror's, where
    /// the file is the hub's.
    fn at_endpoint(&self, address: &Uri) -> Result<Uri> {
        match address.to_string().strip_prefix(HUB) {
            Some(path) if path.starts_with('/') => {
                let endpoint = self.environment.endpoint.to_string();
                web_address(&format!("{}{path}", endpoint.trim_end_matches('/')))
            }
            _ => Ok(address.clone()),
        }
    }

    /// Asks for the file at `address`, or for its `rest`.
    ///
    /// # Errors
    ///
    /// When no answer comes, or one that holds no part of the file.
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

/// The sha256 in an ETag, which may hold anything else.
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
    // Only a strong validator may stand in If-Range (RFC 9110, 13.1.5).
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

/// The first byte and the whole size in `bytes 10-19/20` or `bytes */20`.
fn content_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let from = range.split_once('-').and_then(|(from, _)| from.trim().parse().ok());
    Some((from, size.trim().parse().ok()))
}

/// What a status other than success means for someone who wants the file.
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

/// Why `address` could not be asked.
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

/// Whether the other side went away in the middle, as opposed to never having
/// been there.
fn breaks_off(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
}

/// What is wrong with the certificate of `HOST`, if that is the matter.
fn certificate_fault(error: &io::Error) -> Option<String> {
    // ureq hands rustls's error on as itself or inside its own.
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

/// What ended a body before its end, in words.
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
