//! Limits, types and lists of names for the rules, with their sources.

/// The first four bytes of every GGUF file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// GGUF versions that llama.cpp reads. Version 1 had counts of 32 bits; there
/// is no version 4 yet.
pub(super) const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;

/// The largest header, in bytes. The largest vocabularies, of 262,144 tokens
/// with 514,906 merges, take some 20 MB.
pub(super) const MAX_HEADER: u64 = 64 << 20;

/// The most keys and tensors: models in use have some 60 and some 10,000.
pub(super) const MAX_KEYS: u64 = 4096;
pub(super) const MAX_TENSORS: u64 = 65_536;

/// `GGML_MAX_NAME` and `GGML_MAX_DIMS` of ggml.h.
pub(super) const MAX_NAME: u64 = 64;
pub(super) const MAX_DIMENSIONS: u32 = 4;

/// `LLAMA_MAX_LAYERS` and `LLAMA_MAX_EXPERTS` of llama-hparams.h.
pub(super) const MAX_LAYERS: u32 = 512;
pub(super) const MAX_EXPERTS: u32 = 1024;

/// The most attention heads: llama-cpp-2 panics on a number above an i32, and
/// the largest models have 128.
pub(super) const MAX_HEADS: u32 = 65_536;

/// The longest sliding window, in tokens: llama.cpp reserves 4 bytes for each.
/// The longest contexts have some 10 million.
pub(super) const MAX_WINDOW: u32 = 1 << 24;

/// The alignment of the tensors' data in bytes, unless `general.alignment`
/// gives another, and the least that ggml's buffers accept
/// (`TENSOR_ALIGNMENT`).
pub(super) const ALIGNMENT: u32 = 32;

/// Bytes of memory that llama.cpp needs while it loads, for each string of the
/// header, each byte of lists and strings, and each tensor: copies, hash nodes,
/// descriptions. Measured on x86-64 at 49,152 to 262,144 tokens with none to
/// 514,906 merges: the sum is 10 to 25 % above what was used, 19 to 135 MB.
pub(super) const MEMORY_PER_STRING: u64 = 160;
pub(super) const MEMORY_PER_BYTE: u64 = 4;
pub(super) const MEMORY_PER_TENSOR: u64 = 1536;

/// The longest token in bytes, and the greatest sum of all tokens' squared
/// lengths: llama.cpp recurses for each byte of a token, and repeats the whole
/// token for each of its characters that GPT-2's alphabet lacks. The longest
/// tokens in use are 512 spaces, of two bytes each.
pub(super) const MAX_TOKEN: usize = 2048;
pub(super) const MAX_TOKEN_SQUARES: u64 = 1 << 27;
/// The longest token of the `plamo2` tokenizer, whose time and memory grow with
/// the cube of a token's length.
pub(super) const MAX_PLAMO2_TOKEN: usize = 256;

/// Value types, `enum gguf_type` of gguf.h.
pub(super) const U8: u32 = 0;
pub(super) const I8: u32 = 1;
pub(super) const U16: u32 = 2;
pub(super) const I16: u32 = 3;
pub(super) const U32: u32 = 4;
pub(super) const I32: u32 = 5;
pub(super) const F32: u32 = 6;
pub(super) const BOOL: u32 = 7;
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;
pub(super) const U64: u32 = 10;
pub(super) const I64: u32 = 11;
pub(super) const F64: u32 = 12;

/// `GGML_TYPE_F32` of ggml.h.
pub(super) const TENSOR_F32: u32 = 0;

