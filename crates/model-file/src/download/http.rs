//! One HTTP GET: token, redirects, time limits. The only file that sends
//! requests with ureq; `reach` tells it a host's addresses, others use its `Uri`.
//!
//! Redirects are followed here and not by ureq, because Hugging Face sends a
//! file's sha256 with the redirect and not with the final answer, and because
//! each step must decide whether the next host may be sent the token.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ureq::Agent;
use ureq::http::Uri;
use ureq::http::header::{AUTHORIZATION, HeaderName, HeaderValue, IF_RANGE, LOCATION, RANGE};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;

use super::address::{HUB, host, redirected, shown, web_address};
use super::answers::{self, Answer, Asked, Next, Refusal, header};
use super::files::{Origin, Partial};
use super::reach::FirstToAnswer;

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
    /// The longest pause that a server may ask for and is then asked again; after a longer one
    /// the program ends.
    pub longest_pause: Duration,
    /// The number of tries in all, the first one included.
    pub tries: u32,
}

/// 30 s of silence; 10 kB/s over a minute (the default model then takes three
/// hours); five tries with 1, 2, 4 and 8 s between them.
pub const PATIENCE: Patience = Patience {
    silence: Duration::from_secs(30),
    window: Duration::from_secs(60),
    least: 600_000,
    pause: Duration::from_secs(1),
    longest_pause: Duration::from_secs(60),
    tries: 5,
};

/// The HTTP client that requests files.
pub struct Client {
    agent: Agent,
    endpoint: Uri,
    token: Option<HeaderValue>,
    pub(super) patience: Patience,
}

impl Client {
    /// Creates a client, which does not connect to anything yet. `variable` gives
    /// the value of an environment variable; an empty one counts as unset:
    ///
    /// | variable | what it is |
    /// |---|---|
    /// | `HF_ENDPOINT` | the mirror that is used in place of <https://huggingface.co> |
    /// | `HF_TOKEN` | what is sent to the hub, or the mirror, to tell who asks |
    /// | `HF_HUB_OFFLINE` | the network must not be used |
    /// | `SSL_CERT_FILE` | the certificates to trust instead of Mozilla's, for networks whose proxy decrypts TLS |
    ///
    /// ureq itself reads `HTTPS_PROXY` and the like.
    ///
    /// # Errors
    ///
    /// When one of them has an invalid value, names a file that cannot be read, or
    /// forbids the network.
    pub fn new(variable: impl Fn(&str) -> Option<String>, patience: Patience) -> Result<Self> {
        let variable = |name| variable(name).filter(|value| !value.trim().is_empty());
        let offline = variable("HF_HUB_OFFLINE").unwrap_or_default().trim().to_lowercase();
        ensure!(
            !["1", "on", "yes", "true"].contains(&offline.as_str()),
            "HF_HUB_OFFLINE forbids the network; unset it"
        );
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
        let token = variable("HF_TOKEN")
            .map(|token| HeaderValue::from_str(&format!("Bearer {}", token.trim())))
            .transpose()
            .context("HF_TOKEN holds characters that no token has; set it again or unset it")?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("torment-nexus/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(patience.silence))
            .timeout_connect(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_per_write(Some(patience.silence));
        if let Some(path) = variable("SSL_CERT_FILE") {
            let cannot =
                || format!("SSL_CERT_FILE {path:?} holds no certificate; unset it or name a PEM file");
            let pem = fs::read(&path).with_context(cannot)?;
            let certificates: Vec<_> = parse_pem(&pem)
                .filter_map(|item| if let Ok(PemItem::Certificate(one)) = item { Some(one) } else { None })
                .collect();
            ensure!(!certificates.is_empty(), cannot());
            let roots = RootCerts::from(certificates);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: Agent::with_parts(config.build(), DefaultConnector::new(), FirstToAnswer::default()),
            endpoint: web_address(&endpoint).context("HF_ENDPOINT cannot be used")?,
            token,
            patience,
        })
    }

    /// Requests the file at `url`, or what is missing after the `kept` part of it;
    /// from the mirror, if the file is on the hub.
    pub(super) fn get(&self, url: &Uri, kept: Option<&Partial>) -> Result<Answer, Refusal> {
        let mut address = match url.to_string().strip_prefix(HUB).filter(|path| path.starts_with('/')) {
            Some(path) => web_address(&format!("{}{path}", self.endpoint.to_string().trim_end_matches('/')))?,
            None => url.clone(),
        };
        let mut record = Origin { url: shown(&url.to_string()).to_owned(), ..Origin::default() };
        // The token for one may be sent to another only if all of that is the same. No redirect
        // from elsewhere has it sent.
        let origin = |uri: &Uri| (uri.scheme().cloned(), uri.authority().cloned());
        let first = address.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(&address);
            let token = (self.token.as_ref())
                .filter(|_| [&address, &first].map(origin) == [&self.endpoint, &self.endpoint].map(origin));
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, token);
            }
            if let Some(kept) = kept {
                let validator = kept.record.validator.as_deref().unwrap_or_default();
                request = request.header(RANGE, format!("bytes={}-", kept.len)).header(IF_RANGE, validator);
            }
            let by = Some(host(&first)).filter(|first| *first != host(&address));
            let who = answers::who(&address, by);
            let unreachable = |error: ureq::Error| answers::unreachable(&who, &error.into_io());
            let response = request.call().map_err(unreachable)?;
            let headers = response.headers();
            record.sha256 = record.sha256.or_else(|| answers::sha256(header(headers, LINKED_ETAG)?));
            match header(headers, LOCATION).filter(|_| response.status().is_redirection()) {
                Some(location) => address = redirected(&address, location)?,
                None => {
                    let (with_token, has_token) = (token.is_some(), self.token.is_some());
                    let asked = Asked { address: &address, by, with_token, has_token };
                    return answers::read(&asked, response, record, kept);
                }
            }
        }
        Err(Next::End.because(format_args!("{} redirects in a loop", host(&address))))
    }
}
