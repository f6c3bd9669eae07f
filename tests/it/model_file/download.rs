//! Downloads of a model: what the user reads and what is left on disk, for each
//! way in which a network, a server and a disk can fail.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command as StdCommand, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use torment_nexus::life::interrupt::Interrupt;
use torment_nexus::model_file::download;
use torment_nexus::model_file::download::address::web_address;
use torment_nexus::model_file::download::http::{Client, Environment, Patience};

use crate::support::nexus::{Ended, LIMIT, Nexus, ember_gguf};
use crate::support::server::{Request, Server, file, head, send, status, wait_for_close};

/// The name of the file that every test downloads.
const NAME: &str = "mind.gguf";
const PATH: &str = "/some/repo/resolve/main/mind.gguf";

/// Time limits that only a hang reaches; no pauses.
const PATIENT: Patience = Patience {
    silence: LIMIT,
    window: LIMIT,
    least: 0,
    pause: Duration::ZERO,
    longest_pause: Duration::ZERO,
    tries: 3,
};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The model that the tests download: ember's file.
fn model() -> Vec<u8> {
    ember_gguf()
}

/// One user's downloads into one folder, in this process, with time limits that
/// suit a test.
struct Downloads {
    nexus: Nexus,
    environment: Environment,
    patience: Patience,
}

impl Downloads {
    fn new() -> Self {
        let environment = Environment {
            endpoint: web_address("https://huggingface.co").expect("an address"),
            token: None,
            offline: false,
            roots: None,
        };
        Self { nexus: Nexus::new(), environment, patience: PATIENT }
    }

    fn model_from(&self, server: &Server) -> Result<PathBuf, String> {
        let client = Client::new(self.environment.clone(), self.patience).expect("a client");
        let (_raise, interrupt) = Interrupt::new();
        download::model(&server.url(PATH), &self.nexus.path("models"), || Ok(client), &interrupt)
            .map_err(|error| format!("{error:#}"))
    }

    /// Asserts that the download fails with one line that contains `parts` and
    /// says how to fetch the file by hand.
    #[track_caller]
    fn fails(&self, server: &Server, parts: &[&str]) -> String {
        let error = self.model_from(server).expect_err("it fails");
        let path = self.nexus.path("models").join(NAME);
        let by_hand = format!("fetch {} by hand to {path:?}, or give --model ember", server.url(PATH));
        for part in parts.iter().chain([&by_hand.as_str()]) {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert!(!error.contains('\n'), "{error}");
        assert!(!path.exists(), "no file has the model's name");
        error
    }

    /// Leaves half of `content`, as a download that broke off does; returns how
    /// many bytes that is.
    fn broke_off(&self, server: &Server, content: &[u8]) -> usize {
        let half = content.len() / 2;
        self.left(server, &content[..half], content.len());
        half
    }

    /// Leaves `part` of a file of `size` bytes and with the ETag `"1"`.
    fn left(&self, server: &Server, part: &[u8], size: usize) {
        let folder = self.nexus.path("models");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("mind.gguf.part"), part).expect("a part");
        let origin = format!("url: {}\nsize: {size}\nvalidator: \"1\"\n", server.url(PATH));
        fs::write(folder.join("mind.gguf.part.origin"), origin).expect("an origin");
    }

    fn files(&self) -> Vec<String> {
        files(&self.nexus)
    }

    /// Asserts that the model is complete, and that only its `.origin` is
    /// beside it.
    #[track_caller]
    fn succeeded(&self, server: &Server, content: &[u8]) {
        assert_eq!(self.model_from(server).as_deref(), Ok(self.nexus.path("models").join(NAME).as_path()));
        assert!(fs::read(self.nexus.path("models").join(NAME)).expect("the model") == content, "whole");
        assert_eq!(self.files(), ["mind.gguf", "mind.gguf.origin"]);
    }
}

