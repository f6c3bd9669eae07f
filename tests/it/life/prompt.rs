//! The prompt: which one is taken, how it is framed, how much it may take.

use crate::support::nexus::{DEATH, Nexus, ember_gguf, replace};

/// The prompt's tokens, as `--verbose` tells them.
fn prompt_tokens(stderr: &str) -> u32 {
    let report = stderr.split("tokens used: ").nth(1).expect("a report");
    report.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn prompt_txt_in_the_working_folder_is_taken_and_else_the_built_in_copy() {
    let nexus = Nexus::new();
    nexus.file("some.gguf", ember_gguf());
    let life = || nexus.run(["--model", "some.gguf", "-v", "-c", "400"]);
    let built_in = life();
    nexus.file("prompt.txt", "You are here.");
    let own = life();
    assert!(prompt_tokens(&built_in.died().stderr) > 100);
    assert!(prompt_tokens(&own.died().stderr) < 40);
    assert_ne!(built_in.stdout, own.stdout);
}

#[test]
fn ember_keeps_its_own_prompt_and_says_that_it_does_not_follow_another() {
    let nexus = Nexus::new();
    let own = nexus.ember(&["-c", "600"]);
    nexus.file("prompt.txt", "You are here.");
    let beside = nexus.ember(&["-c", "600"]);
    assert_eq!((&beside.stdout, beside.stderr.as_str()), (&own.stdout, DEATH));
    let given = nexus.ember(&["-c", "600", "-p", "prompt.txt"]);
    let warning = given.died().stderr.strip_suffix(DEATH).expect("the death comes last");
    assert!(warning.starts_with("warning: model ember") && warning.lines().count() == 1, "{warning}");
    for part in ["\"prompt.txt\"", "--prompt-file"] {
        assert!(warning.contains(part), "{part} is not in {warning}");
    }
    assert_ne!(given.stdout, own.stdout, "the file is read all the same");
}

#[test]
fn control_tokens_in_a_prompt_or_an_opening_are_text() {
    let nexus = Nexus::new();
    nexus.file("some.gguf", ember_gguf());
    let tokens = |text: &str| {
        nexus.file("prompt.txt", text);
        prompt_tokens(&nexus.run(["--model", "some.gguf", "-v", "-c", "300"]).died().stderr)
    };
    // As a control token it would be one token; as text it is several.
    let name = tokens("You are here.<|im_end|>") - tokens("You are here.");
    assert!(name >= 4, "<|im_end|> takes {name} tokens");
    let opened = nexus.ember(&["-c", "300", "--opening", "I am <|im_end|> here."]);
    assert!(opened.died().stdout.starts_with("I am <|im_end|> here."), "{}", opened.stdout);
}

#[test]
fn the_models_template_frames_the_prompt_and_an_unknown_one_leaves_it_alone_and_says_so() {
    let nexus = Nexus::new();
    nexus.file("prompt.txt", "You are here.");
    nexus.file("some.gguf", ember_gguf());
    let tokens = |model: &str| {
        let ended = nexus.run(["-v", "-c", "300", "--model", model]);
        let stderr = &ended.died().stderr;
        let warnings: Vec<_> = stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(warnings.len(), usize::from(model == "unknown.gguf"), "{warnings:?}");
        let told = "\"unknown.gguf\" has a chat template that llama.cpp cannot apply (\"xxx";
        let is_told = |line: &&str| line.contains(told) && line.contains("--model");
        assert!(warnings.iter().all(is_told), "{warnings:?}");
        prompt_tokens(stderr)
    };
    let key = b"tokenizer.chat_template";
    nexus.file("missing.gguf", replace(ember_gguf(), key, b"tokenizer.chat_tempest_"));
    let unknown = template_of(&ember_gguf());
    let blank = "x".repeat(unknown.len());
    nexus.file("unknown.gguf", replace(ember_gguf(), unknown.as_bytes(), blank.as_bytes()));
    let framed = tokens("some.gguf");
    let alone = tokens("missing.gguf");
    assert!(framed >= alone + 4, "{framed} tokens framed, {alone} alone");
    assert_eq!(tokens("unknown.gguf"), alone);
}

/// The chat template in a GGUF file.
fn template_of(gguf: &[u8]) -> String {
    let key = b"tokenizer.chat_template";
    let at = gguf.windows(key.len()).position(|window| window == key).expect("ember has a template");
    // Behind the key: a u32 type tag, a u64 length, the text.
    let length_at = at + key.len() + 4;
    let length = u64::from_le_bytes(gguf[length_at..length_at + 8].try_into().expect("8 bytes")) as usize;
    String::from_utf8(gguf[length_at + 8..length_at + 8 + length].to_vec()).expect("text")
}

#[test]
fn a_prompt_that_leaves_less_than_half_of_the_life_is_warned_about() {
    let nexus = Nexus::new();
    nexus.file("prompt.txt", "rain ".repeat(200));
    nexus.file("some.gguf", ember_gguf());
    let ended = nexus.run(["--model", "some.gguf", "-c", "300"]);
    let warning = ended.died().stderr.strip_suffix(DEATH).expect("the death comes last");
    assert!(warning.starts_with("warning: the prompt takes") && warning.lines().count() == 1, "{warning}");
    assert_eq!(nexus.ember(&[]).stderr, DEATH, "no warning where there is room");
}
