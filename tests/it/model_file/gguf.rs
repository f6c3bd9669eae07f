//! A model file that is damaged, or for another purpose, is refused in one line
//! that says why; so is one at which llama.cpp ends the process. Files as
//! converters write them are accepted.

use std::fs::File;
use std::io::Write;

use tempfile::NamedTempFile;

use torment_nexus::model_file::gguf;

use crate::support::gguf_file::{BOOL, Gguf, STRING, Tensor, U8, U32, Value};
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
    gguf::check_path(&path).expect("it is whole");
    let file = File::options().write(true).open(&path).expect("a file");
    for length in (0..whole.len() as u64).rev().filter(|length| length % 997 == 0 || *length < 300) {
        file.set_len(length).expect("it is cut short");
        gguf::check_path(&path).expect_err("it is cut short");
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
    for kind in [4, 31, 43, u32::MAX] {
        let withdrawn = ember(|gguf| gguf.tensors[0].kind = kind);
        refused(withdrawn, &[&format!("type {kind}, which no weights have")]);
    }
    let deep = Value::array(9, 1, &[0; 12]);
    refused(with("mind.list", deep), &["mind.list", "no type"]);
}

#[test]
fn an_architecture_that_llama_cpp_does_not_know() {
    refused(ember(|gguf| _ = gguf.rename_architecture("mango")), &["unknown model architecture: 'mango'"]);
    refused(ember(|gguf| _ = gguf.remove("general.architecture")), &["unknown model architecture: ''"]);
}

#[test]
fn a_model_for_another_purpose() {
    for (architecture, what) in [
        ("bert", "embedding"),
        ("nomic-bert", "embedding"),
        ("gemma-embedding", "embedding"),
        ("clip", "vision"),
    ] {
        refused(ember(|gguf| _ = gguf.rename_architecture(architecture)), &[what, "writes text"]);
    }
    for (kind, what) in
        [("adapter", "adapter (LoRA)"), ("mmproj", "vision"), ("imatrix", "importance matrix")]
    {
        refused(with("general.type", Value::text(kind)), &[what, "writes text"]);
    }
    refused(with("llama.pooling_type", Value::u32(3)), &["embedding", "pooling"]);
    refused(with("llama.attention.causal", Value::bool(false)), &["not causal"]);
}

#[test]
fn a_part_of_a_model() {
    refused(with("split.count", Value::u16(3)), &["one of the 3 parts", "--merge"]);
}

/// As llama.cpp's repository has them: nothing follows the keys, not even the
/// padding.
#[test]
fn a_vocabulary_without_a_model() {
    let mut vocabulary = Gguf::ember();
    vocabulary.alignment = 1;
    vocabulary.tensors.clear();
    refused(vocabulary.header(), &["no weights, only a vocabulary", "writes text"]);
}

#[test]
fn a_pointer_of_git_lfs_in_place_of_a_model() {
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 105454432\n",
        "2e8040ceae7815abe0dcb3540b9995eaa1fd0d2ca9e797d0a635ae4433c68c2d"
    );
    refused(pointer, &["Git LFS pointer", "git lfs pull", "the file itself"]);
}

