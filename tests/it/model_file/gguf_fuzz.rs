//! Fuzzing with mutated headers of ember. Each file is given to a process of
//! its own, which must either refuse it in one line and with exit status 1, or
//! live a whole life.
//!
//! `GGUF_FUZZ=FROM..TO cargo test --release gguf_fuzz` runs those cases instead
//! of the first 3,000: a failure names its case. `GGUF_FUZZ_KEEP=FOLDER` keeps
//! the files of those that fail. `GGUF_FUZZ_MODEL=FILE` mutates the header of
//! that file; its weights are then zeros that take no room on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;

use crate::support::gguf_file::{ARRAY, BOOL, F32, Gguf, I32, STRING, Tensor, U8, U16, U32, U64, Value};
use crate::support::nexus::{DEATH, Nexus, ember_gguf};

/// Cases of a normal test run: some 40 s on two cores.
const CASES: Range<u64> = 0..3000;

/// Address space of a child, in KiB: what the board has in memory. A life of
/// ember takes less than 200 MB of it.
const ADDRESS_SPACE: u64 = 416 << 10;

/// A case takes some 30 ms; this only turns a hang into a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Pseudo-random numbers (SplitMix64), so that the cases are the same on every
/// machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A random word of a list.
    fn word(&mut self, list: &'static str) -> &'static str {
        let words: Vec<_> = list.split(' ').collect();
        words[self.below(words.len())]
    }

    /// A random key of `lists`, and its type.
    fn key(&mut self, lists: &[(u32, &'static str)]) -> (u32, &'static str) {
        let keys: Vec<_> =
            lists.iter().flat_map(|&(kind, keys)| keys.split(' ').map(move |key| (kind, key))).collect();
        keys[self.below(keys.len())]
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

const NUMBERS: [u64; 40] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    11,
    12,
    16,
    31,
    32,
    33,
    63,
    64,
    65,
    96,
    127,
    128,
    255,
    256,
    257,
    511,
    512,
    513,
    1024,
    2047,
    2048,
    4096,
    65_535,
    65_536,
    1 << 20,
    i32::MAX as u64,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    u64::MAX,
];

const FLOATS: [f32; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-5,
    1e-38,
    1e38,
    -1e-5,
    1e6,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
];

const TOKENIZERS: &str =
    "llama gpt2 bert t5 rwkv plamo2 none no_vocab test gemma4 hybriddna whitespace mango";

/// Values of `tokenizer.ggml.pre`, one for each branch in llama.cpp.
const PRE_TOKENIZERS: &str = "default minicpm5 llama-bpe deepseek-llm deepseek-coder deepseek-v3 spark2_5 youtu falcon mpt \
    starcoder gpt-2 jais-2 gemma4 mmbert sarvam-moe jina-v1-en whitespace refact command-r qwen2 qwen35 \
    stablelm2 olmo dbrx smaug-bpe poro-chat chatglm-bpe glm4 viking jais tekken smollm codeshell bloom \
    gpt3-finnish exaone exaone4 exaone-moe chameleon minerva-7b megrez gpt-4o granite-embed-multi-97m \
    tiny_aya superbpe trillion granite-docling bailingmoe seed-coder hunyuan hunyuan-dense hy_v4 \
    joyai-llm kimi-k2 ufakzeka grok-2 afmoe laguna minimax-m2 solar-open mellum2";

/// Architectures that can load ember's tensors, with the further tensors that
/// each needs.
const KIN: [(&str, &[&str]); 5] = [
    ("llama llama qwen2 gemma minicpm exaone ernie4_5 smollm3 mistral3 nanbeige deci refact", &[]),
    ("internlm2 xverse baichuan plamo olmoe", &["output"]),
    ("qwen3 qwen3 hunyuan-dense hunyuan_vl maincoder", &["attn_q_norm", "attn_k_norm"]),
    ("gemma3 gemma3 exaone4", &["attn_q_norm", "attn_k_norm", "post_attention_norm", "post_ffw_norm"]),
    ("gemma2 glm4 seed_oss", &["post_attention_norm", "post_ffw_norm"]),
];

/// The names of all architectures that llama.cpp knows, and some that it does
/// not.
const ARCHITECTURES: &str = "afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bert bitnet bloom \
    chameleon chatglm clef clip codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek \
    deepseek2 deepseek2-ocr deepseek32 deepseek4 dflash dots1 dots3note dream eagle3 ernie4_5 \
    ernie4_5-moe eurobert exaone exaone-moe exaone4 falcon falcon-h1 gemma gemma-embedding gemma2 gemma3 \
    gemma3n gemma4 gemma4-assistant glm-dsa glm4 glm4moe glm5-next gpt-oss gpt2 gptj gptneox granite \
    granite_swa granitehybrid granitemoe graniteswitch grok grovemoe hrm_text hunyuan-dense hunyuan-moe \
    hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2 jamba jina-bert-v2 jina-bert-v3 kimi-k3 kimi-linear \
    laguna lfm2 lfm2moe llada llada-moe llama llama-embed llama4 maincoder mamba mamba2 maple mellum \
    mimo2 minicpm minicpm3 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4 modern-bert mpt \
    muse-glimmer nanbeige nemotron nemotron_h nemotron_h_moe neo-bert nomic-bert nomic-bert-moe olmo \
    olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo2 plamo3 plm \
    pockettts qwen qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3tts qwen3vl \
    qwen3vlmoe qwen4exp refact rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3 spark2_5 \
    stablelm starcoder starcoder2 step35 t5 t5encoder talkie wavtokenizer-dec xverse (unknown) mango";

/// Keys that ember does not have, to be prefixed with its architecture, and
/// their types.
const MORE_KEYS: [(u32, &str); 5] = [
    (
        U32,
        "expert_count expert_used_count expert_group_count expert_group_used_count \
         expert_shared_count expert_feed_forward_length expert_shared_feed_forward_length \
         expert_gating_func nextn_predict_layers rope.scaling.original_context_length \
         rope.dimension_count_swa attention.key_length attention.value_length \
         attention.key_length_swa attention.value_length_swa attention.key_length_mla \
         attention.value_length_mla attention.sliding_window attention.temperature_length \
         attention.shared_kv_layers pooling_type embedding_length_out leading_dense_block_count \
         interleave_moe_layer_step decoder_start_token_id ssm.conv_kernel ssm.inner_size \
         ssm.state_size ssm.time_step_rank ssm.group_count wkv.head_size token_shift_count vocab_size \
         attention.head_count_kv n_deepstack_layers full_attention_interval dense_2_feat_in \
         attention.indexer.head_count",
    ),
    (
        F32,
        "expert_weights_scale rope.scaling.factor rope.scaling.attn_factor \
         rope.scaling.yarn_log_multiplier rope.scaling.alpha rope.scaling.yarn_ext_factor \
         rope.scaling.yarn_beta_fast rope.scale_linear rope.freq_base_swa \
         attention.layer_norm_epsilon attention.group_norm_epsilon attention.scale \
         attention.max_alibi_bias attention.clamp_kqv attention.temperature_scale \
         attention.output_scale embedding_scale residual_scale logit_scale attn_logit_softcapping \
         final_logit_softcapping",
    ),
    (STRING, "rope.scaling.type tensor_data_layout hidden_activation"),
    (BOOL, "rope.scaling.finetuned attention.causal use_parallel_residual swin_norm"),
    (
        ARRAY,
        "rope.dimension_sections attention.sliding_window_pattern classifier.output_labels \
         attention.head_count attention.head_count_kv feed_forward_length deepstack_mapping \
         swiglu_clamp_exp",
    ),
];

const MORE_GENERAL_KEYS: [(u32, &str); 7] = [
    (
        U32,
        "general.alignment general.quantization_version tokenizer.ggml.unknown_token_id \
         tokenizer.ggml.seperator_token_id tokenizer.ggml.mask_token_id tokenizer.ggml.eom_token_id \
         tokenizer.ggml.fim_pre_token_id tokenizer.ggml.fim_pad_token_id \
         tokenizer.ggml.prefix_token_id tokenizer.ggml.token_type_count general.file_type",
    ),
    (
        STRING,
        "general.type tokenizer.rwkv.world tokenizer.chat_template general.name tokenizer.ggml.pre \
         tokenizer.ggml.model",
    ),
    (U16, "split.count split.no"),
    (I32, "split.tensors.count"),
    (F32, "general.sampling.temp"),
    (
        ARRAY,
        "tokenizer.ggml.scores tokenizer.ggml.precompiled_charsmap tokenizer.ggml.suppress_tokens \
         tokenizer.ggml.added_tokens tokenizer.chat_templates",
    ),
    (
        BOOL,
        "tokenizer.ggml.add_bos_token tokenizer.ggml.add_eos_token tokenizer.ggml.add_sep_token \
         tokenizer.ggml.add_space_prefix tokenizer.ggml.remove_extra_whitespaces \
         tokenizer.ggml.normalizer.lowercase",
    ),
];

const TEXTS: [&str; 36] = [
    "",
    "a",
    "\0",
    "none",
    "linear",
    "yarn",
    "longrope",
    "su",
    "phi-3",
    "phi3",
    "modern-bert",
    "model",
    "adapter",
    "mmproj",
    "imatrix",
    "{% for %}",
    "<|im_start|>",
    "[INST]",
    "<<SYS>>",
    "<start_of_turn>",
    "<|user|>",
    "<|assistant|> <|end|>",
    "<|start_header_id|> <|end_header_id|>",
    "### Instruction: <|EOT|>",
    "GPT4 Correct",
    "USER: ASSISTANT:",
    "<|START_OF_TURN_TOKEN|>",
    "[gMASK]sop",
    "<|role_start|>",
    "gelu",
    "llama",
    "gpt2",
    "\u{e9}\u{4e2d}\u{1f600}",
    "<reserved_106>",
    "bos_token message['role']",
    "]~!b[",
];

/// More than the header of any model that fits the board.
const MOST_HEADER: u64 = 32 << 20;

/// The header of the model that `GGUF_FUZZ_MODEL` names.
fn given_model() -> Option<Gguf> {
    let path = std::env::var_os("GGUF_FUZZ_MODEL")?;
    let mut bytes = Vec::new();
    let file = fs::File::open(path).expect("GGUF_FUZZ_MODEL is a file");
    file.take(MOST_HEADER).read_to_end(&mut bytes).expect("it can be read");
    Some(Gguf { data: Vec::new(), ..Gguf::of(&bytes) })
}

/// A mutated header of `model`, and the length of the file with its weights.
fn case_of(model: &Gguf, number: u64) -> (Vec<u8>, u64) {
    let mut dice = Dice(number.wrapping_mul(0xD134_2543_DE82_EF95));
    let mut gguf = model.clone();
    for _ in 0..*dice.pick(&[0, 1, 1, 1, 1, 2, 2, 3, 5]) {
        mutate(&mut gguf, &mut dice);
    }
    let header = gguf.header();
    let length = (header.len() as u64).saturating_add(gguf.data_end()).min(1 << 32);
    (header, length)
}

/// One mutated file.
fn case(number: u64) -> Vec<u8> {
    let mut dice = Dice(number.wrapping_mul(0xD134_2543_DE82_EF95));
    match dice.below(10) {
        0 => scratched(&mut dice),
        _ => {
            let mut gguf = Gguf::ember();
            base(&mut gguf, &mut dice);
            for _ in 0..*dice.pick(&[0, 1, 1, 1, 1, 2, 2, 3, 5]) {
                mutate(&mut gguf, &mut dice);
            }
            let mut bytes = gguf.bytes();
            if dice.one_in(30) {
                bytes.truncate(dice.below(bytes.len()));
            }
            bytes
        }
    }
}

/// Ember's bytes with damage anywhere in the header.
fn scratched(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = ember_gguf();
    let header = Gguf::ember().header().len();
    // Most of the header is tokens and merges, so half of the damage goes to
    // its beginning and its end.
    let place = |dice: &mut Dice| match dice.below(4) {
        0 => dice.below(1100),
        1 => header - 1 - dice.below(3400),
        _ => dice.below(header),
    };
    for _ in 0..*dice.pick(&[1, 1, 1, 2, 4, 8, 32]) {
        let at = place(dice);
        match dice.below(6) {
            0 | 1 => bytes[at] ^= 1 << dice.below(8),
            2 => bytes[at] = *dice.pick(&[0, 1, 0x7F, 0x80, 0xFF]),
            3 => {
                let length = dice.below(16);
                bytes[at..at + length].fill(dice.next() as u8);
            }
            4 => {
                let (from, length) = (place(dice), dice.below(64));
                bytes.copy_within(from..from + length, at);
            }
            _ => {
                let (from, to) = (at, (at + dice.below(40)).min(header));
                let new: Vec<u8> = (0..dice.below(40)).map(|_| dice.next() as u8).collect();
                bytes.splice(from..to, new);
            }
        }
    }
    if dice.one_in(8) {
        bytes.truncate(dice.below(header + 4096));
    }
    bytes
}

/// Changes ember to a file of another model family.
fn base(gguf: &mut Gguf, dice: &mut Dice) {
    match dice.below(10) {
        0 | 1 => {
            let (names, wanted) = dice.pick(&KIN);
            let name = dice.word(names);
            gguf.rename_architecture(name);
            for part in *wanted {
                want(gguf, part);
            }
            gguf.set(&format!("{name}.attention.sliding_window"), Value::u32(512));
        }
        2 => {
            gguf.rename_architecture(dice.word(ARCHITECTURES));
        }
        _ => {}
    }
    let mut tokens = gguf.get("tokenizer.ggml.tokens").to_texts();
    match dice.below(12) {
        0 | 1 => {
            for byte in 0..=255u8 {
                tokens[300 + usize::from(byte)] = format!("<0x{byte:02X}>").into();
            }
            let mut types = vec![1; tokens.len()];
            types[..3].copy_from_slice(&[2, 3, 3]);
            types[300..556].fill(6);
            gguf.set("tokenizer.ggml.scores", Value::f32s(&vec![-1.0; tokens.len()]));
            gguf.set("tokenizer.ggml.token_type", Value::i32s(&types));
            gguf.set("tokenizer.ggml.tokens", Value::texts(&tokens));
            gguf.set("tokenizer.ggml.model", Value::text(dice.word("llama llama plamo2 gemma4")));
        }
        2 => {
            for byte in 0..=255u8 {
                tokens[usize::from(byte) + 1] = format!("\\x{byte:02x}").into();
            }
            for (index, token) in tokens.iter_mut().enumerate().skip(257) {
                *token = format!("word{index}").into();
            }
            gguf.set("tokenizer.ggml.tokens", Value::texts(&tokens));
            gguf.set("tokenizer.ggml.model", Value::text("rwkv"));
        }
        3 => {
            gguf.set("tokenizer.ggml.model", Value::text(dice.word(TOKENIZERS)));
        }
        4 => {
            gguf.set("tokenizer.ggml.pre", Value::text(dice.word(PRE_TOKENIZERS)));
        }
        _ => {}
    }
}

/// Adds the tensors named `part`: one for the model, or one for each layer.
fn want(gguf: &mut Gguf, part: &str) {
    let head = part.starts_with("attn_");
    let like = |gguf: &Gguf, name: &[u8]| gguf.tensors.iter().find(|tensor| tensor.name == name).cloned();
    if part == "output" {
        let Some(mut tensor) = like(gguf, b"token_embd.weight") else { return };
        tensor.name = b"output.weight".into();
        gguf.tensors.push(tensor);
    } else {
        for layer in 0..5 {
            let name = format!("blk.{layer}.{part}.weight");
            let Some(mut tensor) = like(gguf, b"output_norm.weight") else { return };
            tensor.name = name.into();
            tensor.sizes = vec![if head { 64 } else { 256 }];
            gguf.tensors.push(tensor);
        }
    }
    gguf.lay_out();
    // Norm weights of zero would make every result zero, so they are set to
    // one.
    for tensor in &gguf.tensors {
        if tensor.kind == 0 {
            let at = tensor.offset as usize;
            for number in gguf.data[at..at + 4 * tensor.sizes[0] as usize].chunks_exact_mut(4) {
                if number == [0; 4] {
                    number.copy_from_slice(&1f32.to_le_bytes());
                }
            }
        }
    }
}

fn mutate(gguf: &mut Gguf, dice: &mut Dice) {
    match dice.below(16) {
        0..=4 => mutate_key(gguf, dice),
        5..=7 => add_key(gguf, dice),
        8 | 9 => mutate_tokens(gguf, dice),
        10..=13 => mutate_tensor(gguf, dice),
        14 => match dice.below(3) {
            0 => gguf.version = *dice.pick(&NUMBERS) as u32,
            1 => gguf.key_count = Some(number_near(dice, gguf.keys.len())),
            _ => gguf.tensor_count = Some(number_near(dice, gguf.tensors.len())),
        },
        _ => mutate_shape(gguf, dice),
    }
}

fn number_near(dice: &mut Dice, truth: usize) -> u64 {
    match dice.below(4) {
        0 => (truth as u64).wrapping_add(1),
        1 => (truth as u64).wrapping_sub(1),
        _ => *dice.pick(&NUMBERS),
    }
}

fn bytes_of(dice: &mut Dice) -> Vec<u8> {
    match dice.below(8) {
        0 => (0..dice.below(60)).map(|_| dice.next() as u8).collect(),
        1 => dice.pick(&TEXTS).repeat(1 + dice.below(3000)).into(),
        2 => vec![b"a0\0\xff "[dice.below(5)]; dice.below(20_000)],
        _ => (*dice.pick(&TEXTS)).into(),
    }
}

fn value_of(dice: &mut Dice, kind: u32) -> Value {
    match kind {
        F32 => Value::f32(*dice.pick(&FLOATS)),
        BOOL => Value { kind, bytes: vec![*dice.pick(&[0, 1, 2, 255])] },
        STRING => Value::text(bytes_of(dice)),
        ARRAY => {
            let count = *dice.pick(&[0, 1, 2, 4, 5, 6, 512, 513, 2047, 2048, 2049]);
            match dice.below(4) {
                0 => Value::f32s(&vec![*dice.pick(&FLOATS); count]),
                1 => Value::array(BOOL, count as u64, &vec![*dice.pick(&[0, 1, 2, 255]); count]),
                2 => Value::texts(&vec![bytes_of(dice); count.min(6)]),
                _ => {
                    let numbers: Vec<_> = (0..count).map(|_| *dice.pick(&NUMBERS) as i32).collect();
                    Value::i32s(&numbers)
                }
            }
        }
        U16 => Value::u16(*dice.pick(&NUMBERS) as u16),
        U64 => Value { kind, bytes: dice.pick(&NUMBERS).to_le_bytes().into() },
        U8 => Value { kind, bytes: vec![*dice.pick(&NUMBERS) as u8] },
        _ => Value { kind, bytes: (*dice.pick(&NUMBERS) as u32).to_le_bytes().into() },
    }
}

fn mutate_key(gguf: &mut Gguf, dice: &mut Dice) {
    let at = dice.below(gguf.keys.len().max(1));
    let Some((name, value)) = gguf.keys.get_mut(at) else { return };
    match dice.below(12) {
        0 => {
            gguf.keys.remove(at);
        }
        1 => {
            let twin = gguf.keys[at].clone();
            gguf.keys.push(twin);
        }
        2 => *name = bytes_of(dice),
        3 => name.push(*dice.pick(b"\0a\xff.")),
        4 => value.kind = *dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, u32::MAX]),
        5 => {
            let kind = *dice.pick(&[U8, U16, U32, I32, F32, BOOL, STRING, ARRAY, U64]);
            *value = value_of(dice, kind);
        }
        6 if matches!(value.kind, ARRAY | STRING) && value.bytes.len() > 12 => {
            // A wrong count or length.
            let place = if value.kind == ARRAY { 4..12 } else { 0..8 };
            let truth = u64::from_le_bytes(value.bytes[place.clone()].try_into().expect("eight bytes"));
            let lie = number_near(dice, truth as usize);
            value.bytes[place].copy_from_slice(&lie.to_le_bytes());
        }
        7 if value.kind == ARRAY && value.bytes.len() > 12 => {
            value.bytes[..4].copy_from_slice(&(dice.below(14) as u32).to_le_bytes())
        }
        8 if value.kind == ARRAY && value.bytes.len() > 12 => {
            let last = value.bytes.len() - 1;
            for _ in 0..1 + dice.below(8) {
                value.bytes[12 + dice.below(last - 11)] = dice.next() as u8;
            }
        }
        _ => *value = value_of(dice, value.kind),
    }
}

/// The architecture that the file's keys are prefixed with.
fn architecture(gguf: &Gguf) -> String {
    let name =
        gguf.keys.iter().find_map(|(key, _)| std::str::from_utf8(key).ok()?.strip_suffix(".block_count"));
    name.unwrap_or("llama").to_owned()
}

fn add_key(gguf: &mut Gguf, dice: &mut Dice) {
    let (name, kind) = if dice.one_in(3) {
        let (kind, name) = dice.key(&MORE_GENERAL_KEYS);
        (name.to_owned(), kind)
    } else {
        let (kind, name) = dice.key(&MORE_KEYS);
        (format!("{}.{name}", architecture(gguf)), kind)
    };
    let value = value_of(dice, kind);
    if name == "general.alignment" && dice.one_in(2) {
        gguf.alignment = *dice.pick(&[1, 2, 8, 16, 32, 64, 128, 4096]);
        let alignment = gguf.alignment as u32;
        gguf.lay_out();
        gguf.set(&name, Value::u32(alignment));
        return;
    }
    gguf.set(&name, value);
}

fn mutate_tokens(gguf: &mut Gguf, dice: &mut Dice) {
    let key = *dice.pick(&["tokenizer.ggml.tokens", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"]);
    let Some((_, value)) = gguf.keys.iter().find(|(name, _)| name == key.as_bytes()) else { return };
    if value.kind != ARRAY || !value.bytes.starts_with(&STRING.to_le_bytes()) {
        return;
    }
    let mut texts = value.to_texts();
    if texts.is_empty() {
        return;
    }
    let at = dice.below(texts.len());
    match dice.below(9) {
        0 => texts[at] = texts[dice.below(texts.len())].clone(),
        1 => texts[at] = Vec::new(),
        2 => texts[at].push(0),
        3 => texts[at].insert(0, 0),
        4 => texts[at] = bytes_of(dice),
        5 => texts.truncate(at),
        6 => texts[at] = format!("[EMPTY_{}]", dice.below(3)).into(),
        7 => texts[at].push(0xFF),
        _ => {
            for _ in 0..100 {
                let (one, other) = (dice.below(texts.len()), dice.below(texts.len()));
                texts.swap(one, other);
            }
        }
    }
    gguf.set(key, Value::texts(&texts));
}

fn mutate_tensor(gguf: &mut Gguf, dice: &mut Dice) {
    if gguf.tensors.is_empty() {
        return;
    }
    let count = gguf.tensors.len();
    let at = dice.below(count);
    let other = gguf.tensors[dice.below(count)].clone();
    let tensor = &mut gguf.tensors[at];
    match dice.below(14) {
        0 => tensor.name = other.name,
        1 => tensor.name = bytes_of(dice),
        2 => tensor.name.push(*dice.pick(b"\0a\xff.")),
        3 => tensor.kind = dice.below(46) as u32,
        4 => tensor.kind = *dice.pick(&NUMBERS) as u32,
        5 => {
            let axis = dice.below(tensor.sizes.len().max(1));
            if let Some(size) = tensor.sizes.get_mut(axis) {
                *size = number_near(dice, *size as usize);
            }
        }
        6 => tensor.sizes.push(*dice.pick(&NUMBERS)),
        7 => tensor.sizes.truncate(1),
        8 => tensor.offset = number_near(dice, tensor.offset as usize),
        9 => tensor.offset ^= 1 << dice.below(64),
        10 => {
            gguf.tensors.remove(at);
        }
        11 => gguf.tensors.push(other),
        12 => gguf.tensors.clear(),
        _ => tensor.sizes = other.sizes,
    }
    if dice.one_in(2) {
        gguf.lay_out();
    }
}

fn resize(tensor: &mut Tensor, axis: usize, size: u32) {
    if let Some(old) = tensor.sizes.get_mut(axis) {
        *old = size.into();
    }
}

/// Changes that keep the file consistent, so that more of the later checks are
/// reached.
fn mutate_shape(gguf: &mut Gguf, dice: &mut Dice) {
    let architecture = architecture(gguf);
    let mut set = |key: &str, value: u32| {
        gguf.set(&format!("{architecture}.{key}"), Value::u32(value));
    };
    match dice.below(8) {
        // Ember is 256 wide: heads of any length that divides 256.
        0 => {
            let heads = *dice.pick(&[1, 2, 4, 8, 16, 32, 64, 128, 256]);
            set("attention.head_count", heads);
            set("attention.head_count_kv", heads / 2);
            set("rope.dimension_count", 256 / heads);
        }
        1 => {
            let (heads, shared, length) =
                *dice.pick(&[(256, 128, 1), (2, 1, 128), (64, 32, 4), (4, 1, 64), (3, 2, 64), (4, 3, 64)]);
            set("attention.head_count", heads);
            set("attention.head_count_kv", shared);
            set("attention.key_length", length);
            set("attention.value_length", length);
            set("rope.dimension_count", length);
            for tensor in &mut gguf.tensors {
                let (heads, width) = (u64::from(heads * length), u64::from(shared * length));
                if tensor.name.ends_with(b"attn_q.weight") {
                    tensor.sizes = vec![256, heads];
                } else if tensor.name.ends_with(b"attn_output.weight") {
                    tensor.sizes = vec![heads, 256];
                } else if tensor.name.ends_with(b"attn_k.weight") || tensor.name.ends_with(b"attn_v.weight") {
                    tensor.sizes = vec![256, width];
                }
            }
            gguf.lay_out();
        }
        2 => {
            let kind = *dice.pick(&[0, 1, 2, 8, 24, 25, 26, 27, 28, 30]);
            for tensor in &mut gguf.tensors {
                if tensor.sizes.len() == 2 || dice.one_in(20) {
                    tensor.kind = kind;
                }
            }
            gguf.lay_out();
        }
        3 => {
            let layers = 1 + dice.below(6);
            set("block_count", layers as u32);
            let gone: Vec<_> = (layers..6).map(|layer| format!("blk.{layer}.").into_bytes()).collect();
            gguf.tensors.retain(|tensor| !gone.iter().any(|prefix| tensor.name.starts_with(prefix)));
            gguf.lay_out();
        }
        4 => {
            let width = *dice.pick(&[0, 1, 32, 64, 1024]);
            set("feed_forward_length", width);
            for tensor in &mut gguf.tensors {
                if tensor.name.ends_with(b"ffn_down.weight") {
                    resize(tensor, 0, width);
                } else if tensor.name.ends_with(b"ffn_up.weight") || tensor.name.ends_with(b"ffn_gate.weight")
                {
                    resize(tensor, 1, width);
                }
            }
            gguf.lay_out();
        }
        5 => {
            // A smaller vocabulary that the embedding agrees with.
            let tokens = *dice.pick(&[0usize, 1, 3, 11, 12, 100, 300, 1000]);
            let Some((_, value)) = gguf.keys.iter().find(|(name, _)| name == b"tokenizer.ggml.tokens") else {
                return;
            };
            let mut texts = value.to_texts();
            texts.truncate(tokens);
            gguf.set("tokenizer.ggml.tokens", Value::texts(&texts));
            if let Some(tensor) = gguf.tensors.iter_mut().find(|tensor| tensor.name == b"token_embd.weight") {
                tensor.sizes = vec![256, tokens as u64];
            }
            gguf.lay_out();
        }
        6 => {
            // Weights that are zero, NaN or very large.
            let fill = *dice.pick(&[0, 0xFF, 0x7F, 0x7C]);
            let (from, to) = (dice.below(gguf.data.len().max(1)), gguf.data.len());
            let from = if dice.one_in(2) { 0 } else { from };
            gguf.data[from.min(to)..].fill(fill);
        }
        _ => {
            // Experts in every layer, as many as the header says.
            let (experts, used) = *dice.pick(&[(1, 1), (2, 1), (2, 2), (4, 2), (4, 5), (8, 0)]);
            set("expert_count", experts);
            set("expert_used_count", used);
            let mut routers = Vec::new();
            for tensor in &mut gguf.tensors {
                for part in ["ffn_gate", "ffn_up", "ffn_down"] {
                    if tensor.name.ends_with(format!("{part}.weight").as_bytes()) {
                        let stem = tensor.name.len() - "weight".len() - 1;
                        tensor.name.splice(stem..stem, *b"_exps");
                        tensor.sizes.push(experts.into());
                        if part == "ffn_up" {
                            let mut router = tensor.clone();
                            let at = router.name.windows(7).position(|window| window == b"ffn_up_");
                            router.name.truncate(at.unwrap_or(0));
                            router.name.extend(b"ffn_gate_inp.weight");
                            router.sizes = vec![256, experts.into()];
                            router.kind = 0;
                            routers.push(router);
                        }
                    }
                }
            }
            gguf.tensors.extend(routers);
            gguf.lay_out();
        }
    }
}

/// The options of a case: with each, llama.cpp creates other samplers, some of
/// which use the vocabulary.
fn options(number: u64) -> &'static [&'static str] {
    match number % 4 {
        0 => &["--dry-multiplier", "0.8", "--repeat-penalty", "1.1"],
        1 => &["--temp", "0.8", "--seed", "1"],
        _ => &[],
    }
}

/// Whether stderr is one `error:` line, with nothing but warnings before it.
fn is_one_fault(stderr: &str) -> bool {
    let mut lines = stderr.lines().rev();
    lines.next().is_some_and(|last| last.starts_with("error: "))
        && lines.all(|line| line.starts_with("warning: "))
}

/// Runs the program with a file. Returns how it ended, in a few words; `Err` if
/// it must not end that way.
fn run(nexus: &Nexus, file: &Path, number: u64) -> Result<String, String> {
    let mut command = nexus.command::<&str>([]);
    let program = cargo_bin!("torment-nexus");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -v $0; ulimit -c 0; exec \"$@\""]).arg(ADDRESS_SPACE.to_string()).arg(program);
    shell.arg("--model").arg(file).args(["-c", "96", "-p", "prompt.txt"]).args(options(number));
    shell.current_dir(nexus.folder.path());
    for (variable, value) in command.env("TORMENT_THREADS", "1").get_envs() {
        match value {
            Some(value) => shell.env(variable, value),
            None => shell.env_remove(variable),
        };
    }
    let output = Command::from_std(shell).timeout(LIMIT).output().map_err(|error| error.to_string())?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    let ended = match code {
        Some(101) if stderr.ends_with(DEATH) => "died",
        Some(1) if is_one_fault(&stderr) => {
            if stderr.contains("cannot go on") {
                // No rule refused the file, and the program turned llama.cpp's
                // abort into a fault.
                return Ok(format!("net: {}", stderr.trim()));
            } else if stderr.contains("llama.cpp") {
                "refused by llama.cpp"
            } else if stderr.contains("cannot be used") {
                "refused by the header"
            } else {
                "refused later"
            }
        }
        _ => return Err(format!("{} said: {stderr}", output.status)),
    };
    Ok(ended.to_owned())
}

