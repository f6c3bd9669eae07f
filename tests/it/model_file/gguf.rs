//! A model file that is damaged, or for another purpose, is refused in one line
//! that says why; so is one at which llama.cpp ends the process. Files as
//! converters write them are accepted.

use std::fs::File;

use model_file::gguf::{self, Purpose};

use crate::support::gguf_file::{BOOL, Gguf, STRING, U8, U32, Value};
use crate::support::nexus::{Ended, Nexus, ember_gguf};

/// Runs the program with this model file.
fn run(bytes: impl AsRef<[u8]>) -> Ended {
    let nexus = Nexus::new();
    nexus.file("mind.gguf", bytes);
    nexus.run(["-m", "mind.gguf", "-c", "600"])
}

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, parts: &[&str]) {
    let ended = run(bytes);
    ended.failed(1, &["\"mind.gguf\"", "--model ember"]);
    ended.failed(1, parts);
}

/// Ember's file after `change`.
fn ember(change: impl FnOnce(&mut Gguf)) -> Vec<u8> {
    let mut gguf = Gguf::ember();
    change(&mut gguf);
    gguf.bytes()
}

/// Ember with one key set.
fn with(key: &str, value: Value) -> Vec<u8> {
    ember(|gguf| _ = gguf.set(key, value))
}

#[test]
fn ember_taken_apart_and_put_together_is_ember() {
    assert!(ember(|_| ()) == ember_gguf());
    run(ember_gguf()).died();
}

#[test]
fn a_file_that_is_cut_short_anywhere() {
    let whole = ember_gguf();
    let header = Gguf::ember().header().len();
    for length in [5, 23, 24, 1000, 40_000, header - 40] {
        refused(&whole[..length], &["cut short"]);
    }
    for length in [header + 1, 1_000_000, whole.len() - 1] {
        let told = format!("{} bytes and it has {length}", whole.len());
        refused(&whole[..length], &["cut short", &told, "download or copy it again"]);
    }
    let nexus = Nexus::new();
    let path = nexus.file("mind.gguf", &whole);
    gguf::check_path(&path, Purpose::Model).expect("it is whole");
    let file = File::options().write(true).open(&path).expect("a file");
    for length in (0..whole.len() as u64).rev().filter(|length| length % 997 == 0 || *length < 300) {
        file.set_len(length).expect("it is cut short");
        gguf::check_path(&path, Purpose::Model).expect_err("it is cut short");
    }
}

#[test]
fn a_header_with_a_flipped_bit() {
    let whole = ember_gguf();
    // The first 32 bytes are magic, version, counts and the length of the first
    // key: every bit of them matters.
    for bit in (0..8 * 32).step_by(3) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(flipped, &[]);
    }
}

#[test]
fn a_header_that_declares_more_than_there_is() {
    for count in [1 << 20, 1 << 32, i64::MAX as u64, u64::MAX] {
        refused(ember(|gguf| gguf.key_count = Some(count)), &["header"]);
        refused(ember(|gguf| gguf.tensor_count = Some(count)), &["header"]);
        for kind in [U8, BOOL, U32, STRING] {
            refused(with("mind.list", Value::array(kind, count << 3, b"")), &["cut short or damaged"]);
        }
        let text = Value { kind: STRING, bytes: count.to_le_bytes().into() };
        refused(with("mind.text", text), &["cut short or damaged"]);
        refused(ember(|gguf| gguf.tensors[0].sizes[1] = count), &[]);
    }
    for kind in [4, 43, u32::MAX] {
        let unknown = ember(|gguf| gguf.tensors[0].kind = kind);
        refused(unknown, &[&format!("type {kind}, which no weights have")]);
    }
    let deep = Value::array(9, 1, &[0; 12]);
    refused(with("mind.list", deep), &["mind.list", "no type"]);
}

#[test]
fn an_architecture_that_llama_cpp_does_not_know() {
    refused(of_architecture("mango"), &["unknown model architecture: 'mango'"]);
    refused(ember(|gguf| _ = gguf.remove("general.architecture")), &["unknown model architecture: ''"]);
    let ended = run(of_architecture("\x1b[2Jmango"));
    ended.failed(1, &["mango"]);
    assert!(!ended.stderr.contains('\x1b'), "it commands the terminal: {:?}", ended.stderr);
}

fn of_architecture(name: &str) -> Vec<u8> {
    ember(|gguf| _ = gguf.rename_architecture(name))
}

#[test]
fn what_people_take_for_a_model_is_said_to_be_what_it_is() {
    let kind = |name| with("general.type", Value::text(name));
    let embeddings = ["bert", "nomic-bert", "gemma-embedding"].map(of_architecture);
    embeddings.into_iter().for_each(|bytes| refused(bytes, &["embedding", "writes text"]));
    // As in llama.cpp's repository: nothing follows the keys, not even the padding.
    let vocabulary = Gguf { alignment: 1, tensors: Vec::new(), ..Gguf::ember() };
    let withdrawn = |kind| ember(|gguf| gguf.tensors[0].kind = kind);
    for (bytes, parts) in [
        (of_architecture("clip"), &["vision", "writes text"][..]),
        (kind("adapter"), &["adapter (LoRA)", "writes text"]),
        (kind("mmproj"), &["vision", "writes text"]),
        (kind("imatrix"), &["importance matrix", "writes text"]),
        (with("llama.pooling_type", Value::u32(3)), &["embedding", "pooling"]),
        (with("llama.attention.causal", Value::bool(false)), &["not causal"]),
        (with("split.count", Value::u16(3)), &["one of the 3 parts", "--merge"]),
        (vocabulary.header(), &["no weights, only a vocabulary", "writes text"]),
        (withdrawn(31), &["Q4_0_4_4, which was withdrawn", "take the Q4_0 file"]),
        (withdrawn(38), &["IQ4_NL_8_8, which was withdrawn", "take the IQ4_NL file"]),
        (b"version https://git-lfs.github.com/spec/v1\n".into(), &["Git LFS pointer", "the file itself"]),
        (b"/annex/objects/SHA256E-s9--ab.gguf\n".into(), &["git-annex pointer", "the file itself"]),
        (b"# xet version 0\n".into(), &["Xet pointer", "the file itself"]),
    ] {
        refused(bytes, parts);
    }
}