#[test]
fn weights_that_are_no_numbers() {
    for (byte, reason) in [(0xFF, "no finite numbers"), (0, "the same number for every token")] {
        refused_weights(ember(|gguf| gguf.data.fill(byte)), reason);
    }
    // One infinite weight of the output norm.
    let one = ember(|gguf| {
        let tensor =
            gguf.tensors.iter().find(|tensor| tensor.name == b"output_norm.weight").expect("it is there");
        let at = tensor.offset as usize;
        gguf.data[at..at + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    refused_weights(one, "no finite numbers");
}

#[track_caller]
fn refused_weights(bytes: Vec<u8>, reason: &str) {
    let nexus = Nexus::new();
    nexus.file("mind.gguf", bytes);
    for sampling in [&[][..], &["--temp", "0.8"], &["--dry-multiplier", "0.8"]] {
        let ended = nexus.run(["-m", "mind.gguf", "-c", "600"].iter().chain(sampling));
        assert_eq!(ended.code, Some(1), "{sampling:?}: {}", ended.stderr);
        let fault: Vec<_> = ended.stderr.lines().collect();
        assert!(
            matches!(fault[..], [line] if line.starts_with("error: ") && line.contains(reason)),
            "{fault:?}"
        );
    }
}

/// Ember's file after `change` of its vocabulary.
fn with_tokens(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    ember(|gguf| {
        let mut tokens = gguf.get("tokenizer.ggml.tokens").to_texts();
        change(&mut tokens);
        gguf.set("tokenizer.ggml.tokens", Value::texts(&tokens));
    })
}

/// The program's end is a line, whatever the end of llama.cpp is: with the
/// user's model that made it so, and no path of the machine that built it.
#[track_caller]
fn caught(bytes: impl AsRef<[u8]>, reason: &str) {
    let ended = run(bytes);
    ended.failed(1, &["llama.cpp cannot go on with model \"mind.gguf\"", reason, "--model ember"]);
    assert!(!ended.stderr.contains("/src/"), "{}", ended.stderr);
}

#[test]
fn an_assertion_that_fails_while_a_model_is_loaded() {
    let key = |key: &str, value: u32| with(&format!("llama.{key}"), Value::u32(value));
    caught(key("block_count", 0), "n_layer_all > 0");
    caught(key("block_count", 513), "n_layer_all <= LLAMA_MAX_LAYERS");
    caught(key("expert_count", 1025), "LLAMA_MAX_EXPERTS");
    caught(with("llama.rope.scaling.type", Value::text("su")), "rope_scaling_type_train");
    caught(with_tokens(|tokens| tokens[5] = tokens[6].clone()), "token_to_id.size()");
}

#[test]
fn an_assertion_that_fails_in_the_text_itself() {
    for model in ["none", "no_vocab"] {
        caught(with("tokenizer.ggml.model", Value::text(model)), "LLAMA_VOCAB_TYPE_NONE");
    }
    // Values that are shorter than keys, where the graph takes them for equal.
    let short = ember(|gguf| {
        gguf.rename_architecture("gemma");
        gguf.set("gemma.attention.key_length", Value::u32(64));
        gguf.set("gemma.attention.value_length", Value::u32(32));
        for layer in 0..5 {
            gguf.tensor(&format!("blk.{layer}.attn_v.weight"), |tensor| tensor.sizes[1] = 64);
        }
    });
    caught(short, "GGML_ASSERT");
}

/// SentencePiece without its tokens for bytes.
#[test]
fn an_exception_that_llama_cpp_does_not_catch() {
    caught(with("tokenizer.ggml.model", Value::text("llama")), "an exception of C++");
}

/// Weights of integers: ggml has no product for them, and calls a null pointer.
#[test]
fn a_call_through_a_null_pointer() {
    let integers = ember(|gguf| _ = gguf.tensor("blk.0.attn_q.weight", |tensor| tensor.kind = 26));
    caught(integers, "SIGSEGV");
}

#[test]
fn a_name_out_of_the_file_cannot_command_the_terminal() {
    let ended = run(ember(|gguf| _ = gguf.rename_architecture("\x1b[2Jmango")));
    ended.failed(1, &["mango"]);
    assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
}

/// A header with the shape of a known model, in a sparse file of the length
/// that it declares: no weight is read.
struct Shape(Gguf);

impl Shape {
    fn new(architecture: &str, keys: &[(&str, u32)]) -> Self {
        let mut gguf = Gguf::empty();
        gguf.set("general.architecture", Value::text(architecture)).set("general.type", Value::text("model"));
        for (key, value) in keys {
            gguf.set(&format!("{architecture}.{key}"), Value::u32(*value));
        }
        gguf.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), Value::f32(1e-5));
        Self(gguf)
    }

    /// A byte-level vocabulary.
    fn bpe(mut self, tokens: usize, pre: &str) -> Self {
        let tokens: Vec<_> = (0..tokens).map(|id| format!("\u{120}w{id}")).collect();
        let merges: Vec<_> = tokens.iter().map(|token| format!("\u{120} {token}")).collect();
        self.0
            .set("tokenizer.ggml.model", Value::text("gpt2"))
            .set("tokenizer.ggml.pre", Value::text(pre))
            .set("tokenizer.ggml.tokens", Value::texts(&tokens))
            .set("tokenizer.ggml.merges", Value::texts(&merges));
        self
    }

    /// A SentencePiece vocabulary with its byte tokens.
    fn spm(mut self, tokens: usize) -> Self {
        let mut texts: Vec<_> = ["<unk>", "<s>", "</s>"].map(|text| text.as_bytes().to_vec()).into();
        texts.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>").into_bytes()));
        // Converters keep invalid UTF-8, and pad with unused tokens.
        texts.extend([b"\xff\xfe".to_vec(), b"\xe2\x96\x81".to_vec(), b"a\xcc\x81".to_vec(), Vec::new()]);
        texts.extend((texts.len()..tokens).map(|id| format!("\u{2581}w{id}").into_bytes()));
        self.0
            .set("tokenizer.ggml.model", Value::text("llama"))
            .set("tokenizer.ggml.tokens", Value::texts(&texts))
            .set("tokenizer.ggml.scores", Value::f32s(&vec![-1e4; texts.len()]))
            .set("tokenizer.ggml.token_type", Value::i32s(&vec![1; texts.len()]))
            .set("tokenizer.ggml.add_bos_token", Value::bool(true))
            .set("tokenizer.ggml.bos_token_id", Value::u32(1));
        self
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.0.set(key, value);
        self
    }

    fn tensor(mut self, name: &str, sizes: &[u64], kind: u32) -> Self {
        self.0.tensors.push(Tensor { name: name.into(), sizes: sizes.into(), kind, offset: 0 });
        self
    }

    #[track_caller]
    fn passes(mut self) {
        let end = self.0.lay_out().data_end();
        let file = NamedTempFile::new().expect("a temporary file");
        let header = self.0.header();
        file.as_file().write_all(&header).expect("room for a header");
        file.as_file().set_len(header.len() as u64 + end).expect("room for nothing");
        gguf::check_path(file.path()).expect("a sound file");
        // One byte less is refused.
        file.as_file().set_len(header.len() as u64 + end - 1).expect("room for nothing");
        gguf::check_path(file.path()).expect_err("it is cut short");
    }
}

const F32: u32 = 0;
const Q8_0: u32 = 8;
const Q4_K: u32 = 12;
const IQ3_XXS: u32 = 18;

#[test]
fn files_as_converters_write_them_pass() {
    // SmolLM2-135M-Instruct: tied output, no rope scaling.
    let smollm2 = [
        ("context_length", 8192),
        ("embedding_length", 576),
        ("block_count", 30),
        ("feed_forward_length", 1536),
        ("attention.head_count", 9),
        ("attention.head_count_kv", 3),
        ("rope.dimension_count", 64),
        ("vocab_size", 49152),
    ];
    Shape::new("llama", &smollm2)
        .bpe(49152, "smollm")
        .set("tokenizer.ggml.add_bos_token", Value::bool(false))
        .tensor("token_embd.weight", &[576, 49152], Q8_0)
        .tensor("output_norm.weight", &[576], F32)
        .passes();
    // Qwen2.5-0.5B: biases, a split count of 1.
    Shape::new("qwen2", &[("embedding_length", 896)])
        .bpe(151_936, "qwen2")
        .set("split.count", Value::u16(1))
        .set("general.alignment", Value::u32(32))
        .tensor("token_embd.weight", &[896, 151_936], Q8_0)
        .tensor("blk.0.attn_q.bias", &[896], F32)
        .passes();
    // Gemma 3: SentencePiece.
    Shape::new("gemma3", &[("embedding_length", 640), ("attention.sliding_window", 512)])
        .spm(262_144)
        .tensor("token_embd.weight", &[640, 262_144], Q8_0)
        .passes();
    // Deci: a head count for each layer, 0 in some; no pooling, causal.
    Shape::new("deci", &[("embedding_length", 4096), ("pooling_type", 0)])
        .bpe(1000, "llama-bpe")
        .set("deci.attention.head_count", Value::i32s(&[32, 0, 32, 32]))
        .set("deci.attention.causal", Value::bool(true))
        .tensor("blk.0.ffn_down.weight", &[4096, 4096], IQ3_XXS)
        .passes();
    // DeepSeek: experts in a third dimension.
    Shape::new("deepseek2", &[("embedding_length", 2048)])
        .bpe(1000, "deepseek-llm")
        .tensor("blk.1.ffn_up_exps.weight", &[2048, 1408, 64], Q4_K)
        .passes();
}

#[test]
fn weights_may_be_aligned_further_apart() {
    for alignment in [32, 64, 4096] {
        let mut shape = Shape::new("llama", &[]).bpe(1000, "smollm");
        shape.0.alignment = alignment;
        shape
            .set("general.alignment", Value::u32(alignment as u32))
            .tensor("output_norm.weight", &[576], F32)
            .tensor("token_embd.weight", &[576, 1000], Q8_0)
            .passes();
    }
}
