//! An HTTP server on loopback that answers as its test tells it to, correctly
//! or not, and records the requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::nexus::LIMIT;

/// A client's request.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// Name in lower case, and value.
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = reader.by_ref().lines();
        let first = lines.next()?.ok()?;
        let path = first.split(' ').nth(1)?.to_owned();
        let mut headers = Vec::new();
        for line in lines {
            let line = line.ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { path, headers, body: Vec::new() };
        let length = request.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The first byte it asks for, if it asks for a range.
    pub fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// A server that stops when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Answers each request, counted from 0, on a thread of its own; the
    /// connection closes when `answer` returns.
    pub fn new(answer: impl Fn(usize, &Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("an address");
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped, answer) = (Arc::clone(&requests), Arc::clone(&stop), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut stream = stream.expect("a connection");
                    stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
                    let Some(request) = Request::read(&stream) else { return };
                    let mut all = log.lock().expect("no test has panicked");
                    let number = all.len();
                    all.push(request.clone());
                    drop(all);
                    answer(number, &request, &mut stream);
                });
            }
        });
        Self { address, requests, stop }
    }

    /// Serves `content` as a correct server does, with support for Range.
    pub fn of(content: Vec<u8>) -> Self {
        Self::new(move |_, request, stream| file(request, stream, &content, "\"1\"", ""))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The first bytes that were asked for, of each request.
    pub fn asked(&self) -> Vec<Option<usize>> {
        self.requests().iter().map(Request::from).collect()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no test has panicked").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Writes to a client that may have closed the connection.
pub fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    let _ = stream.write_all(bytes.as_ref()).and_then(|()| stream.flush());
}

/// Waits until the client has closed its end.
pub fn wait_for_close(stream: &mut TcpStream) {
    let _ = std::io::copy(stream, &mut std::io::sink());
}

/// Sends `content`, or, if the request asks for a range and its If-Range is
/// `etag` or absent, the rest of it; with `headers`, each ended by a line
/// break.
pub fn file(request: &Request, stream: &mut TcpStream, content: &[u8], etag: &str, headers: &str) {
    let (head, body) = head(request, content, etag, headers);
    send(stream, head);
    send(stream, body);
}

/// The head of the answer that [`file`] gives, and the body that follows it.
pub fn head<'a>(request: &Request, content: &'a [u8], etag: &str, headers: &str) -> (String, &'a [u8]) {
    let size = content.len();
    let from = request.from().filter(|_| request.header("if-range").is_none_or(|version| version == etag));
    let (status, body): (_, &[u8]) = match from {
        Some(from) if from >= size => {
            (format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{size}"), &[])
        }
        Some(from) => {
            let last = size - 1;
            (format!("206 Partial Content\r\nContent-Range: bytes {from}-{last}/{size}"), &content[from..])
        }
        None => ("200 OK".to_owned(), content),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: {etag}\r\n{headers}Connection: close\r\n\r\n",
        body.len()
    );
    (head, body)
}