#[test]
fn weights_that_are_no_numbers() {
    // One infinite weight of the output norm.
    let one = ember(|gguf| {
        let norm = gguf.tensors.iter().find(|tensor| tensor.name == b"output_norm.weight");
        let at = norm.expect("it is there").offset as usize;
        gguf.data[at..at + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    let all = |byte| ember(|gguf| gguf.data.fill(byte));
    let none = "no finite numbers";
    for (bytes, reason) in [(all(0xFF), none), (all(0), "the same number for every token"), (one, none)] {
        let nexus = Nexus::new();
        nexus.file("mind.gguf", bytes);
        for sampling in [&[][..], &["--temp", "0.8"], &["--dry-multiplier", "0.8"]] {
            let ended = nexus.run(["-m", "mind.gguf", "-c", "600"].iter().chain(sampling));
            // A life that has begun has said a line break.
            Ended { stdout: String::new(), ..ended }.failed(1, &[reason]);
        }
    }
}

/// The program's end is a line, whatever the end of llama.cpp is: with the
/// user's model that made it so, and no path of the machine that built it.
#[test]
fn whatever_llama_cpp_ends_with_while_it_uses_a_model_is_told_with_the_models_name() {
    let key = |key: &str, value: u32| with(&format!("llama.{key}"), Value::u32(value));
    let vocabulary = |name| with("tokenizer.ggml.model", Value::text(name));
    let repeated = ember(|gguf| {
        let mut tokens = gguf.get("tokenizer.ggml.tokens").to_texts();
        tokens[5] = tokens[6].clone();
        gguf.set("tokenizer.ggml.tokens", Value::texts(&tokens));
    });
    // Values that are shorter than keys, where the graph takes them for equal.
    let short = ember(|gguf| {
        gguf.rename_architecture("gemma");
        gguf.set("gemma.attention.key_length", Value::u32(64));
        gguf.set("gemma.attention.value_length", Value::u32(32));
        for layer in 0..5 {
            gguf.tensor(&format!("blk.{layer}.attn_v.weight"), |tensor| tensor.sizes[1] = 64);
        }
    });
    // ggml has no product for integers, and calls a null pointer.
    let integers = ember(|gguf| _ = gguf.tensor("blk.0.attn_q.weight", |tensor| tensor.kind = 26));
    for (bytes, reason) in [
        // While it is loaded.
        (key("block_count", 0), "n_layer_all > 0"),
        (key("block_count", 513), "n_layer_all <= LLAMA_MAX_LAYERS"),
        (key("expert_count", 1025), "LLAMA_MAX_EXPERTS"),
        (with("llama.rope.scaling.type", Value::text("su")), "rope_scaling_type_train"),
        (repeated, "token_to_id.size()"),
        // In the text itself.
        (vocabulary("none"), "LLAMA_VOCAB_TYPE_NONE"),
        (vocabulary("no_vocab"), "LLAMA_VOCAB_TYPE_NONE"),
        (short, "GGML_ASSERT"),
        // SentencePiece without its tokens for bytes.
        (vocabulary("llama"), "an exception of C++"),
        (integers, "SIGSEGV"),
    ] {
        let ended = run(bytes);
        ended.failed(1, &["llama.cpp cannot go on with model \"mind.gguf\"", reason, "--model ember"]);
        assert!(!ended.stderr.contains("/src/"), "{}", ended.stderr);
    }
}

/// The weights are a hole in the file: none is read.
#[test]
fn a_file_as_converters_write_it_passes_however_far_apart_its_weights_are() {
    for alignment in [32, 64, 4096] {
        let mut gguf = Gguf { alignment, ..Gguf::empty() };
        gguf.set("general.architecture", Value::text("deci"))
            .set("general.type", Value::text("model"))
            .set("general.alignment", Value::u32(alignment as u32))
            .set("split.count", Value::u16(1))
            .set("deci.context_length", Value::u32(8192))
            .set("deci.pooling_type", Value::u32(0))
            .set("deci.attention.causal", Value::bool(true))
            // A number for each layer.
            .set("deci.attention.head_count", Value::i32s(&[32, 0, 32, 32]))
            // Converters keep invalid UTF-8, and pad with unused tokens.
            .set("tokenizer.ggml.tokens", Value::texts(&[&b"<unk>"[..], b"\xff\xfe", b"a\xcc\x81", b""]))
            // Q8_0, F32, IQ3_XXS, and experts of Q4_K.
            .add("token_embd.weight", &[576, 49152], 8)
            .add("output_norm.weight", &[576], 0)
            .add("blk.0.ffn_down.weight", &[4096, 4096], 18)
            .add("blk.1.ffn_up_exps.weight", &[2048, 1408, 64], 12);
        let nexus = Nexus::new();
        let file = gguf.lay_out().write_with_a_hole(&nexus.path("mind.gguf"));
        gguf::check_path(&nexus.path("mind.gguf"), Purpose::Model).expect("a sound file");
        let length = file.metadata().expect("a file").len();
        file.set_len(length - 1).expect("it is cut short");
        gguf::check_path(&nexus.path("mind.gguf"), Purpose::Model).expect_err("one byte less");
    }
}