/// The types that weights may have: the number in `enum ggml_type`, elements
/// and bytes of a block. ggml's others (integers, F64, Q8_1, Q8_K) have no dot
/// product, and ggml-cpu would call a null pointer.
pub(super) const WEIGHT_TYPES: [(u32, u64, u64); 28] = [
    (TENSOR_F32, 1, 4),
    (1, 1, 2),      // F16
    (2, 32, 18),    // Q4_0
    (3, 32, 20),    // Q4_1
    (6, 32, 22),    // Q5_0
    (7, 32, 24),    // Q5_1
    (8, 32, 34),    // Q8_0
    (10, 256, 84),  // Q2_K
    (11, 256, 110), // Q3_K
    (12, 256, 144), // Q4_K
    (13, 256, 176), // Q5_K
    (14, 256, 210), // Q6_K
    (16, 256, 66),  // IQ2_XXS
    (17, 256, 74),  // IQ2_XS
    (18, 256, 98),  // IQ3_XXS
    (19, 256, 50),  // IQ1_S
    (20, 32, 18),   // IQ4_NL
    (21, 256, 110), // IQ3_S
    (22, 256, 82),  // IQ2_S
    (23, 256, 136), // IQ4_XS
    (29, 256, 56),  // IQ1_M
    (30, 1, 2),     // BF16
    (34, 256, 54),  // TQ1_0
    (35, 256, 66),  // TQ2_0
    (39, 32, 17),   // MXFP4
    (40, 64, 36),   // NVFP4
    (41, 128, 18),  // Q1_0
    (42, 64, 18),   // Q2_0
];

/// Architectures that llama.cpp runs and that do not continue a text.
pub(super) const OTHER_PURPOSES: [(&str, &str); 9] = [
    (
        "an embedding model",
        "bert modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert \
         gemma-embedding llama-embed",
    ),
    ("a model that rewrites texts", "t5 t5encoder"),
    ("the vision part of a model", "clip"),
    ("a voice model", "wavtokenizer-dec qwen3tts pockettts"),
    ("a diffusion model", "dream llada llada-moe rnd1"),
    ("a draft model", "eagle3 dflash gemma4-assistant"),
    ("a classifier", "clef"),
    ("an importance matrix", "imatrix"),
    ("a control vector", "controlvector"),
];

/// The values of `general.type` for files that are no model by themselves.
pub(super) const OTHER_TYPES: [(&str, &str); 3] = [
    ("adapter", "an adapter"),
    ("mmproj", "the vision part of a model"),
    ("imatrix", "an importance matrix"),
];

/// Tokenizers of models that do not continue a text; `test` has no texts.
pub(super) const OTHER_TOKENIZERS: &str = "bert t5 test";

/// Architectures whose graph asserts that a value is as long as a key.
pub(super) const VALUE_AS_KEY: &str = "\
    afmoe bailingmoe2 bitnet bloom chatglm cohere2 command-r glm4 glm4moe gpt2 gptneox granitehybrid \
    jais laguna lfm2 lfm2moe minimax-01 minimax-m2 minimax-m3 mpt muse-glimmer nanbeige nemotron \
    nemotron_h nemotron_h_moe openelm phi2 phi3 phimoe qwen qwen35 qwen35moe qwen3next qwen4exp \
    refact spark2_5 stablelm starcoder";

/// Architectures whose graph also asserts that rope rotates the whole head.
pub(super) const WHOLE_ROPE: &str = "\
    apertus arcee arctic baichuan chameleon codeshell cogvlm cohere2moe dbrx deci deepseek dots1 \
    ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon granite granite_swa granitemoe \
    graniteswitch grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2 jais2 llama \
    llama4 maincoder mellum minicpm mistral3 olmo olmo2 olmoe orion paddleocr pangu-embedded plamo \
    qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe seed_oss smallthinker smollm3 \
    starcoder2 talkie xverse";

/// Architectures whose rope rotates sections of a head by different positions.
pub(super) const ROPE_SECTIONS: &str = "paddleocr qwen2vl qwen35 qwen35moe qwen3vl qwen3vlmoe qwen4exp";

/// Architectures whose loader asserts that they have experts.
pub(super) const ONLY_EXPERTS: &str = "bailingmoe2 glm4moe grovemoe lfm2moe smallthinker";

/// The kinds of rope scaling that llama.cpp knows.
pub(super) const ROPE_SCALINGS: &str = "none linear yarn longrope";
