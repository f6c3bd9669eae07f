//! A voice (`--lora`): it changes the text, what is kept knows it, and one that does
//! not fit is refused in one line before anything is armed.

use installation::state::entry::Entry;
use installation::state::lives::Lives;

use crate::support::fake_printer::{Behaviour, FakePrinter};
use crate::support::gguf_file::{Value, adapter_of_ember as adapter};
use crate::support::nexus::{Nexus, ember_gguf};

const SHORT: [&str; 4] = ["-c", "300", "--state-dir", "state"];

#[test]
fn a_voice_changes_the_text_and_half_of_it_changes_it_otherwise() {
    let nexus = Nexus::new();
    nexus.file("voice.gguf", adapter(256).bytes());
    let said = |args: &[&str]| nexus.ember(&[&SHORT, args].concat()).died().stdout.clone();
    let (none, own) = (said(&[]), said(&["--lora", "voice.gguf"]));
    let half = said(&["--lora", "voice.gguf", "--lora-scale", "0.5"]);
    assert!(none != own && own != half && half != none, "{none}{own}{half}");
    assert_eq!(said(&["--lora", "none"]), none);
    assert_eq!(said(&["--lora", "voice.gguf", "--lora-scale", "0"]), none);
    assert_eq!(said(&["--lora", "voice.gguf"]), own, "another life's prompt state was taken");
}

#[test]
fn a_life_with_a_voice_is_lived_again_with_it_and_one_from_before_voices_without() {
    let nexus = Nexus::new();
    nexus.file("voice.gguf", adapter(256).bytes());
    let printed = |args: &[&str]| {
        let printer = FakePrinter::at(&nexus.path("printer"), Behaviour::Silent);
        let fast = ["--printer", "printer", "--printer-baud", "4000000", "--printer-line-ms", "1"];
        let ended = nexus.run([&["--state-dir", "state"], &fast[..], args].concat());
        printer.stop();
        ended
    };
    let first = printed(&["-m", "ember", "-c", "300", "--lora", "voice.gguf"]);
    first.died();
    let [Entry { fingerprint, options, .. }] =
        &Lives::within(&nexus.path("state")).all().expect("a history")[..]
    else {
        panic!("one life")
    };
    assert_eq!(fingerprint.len(), 33, "{fingerprint}: two fingerprints");
    assert!(options.contains("--lora voice.gguf"), "{options}");
    assert_eq!(printed(&["relive", "1"]).stdout, first.stdout);
    nexus.file("voice.gguf", adapter(256).set("mind.note", Value::u32(1)).bytes());
    printed(&["relive", "1"]).failed(1, &["another model", "relive"]);
}

#[test]
fn a_voice_that_does_not_fit_is_one_line() {
    let nexus = Nexus::new();
    let refused = |content: &[u8], parts: &[&str]| {
        nexus.file("voice.gguf", content);
        let ended = nexus.ember(&["--lora", "voice.gguf"]);
        ended.failed(1, &["voice \"voice.gguf\"", "--lora none"]);
        ended.failed(1, parts);
    };
    refused(&adapter(128).bytes(), &["does not fit model ember", "incorrect shape"]);
    refused(&adapter(256).set("general.architecture", Value::text("gemma3")).bytes(), &["does not fit"]);
    refused(&adapter(256).set("adapter.type", Value::text("control_vector")).bytes(), &["no adapter"]);
    let mut stray = adapter(256);
    for tensor in &mut stray.tensors {
        tensor.name[4] = b'9';
    }
    refused(&stray.bytes(), &["does not fit"]);
    let mut half = adapter(256);
    half.tensors.pop();
    refused(&half.bytes(), &["does not fit"]);
    let whole = adapter(256).bytes();
    refused(&whole[..whole.len() - 1], &["cut short"]);
    refused(&whole[..100], &["cut short"]);
    refused(b"", &["is empty"]);
    refused(&ember_gguf(), &["no adapter"]);
    refused(b"a text", &["not a GGUF file"]);
    nexus.ember(&["--lora", "nowhere.gguf"]).failed(1, &["cannot open voice \"nowhere.gguf\""]);
    nexus.ember(&["--lora", "."]).failed(1, &["is a folder"]);
}
