//! Downloads of a model: what the user reads and what is left on disk, for each
//! way in which a network, a server and a disk can fail.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command as StdCommand, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use assert_cmd::Command;
use installation::life::interrupt::Interrupt;
use model_file::download;
use model_file::download::http::{Client, Patience};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// The model that the tests download.
use crate::support::nexus::ember_gguf as model;
use crate::support::nexus::{Ended, LIMIT, Nexus, wait};
use crate::support::server::{Request, Server, file, head, send, wait_for_close};

/// The name of the file that every test downloads.
const NAME: &str = "mind.gguf";
const PATH: &str = "/some/repo/resolve/main/mind.gguf";

/// The file with the time that a server asked to wait.
const WAIT: &str = "downloads.wait";

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

/// One user's downloads into one folder, in this process, with time limits that
/// suit a test.
struct Downloads {
    nexus: Nexus,
    /// The environment variables that are set.
    variables: Vec<(&'static str, String)>,
    patience: Patience,
}

impl Downloads {
    fn new() -> Self {
        Self { nexus: Nexus::new(), variables: Vec::new(), patience: PATIENT }
    }

    fn model_from(&self, url: &str) -> Result<PathBuf, String> {
        let variable =
            |name: &str| self.variables.iter().find(|(one, _)| *one == name).map(|(_, value)| value.clone());
        let client = || Client::new(variable, self.patience);
        let (_raise, interrupt) = Interrupt::new();
        download::model(url, &self.nexus.path("models"), client, &interrupt)
            .map_err(|error| format!("{error:#}"))
    }