/// Runs cases on all cores; returns how often each ending occurred, and the
/// failures.
fn campaign(cases: Range<u64>) -> (BTreeMap<String, usize>, Vec<String>) {
    let next = AtomicU64::new(cases.start);
    let endings = Mutex::new((BTreeMap::new(), Vec::new()));
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let keep = std::env::var_os("GGUF_FUZZ_KEEP");
    let model = given_model();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let nexus = Nexus::new();
                nexus.file("prompt.txt", "Hi, 42 \u{e9}");
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= cases.end {
                        break;
                    }
                    let file = match &model {
                        None => nexus.file("mutant.gguf", case(number)),
                        Some(model) => {
                            let (header, length) = case_of(model, number);
                            let path = nexus.file("mutant.gguf", header);
                            let file = fs::File::options().write(true).open(&path).expect("the file");
                            file.set_len(length).expect("a file with a hole");
                            path
                        }
                    };
                    let ended = run(&nexus, &file, number);
                    let sound = ended.as_ref().is_ok_and(|ended| !ended.starts_with("net"));
                    if let (Some(folder), false) = (&keep, sound) {
                        let kept = Path::new(folder).join(format!("{number}.gguf"));
                        fs::copy(&file, kept).expect("GGUF_FUZZ_KEEP is a folder");
                    }
                    let mut endings = endings.lock().expect("no worker panics");
                    match ended {
                        Ok(ended) if ended.starts_with("net") => {
                            println!("case {number}: {ended}");
                            *endings.0.entry("net".to_owned()).or_default() += 1
                        }
                        Ok(ended) => *endings.0.entry(ended).or_default() += 1,
                        Err(fault) => endings.1.push(format!("case {number}: {fault}")),
                    }
                }
            });
        }
    });
    endings.into_inner().expect("no worker panics")
}

#[test]
fn a_mutated_header_is_refused_in_one_line_or_lived() {
    let cases = match std::env::var("GGUF_FUZZ") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("GGUF_FUZZ is FROM..TO");
            from.parse().expect("a number")..to.parse().expect("a number")
        }
        Err(_) => CASES,
    };
    let (endings, failures) = campaign(cases.clone());
    println!("{cases:?}: {endings:?}");
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
    for ending in ["died", "refused by the header", "refused by llama.cpp"] {
        assert!(
            given_model().is_some() || cases.end - cases.start < 100 || endings.contains_key(ending),
            "no case is {ending}: {endings:?}"
        );
    }
}