fn files(nexus: &Nexus) -> Vec<String> {
    let Ok(entries) = fs::read_dir(nexus.path("models")) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// The options of a short life of the model at `url`.
fn short_life(url: &str) -> [&str; 4] {
    ["--model", url, "--context-size", "256"]
}

fn spawn(command: &mut StdCommand) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// The lines of a child's stderr, as they arrive.
fn log_of(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

/// Waits until `path` holds at least `len` bytes.
fn wait_for_bytes(path: PathBuf, len: u64) {
    let begun = Instant::now();
    while fs::metadata(&path).map_or(0, |metadata| metadata.len()) < len {
        assert!(begun.elapsed() < LIMIT, "{path:?} does not grow");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_model_is_downloaded_once_and_lives() {
    let server = Server::of(model());
    let nexus = Nexus::new();
    let url = server.url(PATH);
    let first = nexus.run(short_life(&url));
    first.died();
    let tenths: Vec<_> =
        first.stderr.lines().filter(|line| line.starts_with("downloading mind.gguf: ")).collect();
    assert_eq!(tenths.len(), 10, "a line at every tenth: {}", first.stderr);
    assert!(tenths[9].contains("100 % of 3.77 MB"), "{}", tenths[9]);
    let second = nexus.run(short_life(&url));
    second.died();
    assert_eq!(first.stdout, second.stdout);
    assert!(!second.stderr.contains("download"), "{}", second.stderr);
    assert_eq!(server.requests().len(), 1, "the second life touches no network");
    let origin = fs::read_to_string(nexus.path("models/mind.gguf.origin")).expect("an origin");
    let hash = sha256(&model());
    assert_eq!(origin, format!("url: {url}\nsize: {}\nsha256: {hash}\nvalidator: \"1\"\n", model().len()));
}

#[test]
fn on_a_terminal_a_line_that_passes_shows_size_speed_and_time_left() {
    let content = model();
    let server = Server::of(content);
    let nexus = Nexus::new();
    let url = server.url(PATH);
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    let mut command = nexus.command(short_life(&url));
    command.env("TERM", "xterm").stdout(Stdio::null()).stderr(pty.slave);
    let mut child = command.spawn().expect("it starts");
    drop(command);
    let mut screen = Vec::new();
    // Once the program has ended, a read from the master of its terminal fails.
    let _ = fs::File::from(pty.master).read_to_end(&mut screen);
    assert_eq!(child.wait().expect("it ends").code(), Some(101));
    let screen = String::from_utf8_lossy(&screen);
    let mut lines = screen.split("\r\x1b[K");
    let line = lines.find(|line| line.contains("mind.gguf: 50 % of 3.77 MB, "));
    assert!(line.is_some_and(|line| line.contains("/s, ") && line.ends_with(" s left")), "{screen}");
    assert!(screen.contains("100 % of 3.77 MB, ") && !screen.contains("left\r\n"), "{screen}");
    let (_, after) = screen.split_once("downloaded ").expect("it says that it is done");
    assert!(!after.contains("downloading"), "{screen}");
    assert!(screen.ends_with("'Context overflow - terminating.'\r\n"), "{screen}");
}

#[test]
fn a_model_that_was_put_there_by_hand_needs_no_network() {
    let nexus = Nexus::new();
    fs::create_dir(nexus.path("models")).expect("a folder");
    nexus.file("models/mind.gguf", model());
    nexus.run(short_life("http://127.0.0.1:1/mind.gguf")).died();
}

#[test]
fn a_model_that_is_there_does_not_ask_what_the_network_would_need() {
    let nexus = Nexus::new();
    fs::create_dir(nexus.path("models")).expect("a folder");
    nexus.file("models/mind.gguf", model());
    let mut command = nexus.command(short_life("http://127.0.0.1:1/mind.gguf"));
    command.env("SSL_CERT_FILE", "nowhere").env("HF_ENDPOINT", "no address");
    Ended::of(Command::from_std(command).timeout(LIMIT).output()).died();
}

#[test]
fn a_model_fetched_by_hand_after_a_download_that_broke_off_is_taken_as_it_is() {
    let server = Server::of(model());
    let downloads = Downloads::new();
    // The part is from another server, which declared a wrong size.
    downloads.left(&Server::of(Vec::new()), &model()[..1000], 2000);
    downloads.nexus.file("models/mind.gguf", model());
    downloads.model_from(&server).expect("the model is there");
    assert!(server.requests().is_empty());
}

#[test]
fn the_same_file_name_from_another_url_is_refused() {
    let (one, other) = (Server::of(model()), Server::of(model()));
    let downloads = Downloads::new();
    downloads.succeeded(&one, &model());
    let error = downloads.model_from(&other).expect_err("another origin");
    for part in [&one.url(PATH), &other.url(PATH), "--model-dir"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(other.requests().is_empty());
}

#[test]
fn a_downloaded_model_that_lost_bytes_since_is_refused() {
    let server = Server::of(model());
    let downloads = Downloads::new();
    downloads.succeeded(&server, &model());
    downloads.nexus.file("models/mind.gguf", &model()[..1000]);
    let error = downloads.model_from(&server).expect_err("damaged");
    assert!(error.contains("is 1000 bytes") && error.contains("delete it"), "{error}");
}

#[test]
fn a_refused_connection_names_the_host_and_the_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}{PATH}", listener.local_addr().expect("an address"));
    drop(listener);
    let nexus = Nexus::new();
    let by_hand = format!("fetch {url} by hand to \"models/mind.gguf\", or give --model ember");
    nexus.run(short_life(&url)).failed(1, &["127.0.0.1", "refused", "look at the network", &by_hand]);
    assert!(files(&nexus).is_empty());
}

#[test]
fn a_host_that_no_one_knows_is_named() {
    let nexus = Nexus::new();
    nexus.run(short_life("http://nobody.invalid/mind.gguf")).failed(
        1,
        &[
            "cannot reach nobody.invalid",
            "look at the network",
            "by hand to \"models/mind.gguf\"",
            "--model ember",
        ],
    );
    assert!(files(&nexus).is_empty());
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_put_down_to_the_clock() {
    let (url, roots, nexus) = tls_server((2999, 1, 1));
    let mut command = nexus.command(short_life(&url));
    let ended = Ended::of(
        Command::from_std({
            command.env("SSL_CERT_FILE", roots);
            command
        })
        .timeout(LIMIT)
        .output(),
    );
    ended.failed(
        1,
        &[
            "certificate of localhost is not valid yet by this machine's clock",
            "no clock of its own",
            "--model ember",
        ],
    );
}

#[test]
fn a_certificate_of_an_authority_that_is_trusted_serves() {
    let (url, roots, nexus) = tls_server((2020, 1, 1));
    let mut command = nexus.command(short_life(&url));
    command.env("SSL_CERT_FILE", roots);
    Ended::of(Command::from_std(command).timeout(LIMIT).output()).died();
}

#[test]
fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    let (url, _, nexus) = tls_server((2020, 1, 1));
    nexus.run(short_life(&url)).failed(1, &["certificate of localhost is not trusted", "SSL_CERT_FILE"]);
}

/// A TLS server at `localhost` that serves the model, with a certificate that
/// is valid from `from` on. Returns its URL, and the file with the certificate
/// of the authority that signed it.
fn tls_server(from: (i32, u8, u8)) -> (String, PathBuf, Nexus) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
    use rustls::pki_types::PrivateKeyDer;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority");
    let mut leaf = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    leaf.not_before = date_time_ymd(from.0, from.1, from.2);
    leaf.not_after = date_time_ymd(4000, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let leaf = leaf.signed_by(&key, &authority).expect("a certificate");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a server");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let port = listener.local_addr().expect("an address").port();
    // The thread serves one connection.
    thread::spawn(move || {
        let Ok((stream, _)) = listener.accept() else { return };
        let connection = rustls::ServerConnection::new(config).expect("a connection");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut request = [0; 4096];
        if stream.read(&mut request).is_ok_and(|read| read > 0) {
            use std::io::Write;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", model().len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&model()));
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let nexus = Nexus::new();
    let roots = nexus.file("roots.pem", authority.pem());
    (format!("https://localhost:{port}/mind.gguf"), roots, nexus)
}

#[test]
fn an_answer_of_401_asks_for_a_token() {
    let downloads = Downloads::new();
    downloads.fails(&Server::new(|_, _, to| status(to, "401 Unauthorized", "")), &["401", "set HF_TOKEN"]);
    assert!(downloads.files().is_empty());
}

#[test]
fn an_answer_of_403_speaks_of_the_models_terms() {
    let downloads = Downloads::new();
    downloads.fails(&Server::new(|_, _, to| status(to, "403 Forbidden", "")), &["403", "terms"]);
    assert!(downloads.files().is_empty());
}

#[test]
fn an_answer_of_404_asks_for_another_look_at_the_address() {
    let downloads = Downloads::new();
    downloads
        .fails(&Server::new(|_, _, to| status(to, "404 Not Found", "")), &["404", "look at the address"]);
    assert!(downloads.files().is_empty());
}

#[test]
fn an_answer_of_429_waits_as_long_as_it_is_asked_to() {
    let server = Server::new(|number, request, to| match number {
        0 => status(to, "429 Too Many Requests", "Retry-After: 1\r\n"),
        _ => file(request, to, &model(), "\"1\"", ""),
    });
    let mut downloads = Downloads::new();
    downloads.patience.longest_pause = Duration::from_secs(1);
    let begun = Instant::now();
    downloads.succeeded(&server, &model());
    assert!(begun.elapsed() >= Duration::from_secs(1), "it waited");
}

#[test]
fn an_answer_of_429_that_asks_for_too_long_is_an_error_that_says_how_long() {
    let server = Server::new(|_, _, to| status(to, "429 Too Many Requests", "Retry-After: 3600\r\n"));
    Downloads::new().fails(&server, &["429", "3600 s"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_answer_of_500_is_asked_again_a_few_times() {
    let server = Server::new(|_, _, to| status(to, "500 Internal Server Error", ""));
    Downloads::new().fails(&server, &["500", "fault of its own", "each of 3 tries"]);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_body_cut_short_of_its_length_is_resumed() {
    let server = Server::new(|number, request, to| {
        let content = model();
        let (head, body) = head(request, &content, "\"1\"", "");
        send(to, head);
        send(to, if number == 0 { &body[..1_000_000] } else { body });
    });
    Downloads::new().succeeded(&server, &model());
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[1].from(), requests[1].header("if-range")), (Some(1_000_000), Some("\"1\"")));
}

#[test]
fn a_rest_cut_short_without_a_length_is_asked_for_again() {
    let server = Server::new(|_, request, to| {
        let (content, from) = (model(), request.from().expect("a range"));
        let (last, size) = (content.len() - 1, content.len());
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{last}/{size}\r\nETag: \"1\"\r\n"
        );
        send(to, head + "Connection: close\r\n\r\n");
        send(to, &content[from..size.min(from + 1_000_000)]);
    });
    let downloads = Downloads::new();
    downloads.broke_off(&server, &model());
    downloads.succeeded(&server, &model());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_body_that_is_always_cut_short_is_kept_for_the_next_start() {
    let server = Server::new(|_, request, to| {
        let content = model();
        let (head, body) = head(request, &content, "\"1\"", "");
        send(to, head);
        send(to, &body[..body.len().min(1_000_000)]);
    });
    let downloads = Downloads::new();
    downloads.fails(
        &server,
        &["broke off at each of 3 tries", "3.00 MB are kept and the next start goes on from there"],
    );
    assert_eq!(downloads.files(), ["mind.gguf.part", "mind.gguf.part.origin"]);
    downloads.succeeded(&server, &model());
}

#[test]
fn a_chunked_body_cut_short_is_asked_for_again() {
    let server = Server::new(|number, _, to| {
        let content = model();
        send(to, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
        for chunk in content.chunks(500_000).take(if number == 0 { 3 } else { usize::MAX }) {
            send(to, format!("{:x}\r\n", chunk.len()));
            send(to, chunk);
            send(to, "\r\n");
        }
        if number > 0 {
            send(to, "0\r\n\r\n");
        }
    });
    Downloads::new().succeeded(&server, &model());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_close_delimited_body_cut_short_is_known_by_the_hubs_hash() {
    let server = Server::new(|number, request, to| match (number, request.path.as_str()) {
        (_, PATH) => {
            let headers = format!("Location: /cdn\r\nX-Linked-ETag: \"{}\"\r\n", sha256(&model()));
            status(to, "302 Found", &headers);
        }
        _ => {
            send(to, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            send(to, &model()[..2_000_000]);
        }
    });
    let downloads = Downloads::new();
    downloads.fails(&server, &["it arrived damaged", "sha256", &sha256(&model())]);
    assert!(downloads.files().is_empty(), "{:?}", downloads.files());
}

#[test]
fn a_close_delimited_body_cut_short_is_known_by_the_files_own_header() {
    let server = Server::new(|_, _, to| {
        send(to, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        send(to, &model()[..2_000_000]);
    });
    let downloads = Downloads::new();
    downloads.fails(&server, &["cut short", "start again"]);
    assert!(downloads.files().is_empty(), "{:?}", downloads.files());
}

#[test]
fn a_server_that_stops_sending_is_asked_for_the_rest() {
    let server = Server::new(|number, request, to| {
        let content = model();
        let (head, body) = head(request, &content, "\"1\"", "");
        send(&mut *to, head);
        if number == 0 {
            send(to, &body[..1_000_000]);
            wait_for_close(to);
        } else {
            send(to, body);
        }
    });
    let mut downloads = Downloads::new();
    downloads.patience.silence = Duration::from_secs(1);
    downloads.succeeded(&server, &model());
    assert_eq!(server.requests()[1].from(), Some(1_000_000));
}

#[test]
fn a_server_that_drips_is_too_slow() {
    let server = Server::new(|_, request, to| {
        let content = model();
        let (head, body) = head(request, &content, "\"1\"", "");
        send(to, head);
        let begun = Instant::now();
        for byte in body.iter().take_while(|_| begun.elapsed() < LIMIT) {
            use std::io::Write;
            if to.write_all(&[*byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    let mut downloads = Downloads::new();
    downloads.patience.window = Duration::from_secs(1);
    downloads.patience.least = 100_000;
    downloads.patience.tries = 2;
    downloads.fails(&server, &["sends less than 100.00 kB/s", "at each of 2 tries", "are kept"]);
}

#[test]
fn a_redirect_to_another_host_is_followed_without_the_token() {
    let content_host = Server::of(model());
    let location = content_host.url("/cdn/1234");
    let hub = Server::new(move |_, _, to| {
        status(
            to,
            "302 Found",
            &format!("Location: {location}\r\nX-Linked-ETag: \"{}\"\r\n", sha256(&model())),
        );
    });
    let mut downloads = Downloads::new();
    downloads.environment.endpoint = web_address(&hub.url("")).expect("an address");
    downloads.environment.token = Some("Bearer hf_secret".parse().expect("a header"));
    downloads.succeeded(&hub, &model());
    assert_eq!(hub.requests()[0].header("authorization"), Some("Bearer hf_secret"));
    assert_eq!(content_host.requests()[0].header("authorization"), None);
}

#[test]
fn the_token_is_for_the_hub_alone() {
    let server = Server::of(model());
    let nexus = Nexus::new();
    let url = server.url(PATH);
    let mut command = nexus.command(short_life(&url));
    command.env("HF_TOKEN", "hf_secret");
    Ended::of(Command::from_std(command).timeout(LIMIT).output()).died();
    assert_eq!(server.requests()[0].header("authorization"), None);
}

#[test]
fn a_mirror_stands_for_the_hub_and_gets_its_token() {
    let mirror = Server::of(model());
    let nexus = Nexus::new();
    let mut command = nexus.command(short_life("https://huggingface.co/some/repo/resolve/main/mind.gguf"));
    command.env("HF_ENDPOINT", mirror.url("/hub/")).env("HF_TOKEN", "hf_secret");
    Ended::of(Command::from_std(command).timeout(LIMIT).output()).died();
    let request = &mirror.requests()[0];
    assert_eq!(
        (request.path.as_str(), request.header("authorization")),
        ("/hub/some/repo/resolve/main/mind.gguf", Some("Bearer hf_secret"))
    );
    let origin = fs::read_to_string(nexus.path("models/mind.gguf.origin")).expect("an origin");
    assert!(origin.starts_with("url: https://huggingface.co/some/repo/"), "{origin}");
}

#[test]
fn offline_touches_no_network() {
    let server = Server::of(model());
    let nexus = Nexus::new();
    let url = server.url(PATH);
    let mut command = nexus.command(short_life(&url));
    command.env("HF_HUB_OFFLINE", "1");
    let ended = Ended::of(Command::from_std(command).timeout(LIMIT).output());
    ended.failed(1, &["HF_HUB_OFFLINE", "by hand to \"models/mind.gguf\"", "--model ember"]);
    assert!(server.requests().is_empty());
}

#[test]
fn a_redirect_loop_ends() {
    let server = Server::new(|_, _, to| status(to, "302 Found", &format!("Location: {PATH}\r\n")));
    let downloads = Downloads::new();
    downloads.fails(&server, &["redirects in a loop"]);
    assert_eq!(server.requests().len(), 11);
    assert!(downloads.files().is_empty());
}

#[test]
fn a_login_page_in_place_of_the_model_is_recognised() {
    let server = Server::new(|_, _, to| {
        let page = "<!DOCTYPE html><title>Museum Wi-Fi</title>";
        send(
            to,
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            ),
        );
    });
    let downloads = Downloads::new();
    downloads.fails(&server, &["answers with a web page", "log in"]);
    assert!(downloads.files().is_empty());
}

#[test]
fn something_that_is_no_gguf_file_is_not_kept() {
    let downloads = Downloads::new();
    downloads.fails(&Server::of(b"PK\x03\x04 an archive".to_vec()), &["is no GGUF file"]);
    assert!(downloads.files().is_empty());
}

#[test]
fn a_model_with_the_wrong_hash_is_not_kept() {
    let server = Server::new(|_, request, to| {
        let headers = format!("X-Linked-ETag: \"{}\"\r\n", "ab".repeat(32));
        file(request, to, &model(), "\"1\"", &headers);
    });
    let downloads = Downloads::new();
    downloads.fails(&server, &["it arrived damaged", "sha256", &"ab".repeat(32)]);
    assert!(downloads.files().is_empty(), "{:?}", downloads.files());
}

#[test]
fn a_part_that_was_damaged_on_disk_is_downloaded_anew() {
    let server = Server::new(|_, request, to| {
        let headers = format!("X-Linked-ETag: \"{}\"\r\n", sha256(&model()));
        file(request, to, &model(), "\"1\"", &headers);
    });
    let downloads = Downloads::new();
    let mut part = model();
    part.truncate(2_000_000);
    part[1_999_000..].fill(0);
    downloads.left(&server, &part, model().len());
    downloads.succeeded(&server, &model());
    assert_eq!(server.requests().iter().map(Request::from).collect::<Vec<_>>(), [Some(2_000_000), None]);
}

#[test]
fn a_200_in_answer_to_a_range_begins_anew() {
    let server = Server::new(|_, _, to| {
        let content = model();
        send(
            to,
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len()),
        );
        send(to, content);
    });
    let downloads = Downloads::new();
    downloads.broke_off(&server, &model());
    downloads.succeeded(&server, &model());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_206_that_begins_elsewhere_is_not_appended() {
    let server = Server::new(|number, request, to| {
        let content = model();
        if number == 0 {
            let last = content.len() - 1;
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{last}/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                content.len(),
                content.len()
            );
            send(to, head);
            send(to, content);
        } else {
            file(request, to, &content, "\"1\"", "");
        }
    });
    let downloads = Downloads::new();
    downloads.broke_off(&server, &model());
    downloads.succeeded(&server, &model());
    assert_eq!(server.requests()[1].from(), None);
}

#[test]
fn a_416_on_a_whole_part_is_success() {
    let server = Server::of(model());
    let downloads = Downloads::new();
    downloads.left(&server, &model(), model().len());
    // A record without the size: with it, the program would see that the part
    // is complete and send no request.
    let record = format!("url: {}\nvalidator: \"1\"\n", server.url(PATH));
    downloads.nexus.file("models/mind.gguf.part.origin", record);
    downloads.succeeded(&server, &model());
    assert_eq!(server.requests().iter().map(Request::from).collect::<Vec<_>>(), [Some(model().len())]);
}

#[test]
fn a_416_on_an_oversize_part_begins_anew() {
    let server = Server::of(model());
    let downloads = Downloads::new();
    downloads.left(&server, &[model(), vec![0; 10]].concat(), model().len());
    let record = format!("url: {}\nvalidator: \"1\"\n", server.url(PATH));
    downloads.nexus.file("models/mind.gguf.part.origin", record);
    downloads.succeeded(&server, &model());
    assert_eq!(
        server.requests().iter().map(Request::from).collect::<Vec<_>>(),
        [Some(model().len() + 10), None]
    );
}

#[test]
fn a_part_known_to_be_too_long_is_not_asked_for() {
    let server = Server::of(model());
    let downloads = Downloads::new();
    downloads.left(&server, &[model(), vec![0; 10]].concat(), model().len());
    downloads.succeeded(&server, &model());
    assert_eq!(server.requests().iter().map(Request::from).collect::<Vec<_>>(), [None]);
}

#[test]
fn a_part_known_to_be_whole_needs_no_network() {
    let server = Server::of(model());
    let downloads = Downloads::new();
    downloads.left(&server, &model(), model().len());
    downloads.succeeded(&server, &model());
    assert!(server.requests().is_empty());
}

#[test]
fn a_changed_etag_begins_anew() {
    let server = Server::new(|_, request, to| file(request, to, &model(), "\"2\"", ""));
    let downloads = Downloads::new();
    let other = vec![b'x'; model().len()];
    downloads.broke_off(&server, &other);
    downloads.succeeded(&server, &model());
    assert_eq!(server.requests()[0].header("if-range"), Some("\"1\""));
}

#[test]
fn a_changed_size_behind_the_same_etag_begins_anew() {
    let server = Server::of(model());
    let downloads = Downloads::new();
    downloads.left(&server, &vec![b'x'; 1000], model().len() + 1);
    downloads.succeeded(&server, &model());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_body_longer_than_it_said_is_not_kept() {
    let server = Server::new(|_, request, to| {
        let content = [model(), vec![0; 100_000]].concat();
        let size = model().len();
        let from = request.from().unwrap_or(0);
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}\r\nConnection: close\r\n\r\n",
            size - 1
        );
        send(to, head);
        send(to, &content[from..]);
    });
    let downloads = Downloads::new();
    downloads.left(&server, &model()[..1000], model().len());
    downloads.fails(&server, &["it arrived damaged"]);
    assert!(!downloads.files().contains(&"mind.gguf.part".to_owned()));
}

/// Runs the program in a mount namespace of its own in which `models` is a file
/// system mounted with `options`; `None` if this machine does not permit that.
fn on_a_file_system(nexus: &Nexus, options: &str, url: &str) -> Option<(Ended, Vec<String>)> {
    fs::create_dir(nexus.path("models")).expect("a folder");
    let script = format!(
        "mount -t tmpfs -o {options} tmpfs models || exit 99; \"$@\"; code=$?; ls models >files; exit $code"
    );
    let program = nexus.command(short_life(url));
    for user in [&[][..], &["--map-root-user"]] {
        let mut command = StdCommand::new("unshare");
        command
            .arg("--mount")
            .args(user)
            .args(["sh", "-c", &script, "sh"])
            .arg(program.get_program())
            .args(program.get_args());
        command.current_dir(nexus.folder.path()).env("TORMENT_THREADS", "1");
        let ended = Ended::of(Command::from_std(command).timeout(LIMIT).output());
        if ended.code != Some(99) && !ended.stderr.starts_with("unshare") {
            let files = fs::read_to_string(nexus.path("files")).expect("a list of files");
            return Some((ended, files.lines().map(str::to_owned).collect()));
        }
    }
    assert!(std::env::var_os("CI").is_none(), "the gate needs mount namespaces");
    None
}

#[test]
fn a_disk_with_too_little_room_is_not_filled() {
    let nexus = Nexus::new();
    let server = Server::of(model());
    let Some((ended, files)) = on_a_file_system(&nexus, "size=1m", &server.url(PATH)) else { return };
    ended.failed(
        1,
        &["\"models\" has 1.05 MB free", "free some, or give another --model-dir", "--model ember"],
    );
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn a_disk_that_runs_full_on_the_way_gets_its_room_back() {
    let nexus = Nexus::new();
    let server = Server::new(|_, _, to| {
        send(to, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        send(to, model());
    });
    let Some((ended, files)) = on_a_file_system(&nexus, "size=1m", &server.url(PATH)) else { return };
    ended.failed(1, &["the disk was full after", "free some", "--model ember"]);
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn a_model_folder_on_a_read_only_disk_is_named() {
    let nexus = Nexus::new();
    let server = Server::of(model());
    let Some((ended, _)) = on_a_file_system(&nexus, "ro", &server.url(PATH)) else { return };
    ended.failed(1, &["\"models/mind.gguf", "Read-only", "--model-dir", "--model ember"]);
}

#[test]
fn a_model_folder_that_cannot_be_made_is_named() {
    let nexus = Nexus::new();
    nexus.file("models", "a file");
    let server = Server::of(model());
    nexus.run(short_life(&server.url(PATH))).failed(1, &["cannot make the folder \"models\"", "--model-dir"]);
    assert!(server.requests().is_empty());
}

/// A server that holds back the second half of the first answer until the
/// returned sender is used or dropped.
fn holding_back() -> (Server, std::sync::mpsc::Sender<()>) {
    let (let_go, held) = channel();
    let held = Mutex::new(held);
    let server = Server::new(move |number, request, to| {
        let content = model();
        let (head, body) = head(request, &content, "\"1\"", "");
        send(to, head);
        if number == 0 {
            let (now, later) = body.split_at(body.len() / 2);
            send(to, now);
            let _ = held.lock().expect("one waits").recv_timeout(LIMIT);
            send(to, later);
        } else {
            send(to, body);
        }
    });
    (server, let_go)
}

#[test]
fn sigint_in_mid_download_keeps_what_has_come() {
    let (server, _let_go) = holding_back();
    let nexus = Nexus::new();
    let url = server.url(PATH);
    let mut child = spawn(&mut nexus.command(short_life(&url)));
    let log = log_of(&mut child);
    let half = model().len() as u64 / 2;
    wait_for_bytes(nexus.path("models/mind.gguf.part"), half);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let said: Vec<_> = log.iter().filter(|line| !line.starts_with("downloading ")).collect();
    assert_eq!(
        said,
        ["interrupted while downloading the model; 1.88 MB are kept and the next start goes on from there"]
    );
    assert_eq!(files(&nexus), ["mind.gguf.part", "mind.gguf.part.origin"]);
    nexus.run(short_life(&url)).died();
    assert_eq!(server.requests()[1].from(), Some(half as usize));
}

#[test]
fn after_sigkill_in_mid_download_the_next_start_resumes() {
    let (server, _let_go) = holding_back();
    let nexus = Nexus::new();
    let url = server.url(PATH);
    let mut child = spawn(&mut nexus.command(short_life(&url)));
    wait_for_bytes(nexus.path("models/mind.gguf.part"), model().len() as u64 / 2);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(files(&nexus), ["mind.gguf.part", "mind.gguf.part.origin"]);
    let second = nexus.run(short_life(&url));
    second.died();
    assert!(second.stderr.starts_with("going on with mind.gguf at 1.88 MB\n"), "{}", second.stderr);
    assert_eq!(server.requests()[1].from(), Some(model().len() / 2));
    assert_eq!(files(&nexus), ["mind.gguf", "mind.gguf.origin"]);
}

#[test]
fn of_two_processes_one_downloads_and_the_other_waits_and_says_so() {
    let (server, let_go) = holding_back();
    let nexus = Nexus::new();
    let url = server.url(PATH);
    let mut first = spawn(&mut nexus.command(short_life(&url)));
    wait_for_bytes(nexus.path("models/mind.gguf.part"), 1);
    let mut second = spawn(&mut nexus.command(short_life(&url)));
    let (_first_log, second_log) = (log_of(&mut first), log_of(&mut second));
    let said = second_log.recv_timeout(LIMIT);
    assert_eq!(said.as_deref(), Ok("waiting: another process is downloading to \"models\""));
    let_go.send(()).expect("the server waits");
    assert_eq!(first.wait().expect("it ends").code(), Some(101));
    assert_eq!(second.wait().expect("it ends").code(), Some(101));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn the_wait_for_another_process_ends_with_a_signal() {
    let (server, _let_go) = holding_back();
    let nexus = Nexus::new();
    let url = server.url(PATH);
    let mut first = spawn(&mut nexus.command(short_life(&url)));
    wait_for_bytes(nexus.path("models/mind.gguf.part"), 1);
    let mut second = spawn(&mut nexus.command(short_life(&url)));
    let log = log_of(&mut second);
    log.recv_timeout(LIMIT).expect("it waits");
    kill(Pid::from_raw(second.id() as i32), Signal::SIGTERM).expect("it runs");
    assert_eq!(second.wait().expect("it ends").code(), Some(130));
    let said = log.recv_timeout(LIMIT);
    assert_eq!(said.as_deref(), Ok("interrupted while waiting for another process's download"));
    first.kill().expect("it runs");
    first.wait().expect("it ends");
}

/// Lines and bytes of an answer, right, wrong and arbitrary.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        Just("HTTP/1.1 200 OK".to_owned()),
        Just("HTTP/1.1 206 Partial Content".to_owned()),
        "HTTP/1\\.[01] [1-5][0-9]{2} [ -~]{0,10}",
        "\\PC{0,20}",
    ];
    let header = prop_oneof![
        "Content-Length: [0-9]{1,20}",
        "Content-Length: -?[0-9a-z]{0,4}",
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("Content-Encoding: gzip".to_owned()),
        "Content-Range: bytes [0-9]{0,3}-[0-9]{0,3}/[0-9*]{1,3}",
        "ETag: \\PC{0,70}",
        "X-Linked-(ETag|Size): [ -~]{0,70}",
        "Location: \\PC{0,20}",
        "Retry-After: [ -~]{0,12}",
        "[A-Za-z-]{1,12}: [ -~]{0,40}",
        "[ -~]{0,40}",
    ];
    let body = prop::collection::vec(any::<u8>(), 0..600);
    (status, prop::collection::vec(header, 0..6), body).prop_map(|(status, headers, body)| {
        let mut bytes = format!("{status}\r\n").into_bytes();
        headers.iter().for_each(|header| bytes.extend(format!("{header}\r\n").bytes()));
        bytes.extend(b"\r\n");
        bytes.extend(body);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_is_a_fault_in_one_line_or_a_file(answer in answers()) {
        let sent = answer.clone();
        let server = Server::new(move |_, _, stream| send(stream, &sent));
        let downloads = Downloads::new();
        match downloads.model_from(&server) {
            Err(error) => {
                prop_assert!(!error.contains('\n') && error.contains("--model"), "{}", error);
                prop_assert!(!downloads.nexus.path("models").join(NAME).exists());
            }
            Ok(path) => {
                // It has the end of what was sent, and no more than that.
                let file = fs::read(path).expect("a file");
                prop_assert!(answer.windows(file.len().max(1)).any(|part| part == file) || file.is_empty());
            }
        }
    }
}
