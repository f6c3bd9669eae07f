use std::collections::HashSet;
use std::io::Cursor;

use super::header::Header;
use super::rules::{missing_byte, unescaped};

const EMBER: &[u8] = include_bytes!("../../../models/ember/ember.gguf");

#[test]
fn a_vocabulary_that_memory_does_not_hold_is_refused() {
    let header = Header::read(Cursor::new(EMBER), EMBER.len() as u64).expect("ember is sound");
    let needed = header.memory();
    assert!((500_000..2_000_000).contains(&needed), "{needed}");
    let fault = header.check_memory(Some(needed - 1)).expect_err("one byte is missing");
    assert!(fault.to_string().contains("needs some 1 MB of memory and 0 MB are free"), "{fault}");
    assert!(!fault.is_damage());
    header.check_memory(Some(needed)).expect("it fits");
    header.check_memory(None).expect("nobody knows");
}

#[test]
fn nothing_is_read_that_the_file_does_not_have() {
    for length in 0..1000 {
        Header::read(Cursor::new(&EMBER[..length]), length as u64).expect_err("cut short");
    }
}

#[test]
fn the_tokens_of_an_rwkv_vocabulary_are_escaped() {
    for (token, bytes) in [
        (&b"plain"[..], &b"plain"[..]),
        (b"\\x0a", b"\n"),
        (b"\\xFF\\t", b"\xff\t"),
        (b"a\\\\b", b"a\\b"),
        (b"\\n\\r\\'", b"\n\r'"),
        (b"cut\\x0", b"cut"),
        (b"cut\\", b"cut"),
    ] {
        assert_eq!(*unescaped(token), *bytes, "{}", String::from_utf8_lossy(token));
    }
}

#[test]
fn byte_tokens_are_asked_of_the_tokenizers_that_need_them() {
    let texts: Vec<_> = (1..=u8::MAX).map(|byte| format!("<0x{byte:02X}>").into_bytes()).collect();
    let mut tokens: HashSet<_> = texts.iter().map(Vec::as_slice).collect();
    assert_eq!(missing_byte("llama", &tokens), None);
    assert_eq!(missing_byte("rwkv", &tokens), Some(1));
    assert_eq!(missing_byte("gpt2", &HashSet::new()), None);
    tokens.remove(&b"<0x0A>"[..]);
    assert_eq!(missing_byte("llama", &tokens), Some(b'\n'));
    // llama.cpp also takes the byte as it is.
    tokens.insert(b"\n");
    assert_eq!(missing_byte("llama", &tokens), None);
    let texts: Vec<_> = (1..=u8::MAX).map(|byte| format!("\\x{byte:02x}").into_bytes()).collect();
    assert_eq!(missing_byte("rwkv", &texts.iter().map(Vec::as_slice).collect()), None);
}