    /// Asserts that the download fails with one line that contains `parts` and
    /// says how to fetch the file by hand.
    #[track_caller]
    fn fails(&self, server: &Server, parts: &[&str]) -> String {
        let error = self.model_from(&server.url(PATH)).expect_err("it fails");
        let path = self.nexus.path("models").join(NAME);
        let by_hand = format!("fetch {} by hand to {path:?}, or give --model ember", server.url(PATH));
        for part in parts.iter().chain([&by_hand.as_str()]) {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert!(!error.contains('\n'), "{error}");
        assert!(!path.exists(), "no file has the model's name");
        error
    }

    /// Leaves `part`, and a record with these lines, as a download of `url` that broke
    /// off does.
    fn left(&self, url: &str, part: &[u8], record: &str) {
        fs::create_dir_all(self.nexus.path("models")).expect("a folder");
        self.nexus.file("models/mind.gguf.part", part);
        self.nexus.file("models/mind.gguf.part.origin", format!("url: {url}\n{record}"));
    }

    /// Asserts that the model is complete, and that only its `.origin` is
    /// beside it.
    #[track_caller]
    fn succeeded(&self, url: &str) {
        assert_eq!(self.model_from(url), Ok(self.nexus.path("models").join(NAME)));
        assert!(fs::read(self.nexus.path("models").join(NAME)).expect("the model") == model(), "whole");
        assert_eq!(files(&self.nexus), ["mind.gguf", "mind.gguf.origin"]);
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

/// Starts such a life; the lines of its stderr come as it writes them.
fn spawn(nexus: &Nexus, url: &str) -> (Child, Receiver<String>) {
    let mut command = nexus.command(short_life(url));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let (sender, receiver) = channel();
    let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    (child, receiver)
}

/// Waits until the part holds at least `len` bytes.
fn wait_for_bytes(nexus: &Nexus, len: usize) {
    let part = || fs::metadata(nexus.path("models/mind.gguf.part")).ok();
    let grown = || part().filter(|part| part.len() >= len as u64);
    wait(|| "so much of the part", LIMIT, Duration::from_millis(5), grown);
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
    let server = Server::of(model());
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
    // Which per cents are shown depends on how the bytes arrive.
    let line = lines.find(|line| line.contains("mind.gguf: ") && line.contains(" % of 3.77 MB, "));
    assert!(line.is_some_and(|line| line.contains("/s, ") && line.ends_with(" s left")), "{screen}");
    assert!(screen.contains("100 % of 3.77 MB, ") && !screen.contains("left\r\n"), "{screen}");
    let (_, after) = screen.split_once("downloaded ").expect("it says that it is done");
    assert!(!after.contains("downloading"), "{screen}");
    assert!(screen.ends_with("'Context overflow - terminating.'\r\n"), "{screen}");
}

#[test]
fn a_model_that_was_put_there_by_hand_does_not_ask_what_the_network_would_need() {
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
    downloads.left("http://elsewhere/mind.gguf", &model()[..1000], "size: 2000\nvalidator: \"1\"\n");
    downloads.nexus.file("models/mind.gguf", model());
    downloads.model_from(&server.url(PATH)).expect("the model is there");
    assert!(server.requests().is_empty());
}

#[test]
fn a_model_from_elsewhere_or_one_that_lost_bytes_since_is_refused() {
    let (one, other) = (Server::of(model()), Server::of(model()));
    let downloads = Downloads::new();
    downloads.succeeded(&one.url(PATH));
    let error = downloads.model_from(&other.url(PATH)).expect_err("another origin");
    for part in [&one.url(PATH), &other.url(PATH), "--model-dir"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(other.requests().is_empty());
    downloads.nexus.file("models/mind.gguf", &model()[..1000]);
    let error = downloads.model_from(&one.url(PATH)).expect_err("damaged");
    assert!(error.contains("is 1000 bytes") && error.contains("delete it"), "{error}");
}

#[test]
fn a_host_that_refuses_or_that_no_one_knows_is_named_with_the_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let refuses = format!("http://{}{PATH}", listener.local_addr().expect("an address"));
    drop(listener);
    for (url, why) in [
        (refuses.as_str(), "cannot reach 127.0.0.1 (Connection refused"),
        ("http://nobody.invalid/mind.gguf", "cannot reach nobody.invalid"),
    ] {
        let nexus = Nexus::new();
        let by_hand = format!("fetch {url} by hand to \"models/mind.gguf\", or give --model ember");
        nexus.run(short_life(url)).failed(1, &[why, "look at the network", &by_hand]);
        assert!(files(&nexus).is_empty());
    }
}

#[test]
fn a_certificate_is_trusted_or_its_fault_is_named() {
    let clock = &["certificate of localhost is not valid yet", "machine's clock", "no clock of its own"][..];
    for (from, to, trusts, words) in [
        (2999, 4000, true, clock),
        (2000, 2001, true, clock),
        (2020, 4000, false, &["certificate of localhost is not trusted", "SSL_CERT_FILE"]),
        (2020, 4000, true, &[]),
    ] {
        let (url, roots, nexus) = tls_server(from, to);
        let mut command = nexus.command(short_life(&url));
        if trusts {
            command.env("SSL_CERT_FILE", roots);
        }
        let ended = Ended::of(Command::from_std(command).timeout(LIMIT).output());
        if words.is_empty() {
            ended.died();
        } else {
            ended.failed(1, &[words, &["--model ember"]].concat());
        }
    }
}

/// A TLS server at `localhost` that serves the model, with a certificate that is
/// valid from the year `from` until the year `to`. Returns its URL, and the file
/// with the certificate, which signs itself.
fn tls_server(from: i32, to: i32) -> (String, PathBuf, Nexus) {
    let mut certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    certificate.not_before = rcgen::date_time_ymd(from, 1, 1);
    certificate.not_after = rcgen::date_time_ymd(to, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = certificate.self_signed(&key).expect("a certificate");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
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
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", model().len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&model()));
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let nexus = Nexus::new();
    let roots = nexus.file("roots.pem", certificate.pem());
    (format!("https://localhost:{port}/mind.gguf"), roots, nexus)
}

/// The bytes of an answer whose length only its end tells, unless `head` says it.
fn raw(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
}

/// Sends the model, or the rest that is asked for, as a correct server does.
fn sound(request: &Request, to: &mut TcpStream) {
    file(request, to, &model(), "\"1\"", "");
}

/// The same, but only this many bytes of the body.
fn short(request: &Request, to: &mut TcpStream, len: usize) {
    let content = model();
    let (head, body) = head(request, &content, "\"1\"", "");
    send(to, head);
    send(to, &body[..body.len().min(len)]);
}

#[test]
fn an_answer_without_the_model_is_told_in_words_and_nothing_is_kept() {
    let (model, other) = (model(), "ab".repeat(32));
    let hash = |hash: &str| format!("200 OK\r\nX-Linked-ETag: \"{hash}\"");
    let page = b"<!DOCTYPE html><title>Museum Wi-Fi</title>";
    for (head, body, words, requests) in [
        ("401 Unauthorized", &b""[..], &["401", "no such repository", "set HF_TOKEN"][..], 1),
        ("403 Forbidden", b"", &["403", "terms"], 1),
        ("404 Not Found", b"", &["404", "look at the address"], 1),
        ("418 I'm a teapot", b"", &["418", "does not know what to do"], 1),
        ("429 \r\nRateLimit: limit=9, remaining=0, reset=77", b"", &["start again in 77 s"], 1),
        ("429 \r\nRateLimit: \"a\";r=5;t=9, \"b\";r=0;t=243", b"", &["start again in 243 s"], 1),
        ("429 \r\nRetry-After: 99999999999", b"", &["start again in 86400 s"], 1),
        ("429 Too Many Requests", b"", &["start again in 60 s"], 1),
        (
            "503 \r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:53:37 GMT",
            b"",
            &["503", "start again in 240 s"],
            1,
        ),
        ("407 Proxy Authentication Required", b"", &["407", "HTTPS_PROXY"], 1),
        ("408 Request Timeout", b"", &["408", "each of 3 tries"], 3),
        ("425 Too Early", b"", &["425", "each of 3 tries"], 3),
        ("451 Unavailable For Legal Reasons", b"", &["451", "a law forbids"], 1),
        ("500 Internal Server Error", b"", &["500", "fault of its own", "each of 3 tries"], 3),
        ("511 Network Authentication Required", b"", &["511", "a login page"], 1),
        (&format!("302 Found\r\nLocation: {PATH}"), b"", &["redirects in a loop"], 11),
        ("302 Found\r\nLocation: ftp://host/", b"", &["redirects to nowhere"], 1),
        ("206 Partial Content", &model, &["another part", "start again"], 1),
        ("416 Range Not Satisfiable\r\nContent-Range: bytes */0", b"", &["another part", "start again"], 1),
        ("200 OK\r\nContent-Type: text/html", page, &["a web page", "log in"], 1),
        ("200 OK", b"PK\x03\x04 an archive", &["is no GGUF file"], 1),
        ("200 OK", b"GG", &["is no GGUF file"], 1),
        ("200 OK", b"version https://git-lfs.github.com/spec/v1\n", &["Git LFS pointer", "/resolve/"], 1),
        // Cut short, which only the file's own header or the hub's hash tells.
        ("200 OK", &model[..2_000_000], &["cut short", "start again"], 1),
        (&hash(&sha256(&model)), &model[..2_000_000], &["it arrived damaged", "sha256", &sha256(&model)], 1),
        (&hash(&other), &model, &["it arrived damaged", "sha256", &other], 1),
    ] {
        let answer = raw(head, body);
        let server = Server::new(move |_, _, to| send(to, &answer));
        let downloads = Downloads::new();
        downloads.fails(&server, words);
        assert_eq!(server.requests().len(), requests, "{head}");
        let left: Vec<_> = files(&downloads.nexus).into_iter().filter(|name| name != WAIT).collect();
        assert!(left.is_empty(), "{head}: {left:?}");
    }
}

#[test]
fn what_is_missing_is_asked_for_or_all_of_it_and_the_model_comes() {
    let (whole, size) = (model(), model().len());
    let (kept, long) = (&whole[..1000], [&whole[..], &[0; 10]].concat());
    let damaged = [&whole[..1_999_000], &[0; 1000]].concat();
    let known = format!("size: {size}\nvalidator: \"1\"\n");
    let etag = "validator: \"1\"\n";
    let hash = &format!("X-Linked-ETag: \"{}\"\r\n", sha256(&whole));
    let range = |from: usize| {
        format!("206 Partial Content\r\nETag: \"1\"\r\nContent-Range: bytes {from}-{}/{size}", size - 1)
    };
    let begins_elsewhere = raw(&range(0), &whole);
    let does_not_say_where = raw("206 Partial Content", &whole[1000..]);
    let rest_cut = raw(&range(1000), &whole[1000..1_500_000]);
    let body_cut =
        |etag: &str| raw(&format!("200 OK\r\nETag: {etag}\r\nContent-Length: {size}"), &whole[..1_000_000]);
    let chunk = [format!("{:x}\r\n", 1_000_000).as_bytes(), &whole[..1_000_000], b"\r\n"].concat();
    let chunks_cut = raw("200 OK\r\nTransfer-Encoding: chunked", &chunk);
    let no_chunks = raw("200 OK\r\nTransfer-Encoding: chunked", &[&chunk[..], b"none\r\n"].concat());
    let all = [chunk, format!("{:x}\r\n", size - 1_000_000).into(), whole[1_000_000..].into()].concat();
    let chunks = raw("200 OK\r\nTransfer-Encoding: chunked", &[&all[..], b"\r\n0\r\n\r\n"].concat());
    // What was kept of it, its record, what the server sends first; what is asked for.
    for (what, part, record, first, headers, asked) in [
        ("a part", kept, &known[..], vec![], "", &[Some(1000)][..]),
        ("a part of unknown size", kept, etag, vec![], "", &[Some(1000)]),
        ("a part of no known version", kept, "", vec![], "", &[None]),
        ("a part of another version", &damaged, "validator: \"0\"\n", vec![], "", &[Some(2_000_000)]),
        (
            "a part of another size",
            &damaged,
            "size: 9\nvalidator: \"1\"\n",
            vec![],
            "",
            &[Some(2_000_000), None],
        ),
        ("a part damaged on disk", &damaged, &known, vec![], hash, &[Some(2_000_000), None]),
        ("all of it", &whole, &known, vec![], "", &[Some(size)]),
        ("all of it, of unknown size", &whole, etag, vec![], "", &[Some(size)]),
        ("more than all of it", &long, &known, vec![], "", &[Some(size + 10), None]),
        ("a server that does not resume", kept, &known, raw("200 OK", &whole), "", &[Some(1000)]),
        ("a 206 that begins elsewhere", kept, &known, begins_elsewhere, "", &[Some(1000), None]),
        ("a 206 that does not say where", kept, &known, does_not_say_where, "", &[Some(1000), None]),
        ("a rest cut short without a length", kept, &known, rest_cut, "", &[Some(1000), Some(1_500_000)]),
        ("a body cut short", b"", "", body_cut("\"1\""), "", &[None, Some(1_000_000)]),
        ("a body cut short with a weak ETag", b"", "", body_cut("W/\"1\""), "", &[None, None]),
        ("chunks cut short", b"", "", chunks_cut, "", &[None, None]),
        ("what is no chunk", b"", "", no_chunks, "", &[None, None]),
        ("chunks", b"", "", chunks, "", &[None]),
    ] {
        let headers = headers.to_owned();
        let server = Server::new(move |number, request, to| match number {
            0 if !first.is_empty() => send(to, &first),
            _ => file(request, to, &model(), "\"1\"", &headers),
        });
        let downloads = Downloads::new();
        downloads.left(&server.url(PATH), part, record);
        downloads.succeeded(&server.url(PATH));
        assert_eq!(server.asked(), asked, "{what}");
    }
}

#[test]
fn a_part_from_another_url_is_none_of_this_file() {
    let server = Server::of(model());
    let downloads = Downloads::new();
    downloads.left("http://elsewhere/mind.gguf", &model()[..1000], "validator: \"1\"\n");
    downloads.succeeded(&server.url(PATH));
    assert_eq!(server.asked(), [None]);
}

#[test]
fn a_file_whose_hash_is_right_is_kept_whatever_is_in_it() {
    // A header that ends in its first key.
    let content = [b"GGUF\x03\0\0\0".as_slice(), &[0xff; 16]].concat();
    let headers = format!("X-Linked-ETag: \"{}\"\r\n", sha256(&content));
    let sent = content.clone();
    let server = Server::new(move |_, request, to| file(request, to, &sent, "\"1\"", &headers));
    let downloads = Downloads::new();
    let path = downloads.model_from(&server.url(PATH)).expect("what the server has");
    assert_eq!(fs::read(path).expect("a file"), content);
}

#[test]
fn a_server_that_asks_to_wait_is_not_asked_before_in_another_start_neither() {
    let server = Server::new(|number, request, to| match number {
        0 => send(to, raw("429 Too Many Requests\r\nRetry-After: 1", b"")),
        1 => send(to, raw("429 Too Many Requests\r\nRetry-After: 3600", b"")),
        _ => sound(request, to),
    });
    let mut downloads = Downloads::new();
    downloads.patience.longest_pause = Duration::from_secs(1);
    let begun = Instant::now();
    downloads.fails(&server, &["127.0.0.1 answers 429", "start again in 3600 s"]);
    assert!(begun.elapsed() >= Duration::from_secs(1), "it waited");
    for _ in 0..3 {
        downloads.fails(&server, &["127.0.0.1 answers 429: too many requests; start again in 3"]);
    }
    assert_eq!(server.requests().len(), 2);
    // Over, or noted by a clock that has been set back since.
    for noted in [SystemTime::now() - Duration::from_secs(3601), SystemTime::now() + Duration::from_secs(60)]
    {
        let _ = fs::remove_file(downloads.nexus.path("models").join(NAME));
        let note = downloads.nexus.file("models/downloads.wait", "3600 h answers 429\n");
        fs::File::open(note).and_then(|note| note.set_modified(noted)).expect("another time");
        downloads.succeeded(&server.url(PATH));
    }
}

#[test]
fn a_body_that_is_always_cut_short_is_kept_for_the_next_start() {
    let server = Server::new(|_, request, to| short(request, to, 1_000_000));
    let downloads = Downloads::new();
    let kept = "3.00 MB are kept and the next start goes on from there";
    downloads.fails(&server, &["broke off at each of 3 tries", kept]);
    assert_eq!(files(&downloads.nexus), ["mind.gguf.part", "mind.gguf.part.origin"]);
    downloads.succeeded(&server.url(PATH));
}

#[test]
fn what_is_no_model_leaves_what_was_kept() {
    let downloads = Downloads::new();
    for head in ["200 OK\r\nContent-Type: text/html", "200 OK", "503 Service Unavailable", "403 Forbidden"] {
        let answer = raw(head, b"<!DOCTYPE html>");
        let server = Server::new(move |_, _, to| send(to, &answer));
        downloads.left(&server.url(PATH), &model()[..1000], "validator: \"1\"\n");
        downloads.fails(&server, &["1.00 kB are kept"]);
        assert_eq!(fs::read(downloads.nexus.path("models/mind.gguf.part")).expect("a part"), model()[..1000]);
    }
}

#[test]
fn a_body_longer_than_it_said_is_neither_read_to_its_end_nor_kept() {
    let server = Server::new(|_, request, to| {
        let (from, size) = (request.from().unwrap_or(0), model().len());
        let range = format!("Content-Range: bytes {from}-{}/{size}", size - 1);
        let body = &[model(), vec![0; 1_000_000]].concat()[from..];
        send(to, raw(&format!("206 Partial Content\r\n{range}"), body));
    });
    let downloads = Downloads::new();
    downloads.left(&server.url(PATH), &model()[..1000], "validator: \"1\"\n");
    let error = downloads.fails(&server, &["it arrived damaged", &format!("instead of {}", model().len())]);
    assert!(!error.contains(&format!("{} bytes", model().len() + 1_000_000)), "{error}");
    assert!(files(&downloads.nexus).is_empty(), "{:?}", files(&downloads.nexus));
}

#[test]
fn a_server_that_stops_sending_or_does_not_answer_is_asked_for_the_rest() {
    let server = Server::new(|number, request, to| match number {
        0 => {
            short(request, to, 1_000_000);
            wait_for_close(to);
        }
        1 => wait_for_close(to),
        _ => sound(request, to),
    });
    let mut downloads = Downloads::new();
    downloads.patience.silence = Duration::from_secs(1);
    downloads.succeeded(&server.url(PATH));
    assert_eq!(server.asked(), [None, Some(1_000_000), Some(1_000_000)]);
}

#[test]
fn a_server_that_drips_is_too_slow() {
    let server = Server::new(|_, request, to| {
        short(request, to, 0);
        let begun = Instant::now();
        for byte in &model()[request.from().unwrap_or(0)..] {
            if to.write_all(&[*byte]).is_err() || begun.elapsed() > LIMIT {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    let mut downloads = Downloads::new();
    downloads.patience.window = Duration::from_secs(1);
    downloads.patience.least = 100_000;
    downloads.patience.tries = 2;
    downloads.fails(&server, &["sends too slowly", "at each of 2 tries", "are kept"]);
}

#[test]
fn a_redirect_to_another_host_is_followed_with_the_hubs_hash_and_without_its_token() {
    for is_right in [true, false] {
        let content_host = Server::of(model());
        let location = content_host.url("/cdn/1234");
        let hash = if is_right { sha256(&model()) } else { "ab".repeat(32) };
        let head = format!("302 Found\r\nLocation: {location}\r\nX-Linked-ETag: \"{hash}\"");
        let hub = Server::new(move |_, _, to| send(to, raw(&head, b"")));
        let mut downloads = Downloads::new();
        downloads.variables = vec![("HF_ENDPOINT", hub.url("")), ("HF_TOKEN", "hf_secret".to_owned())];
        match is_right {
            true => downloads.succeeded(&hub.url(PATH)),
            false => drop(downloads.fails(&hub, &["its sha256 is"])),
        }
        assert_eq!(hub.requests()[0].header("authorization"), Some("Bearer hf_secret"));
        assert_eq!(content_host.requests()[0].header("authorization"), None);
    }
}

#[test]
fn a_refusal_says_whether_the_token_the_account_or_a_firewall_is_the_reason() {
    let refuses = |status: &'static str| Server::new(move |_, _, to| send(to, raw(status, b"")));
    let redirects = |to: &Server| {
        let location = to.url("/cdn/1234").replace("127.0.0.1", "localhost");
        let head = format!("308 Permanent Redirect\r\nLocation: {location}");
        Server::new(move |_, _, to| send(to, raw(&head, b"")))
    };
    let (content_host, hub) = (refuses("403 Forbidden"), refuses("401 Unauthorized"));
    for (hub, words, other) in [
        (refuses("401 Unauthorized"), &["401", "the token in HF_TOKEN was refused"][..], "set HF_TOKEN"),
        (refuses("403 Forbidden"), &["403", "accept the model's terms"], "set HF_TOKEN"),
        (
            redirects(&content_host),
            &["localhost (to which 127.0.0.1 redirects) answers 403", "a firewall or a proxy"],
            "terms",
        ),
        (
            redirects(&hub),
            &["localhost (to which 127.0.0.1 redirects) answers 401", "HF_TOKEN goes only to", "HF_ENDPOINT"],
            "no such repository",
        ),
    ] {
        let mut downloads = Downloads::new();
        downloads.variables = vec![("HF_ENDPOINT", hub.url("")), ("HF_TOKEN", "hf_secret".to_owned())];
        let error = downloads.fails(&hub, words);
        assert!(!error.contains(other), "{error}");
    }
}

#[test]
fn the_token_is_for_the_hub_alone_and_only_where_it_is_asked_first() {
    let server = Server::of(model());
    let location = server.url(PATH);
    let elsewhere = Server::new(move |_, _, to| {
        send(to, raw(&format!("302 Found\r\nLocation: {location}"), b""));
    });
    for (hub, asked) in [
        ("https://huggingface.co".to_owned(), &server),
        (format!("https://{}", server.address), &server),
        (server.url(""), &elsewhere),
    ] {
        let mut downloads = Downloads::new();
        downloads.variables = vec![("HF_TOKEN", "hf_secret".to_owned()), ("HF_ENDPOINT", hub)];
        downloads.succeeded(&asked.url(PATH));
    }
    let requests = [server.requests(), elsewhere.requests()].concat();
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn a_repository_names_its_file_once_and_lives_without_the_network_from_then_on() {
    let hub = Server::new(|_, request, to| match &*request.path {
        "/api/models/some/Repo-GGUF" => {
            let files = r#"{"siblings": [{"rfilename": "mind-Q8_0.gguf"}, {"rfilename": "mind-Q4_0.gguf"}]}"#;
            send(to, raw("200 OK\r\nContent-Type: application/json", files.as_bytes()));
        }
        "/some/Repo-GGUF/resolve/main/mind-Q4_0.gguf" => sound(request, to),
        _ => send(to, raw("401 Unauthorized", b"")),
    });
    let nexus = Nexus::new();
    let live = |repository, variable, value: &str| {
        let mut command = nexus.command(short_life(repository));
        command.env(variable, value);
        Ended::of(Command::from_std(command).timeout(LIMIT).output())
    };
    let endpoint = hub.url("");
    for (repository, words) in [
        (
            "some/Repo-GGUF:Q2_K",
            "some/Repo-GGUF has no Q2_K in one file; add one of these after a colon: Q8_0, Q4_0",
        ),
        ("some/other", "no such file is here, so it is taken for a repository): 127.0.0.1 answers 401"),
    ] {
        live(repository, "HF_ENDPOINT", &endpoint).failed(1, &[words, "give --model ember"]);
    }
    live("some/Repo-GGUF", "HF_ENDPOINT", &endpoint).died();
    live("some/Repo-GGUF:q4_0", "HF_HUB_OFFLINE", "1").died();
    live("some/Repo-GGUF:Q8_0", "HF_HUB_OFFLINE", "1").failed(1, &["HF_HUB_OFFLINE"]);
    assert_eq!(hub.requests().len(), 4);
    // A file of that name wins.
    fs::create_dir(nexus.path("some")).expect("a folder");
    nexus.file("some/Repo-GGUF:Q4_0", "no model");
    live("some/Repo-GGUF:Q4_0", "HF_ENDPOINT", &endpoint)
        .failed(1, &["\"some/Repo-GGUF:Q4_0\"", "not a GGUF"]);
}

#[test]
fn a_mirror_stands_for_the_hub_and_gets_its_token() {
    let mirror = Server::of(model());
    let mut downloads = Downloads::new();
    downloads.variables = vec![("HF_ENDPOINT", mirror.url("/hub/")), ("HF_TOKEN", "hf_secret".to_owned())];
    downloads.succeeded(&format!("https://huggingface.co{PATH}"));
    let request = &mirror.requests()[0];
    assert_eq!(request.path, format!("/hub{PATH}"));
    assert_eq!(request.header("authorization"), Some("Bearer hf_secret"));
    let origin = fs::read_to_string(downloads.nexus.path("models/mind.gguf.origin")).expect("an origin");
    assert!(origin.starts_with("url: https://huggingface.co/some/repo/"), "{origin}");
}

#[test]
fn offline_or_with_a_wrong_variable_nothing_is_asked() {
    let server = Server::of(model());
    let offline = "HF_HUB_OFFLINE forbids the network; unset it";
    let mut downloads = Downloads::new();
    for (variable, value, words) in [
        ("HF_HUB_OFFLINE", "1", offline),
        ("HF_HUB_OFFLINE", "ON", offline),
        ("HF_HUB_OFFLINE", "yes", offline),
        ("HF_HUB_OFFLINE", "True", offline),
        ("HF_ENDPOINT", "hub", "HF_ENDPOINT cannot be used"),
        ("HF_TOKEN", "a\nb", "HF_TOKEN holds characters that no token has"),
        ("SSL_CERT_FILE", "/dev/null", "SSL_CERT_FILE \"/dev/null\" holds no certificate"),
    ] {
        downloads.variables = vec![(variable, value.to_owned())];
        downloads.fails(&server, &[words]);
    }
    assert!(server.requests().is_empty());
    downloads.variables = vec![("HF_HUB_OFFLINE", "0".to_owned()), ("HF_ENDPOINT", String::new())];
    downloads.succeeded(&server.url(PATH));
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
        command.arg("--mount").args(user).args(["sh", "-c", &script, "sh"]);
        command.arg(program.get_program()).args(program.get_args());
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
fn a_disk_that_has_no_room_or_cannot_be_written_is_named_and_stays_empty() {
    let full = &["the disk was full after", "free some"][..];
    for (options, tells_its_size, words) in [
        ("size=1m", true, &["\"models\" has 1.05 MB free", "free some, or give another --model-dir"][..]),
        // Too few file names: the disk is full before what the server told.
        ("size=20m,nr_inodes=2", true, full),
        ("size=20m", false, full),
        ("ro", true, &["\"models/mind.gguf", "Read-only", "--model-dir"]),
    ] {
        let nexus = Nexus::new();
        let server = Server::new(move |_, request, to| match tells_its_size {
            true => file(request, to, &model(), "\"1\"", ""),
            false => send(to, raw("200 OK", &model())),
        });
        let Some((ended, files)) = on_a_file_system(&nexus, options, &server.url(PATH)) else { return };
        ended.failed(1, &[words, &["--model ember"]].concat());
        assert!(files.is_empty(), "{options}: {files:?}");
    }
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
    let server = Server::new(move |number, request, to| match number {
        0 => {
            let half = model().len() / 2;
            short(request, to, half);
            let _ = held.lock().expect("one waits").recv_timeout(LIMIT);
            send(to, &model()[half..]);
        }
        _ => sound(request, to),
    });
    (server, let_go)
}

#[test]
fn after_a_signal_in_mid_download_the_next_start_resumes() {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let (server, _let_go) = holding_back();
        let nexus = Nexus::new();
        let url = server.url(PATH);
        let (mut child, log) = spawn(&nexus, &url);
        let half = model().len() / 2;
        wait_for_bytes(&nexus, half);
        kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
        let code = child.wait().expect("it ends").code();
        let said: Vec<_> = log.iter().filter(|line| !line.starts_with("downloading ")).collect();
        let interrupted =
            "interrupted while downloading the model; 1.88 MB are kept and the next start goes on from there";
        match signal {
            Signal::SIGINT => assert_eq!((code, &said[..]), (Some(130), &[interrupted.to_owned()][..])),
            _ => assert!(said.is_empty(), "{said:?}"),
        }
        assert_eq!(files(&nexus), ["mind.gguf.part", "mind.gguf.part.origin"]);
        let second = nexus.run(short_life(&url));
        second.died();
        assert!(second.stderr.starts_with("going on with mind.gguf at 1.88 MB\n"), "{}", second.stderr);
        assert_eq!(server.asked()[1], Some(half));
        assert_eq!(files(&nexus), ["mind.gguf", "mind.gguf.origin"]);
    }
}

#[test]
fn of_several_processes_one_downloads_and_the_others_wait_and_say_so() {
    let (server, let_go) = holding_back();
    let nexus = Nexus::new();
    let url = server.url(PATH);
    let (mut first, _log) = spawn(&nexus, &url);
    wait_for_bytes(&nexus, 1);
    let (mut second, second_log) = spawn(&nexus, &url);
    let (mut third, third_log) = spawn(&nexus, &url);
    for log in [&second_log, &third_log] {
        let said = log.recv_timeout(LIMIT);
        assert_eq!(said.as_deref(), Ok("waiting: another process is downloading to \"models\""));
    }
    kill(Pid::from_raw(third.id() as i32), Signal::SIGTERM).expect("it runs");
    assert_eq!(third.wait().expect("it ends").code(), Some(130));
    let said = third_log.recv_timeout(LIMIT).expect("a line");
    assert!(said.starts_with("interrupted while downloading the model"), "{said}");
    let_go.send(()).expect("the server waits");
    assert_eq!(first.wait().expect("it ends").code(), Some(101));
    assert_eq!(second.wait().expect("it ends").code(), Some(101));
    assert_eq!(server.requests().len(), 1);
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
        match downloads.model_from(&server.url(PATH)) {
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
