//! `hardware/heartbeat` and a server on loopback: what it is told, and that whatever it does
//! ends within bounds and in one line.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

use super::{finds_first, script};
use crate::support::nexus::{Ended, Nexus};
use crate::support::server::{Server, send, wait_for_close};

/// Less patience than on a box.
const SETTINGS: &str = "PATIENCE, TRY, PAUSE = 4, 1, 0.1";

/// A heartbeat of the box in `nexus`, to this address.
fn beat(nexus: &Nexus, when: &str, url: &str) -> Ended {
    let mut command = script("heartbeat", SETTINGS);
    finds_first(&mut command, cargo_bin!("torment-nexus").parent().expect("a folder"));
    command.arg(when).env("TORMENT_REPORT_TO", url);
    // A proxy would be told of it too.
    command.env("http_proxy", "http://127.0.0.1:9").env("STATE_DIRECTORY", nexus.path("state"));
    Ended::run(command)
}

/// A server that answers so.
pub(super) fn answers(head: &str) -> Server {
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    Server::new(move |_, _, stream| send(stream, &answer))
}

#[track_caller]
fn fails_in_one_line(ended: &Ended, expected: &str) {
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let line = ended.error();
    assert!(line.contains(expected) && line.contains("; "), "{line}");
}

#[test]
fn a_curator_hears_of_the_last_life_the_paper_and_the_last_fault() {
    let nexus = Nexus::new();
    let options = ["--context-size", "200", "--printer", "absent", "--state-dir", "state"];
    for _ in 0..2 {
        nexus.ember(&options).died();
    }
    nexus.ember(&["--context-size", "1", "--printer", "absent", "--state-dir", "state"]);
    let server = answers("204 No Content");
    let ended = beat(&nexus, "start", &server.url("/box"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let [request] = &server.requests()[..] else { panic!("one request") };
    assert_eq!((request.path.as_str(), request.header("content-type")), ("/box", Some("application/json")));
    let told: Value = serde_json::from_slice(&request.body).expect("JSON");
    for (name, expected) in [
        ("when", "start".into()),
        ("life", 2.into()),
        ("ending", "fault".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ] {
        assert_eq!(told[name], Value::clone(&expected), "{name}: {told}");
    }
    assert!(told["last_fault"].as_str().is_some_and(|fault| fault.contains("context")), "{told}");
    let names: Vec<_> = told.as_object().expect("an object").keys().map(String::as_str).collect();
    for name in ["paper", "temperature"] {
        assert!(names.contains(&name), "{told}");
    }
    assert!(request.body.len() < 2000);
}

#[test]
fn a_line_that_a_power_cut_tore_hides_no_later_life() {
    let nexus = Nexus::new();
    let options = ["--context-size", "200", "--printer", "absent", "--state-dir", "state"];
    nexus.ember(&options).died();
    let history = nexus.path("state/lives.csv");
    let mut file = fs::File::options().append(true).open(history).expect("a history");
    file.write_all(b"2,2026-12-01T10:00,ember,,,,\"--temp").expect("written");
    nexus.ember(&options).died();
    let server = answers("204 No Content");
    assert_eq!(beat(&nexus, "hour", &server.url("/")).code, Some(0));
    let told: Value = serde_json::from_slice(&server.requests()[0].body).expect("JSON");
    assert_eq!((&told["life"], &told["ending"]), (&3.into(), &"death".into()), "{told}");
}

#[test]
fn without_an_address_and_at_a_death_nothing_is_sent() {
    let (nexus, server) = (Nexus::new(), answers("204 No Content"));
    for (when, url) in [("success", server.url("/")), ("start", String::new())] {
        let ended = beat(&nexus, when, &url);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{when}");
    }
    assert!(server.requests().is_empty());
    let ended = beat(&nexus, "hour", &server.url("/"));
    assert_eq!((ended.code, server.requests().len()), (Some(0), 1), "a box without a life: {}", ended.stderr);
}

#[test]
fn only_the_local_network_is_told_without_tls() {
    let nexus = Nexus::new();
    let refusal = |url: &str| {
        let mut command = script("heartbeat", "print(refusal(sys.argv[3])); sys.exit()");
        command.arg(url);
        Ended::run(command).stdout
    };
    for near in [
        "https://example.org/box?key=1",
        "http://192.168.1.5:8080/",
        "http://10.0.0.1",
        "http://127.0.0.1/",
        "http://169.254.3.4/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://museum.local/box",
    ] {
        assert_eq!(refusal(near).trim(), "None", "{near}");
    }
    for far in [
        "http://example.org/",
        "http://8.8.8.8/",
        "http://192.168.1.5.example.org/",
        "http://192.168.1.5@example.org/",
        "http://[2001:4860:4860::8888]/",
        "http://museum.local.example.org/",
        "ftp://192.168.1.5/",
        "http://",
        "http://[::1",
        "192.168.1.5",
        "file:///etc/passwd",
        "https://a b/",
    ] {
        fails_in_one_line(&beat(&nexus, "start", far), "no heartbeat is sent to");
    }
}

#[test]
fn a_server_that_fails_is_asked_again_and_whatever_it_does_has_an_end() {
    let nexus = Nexus::new();
    let server = Server::new(|number, _, stream| {
        let status = if number < 2 { "503 Later" } else { "200 OK" };
        send(stream, format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
    });
    assert_eq!((beat(&nexus, "hour", &server.url("/")).code, server.requests().len()), (Some(0), 3));

    let server = answers("404 No");
    fails_in_one_line(&beat(&nexus, "hour", &server.url("/")), "404 No");
    assert_eq!(server.requests().len(), 1, "a refusal is an answer");

    let elsewhere = answers("204 No Content");
    let server = answers(&format!("302 There\r\nLocation: {}", elsewhere.url("/")));
    fails_in_one_line(&beat(&nexus, "hour", &server.url("/")), "302");
    assert!(elsewhere.requests().is_empty(), "another address is not followed");

    let silent = Server::new(|_, _, stream| wait_for_close(stream));
    fails_in_one_line(&beat(&nexus, "hour", &silent.url("/")), "timed out");
    // A byte at a time it would never time out.
    let slow = Server::new(|_, _, stream| {
        while stream.write_all(b"H").is_ok() {
            thread::sleep(Duration::from_millis(200));
        }
    });
    fails_in_one_line(&beat(&nexus, "hour", &slow.url("/")), "no answer came");
    fails_in_one_line(&beat(&nexus, "hour", "http://127.0.0.1:9/"), "refused");
}
