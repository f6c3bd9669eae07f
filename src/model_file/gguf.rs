//! What a GGUF header must say before llama.cpp sees the file.
//!
//! llama.cpp reports most of what is wrong with a file, but some of it ends
//! the process: an assertion, an exception that nobody catches, a call through
//! a null pointer, more memory than there is. So this module reads the header
//! itself, which is all that is read of the file, and holds it against one rule
//! for each of those. Whatever llama.cpp reports by itself is left to it, as
//! are keys that are missing: converters differ, and llama.cpp knows what each
//! architecture needs.
//!
//! | the header says | without this, llama.cpp would |
//! |---|---|
//! | more keys, tensors, elements or bytes than the file has | allocate by the count, then report |
//! | a vocabulary that memory does not hold | be killed for it |
//! | weights that end after the file does | report it, in a log that is not shown |
//! | adapter, vision part, importance matrix, one part of several; embedding, encoder, voice, diffusion or draft model; pooling; attention that is not causal | load it, and abort or speak nonsense |
//! | no vocabulary, or tokenizer `none` | abort in `llama_vocab::tokenize` |
//! | a token twice, as C strings see them | abort: `id_to_token.size() == token_to_id.size()` |
//! | a token of thousands of bytes | recurse, or allocate by the square or cube of it |
//! | `llama` or `rwkv` tokenizer without its byte tokens | throw through its caller; loop without end |
//! | texts that begin or end with a token that is not there | abort: `special_bos_id != LLAMA_TOKEN_NULL` |
//! | a block count of 0 or above 512, all blocks for prediction | abort in `load_hparams` |
//! | expert counts that contradict each other, or none where they must be | abort in `load_hparams` |
//! | a sliding window of billions of tokens | throw through its caller |
//! | an unknown kind of rope scaling | abort in `load_hparams` |
//! | heads that do not share their keys evenly; more than 2^31 | abort at the first token; panic in llama-cpp-2 |
//! | rope over more than a head, an odd part of it, no section or nothing of it; values and keys of different lengths where they are the same; a negative epsilon | abort at the first token, or turn nothing for ever |
//! | weights of a type that has no dot product; vectors that are not F32 | call a null pointer; abort at the first token |
//! | an alignment below 32 | abort: `buffer pointer must be aligned` |
//!
//! The rules were read in llama.cpp's source as of llama-cpp-sys-2 0.1.161 and
//! hunted for with mutated headers, `tests/it/gguf_fuzz.rs`. They name
//! architectures where llama.cpp's graphs differ; for what escapes them,
//! [`crate::mind::session`] turns llama.cpp's abort into a fault.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use crate::board::memory;

/// The first four bytes of every GGUF file.
pub const MAGIC: &[u8; 4] = b"GGUF";

/// Versions that llama.cpp reads: 1 counted in 32 bits, 4 is not written yet.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;

/// Bytes of a header at most. The largest vocabularies, of 262,144 tokens with
/// 514,906 merges, take some 20 MB.
const MAX_HEADER: u64 = 64 << 20;

/// Keys and tensors at most: what is in use has some 60 and some 10,000.
const MAX_KEYS: u64 = 4096;
const MAX_TENSORS: u64 = 65_536;

/// `GGML_MAX_NAME` and `GGML_MAX_DIMS` of ggml.h.
const MAX_NAME: u64 = 64;
const MAX_DIMENSIONS: u32 = 4;

/// `LLAMA_MAX_LAYERS` and `LLAMA_MAX_EXPERTS` of llama-hparams.h.
const MAX_LAYERS: u32 = 512;
const MAX_EXPERTS: u32 = 1024;

/// Attention heads at most; llama-cpp-2 panics above an i32, the largest
/// models have 128.
const MAX_HEADS: u32 = 65_536;

/// Tokens of a sliding window at most: llama.cpp reserves 4 bytes for each.
/// The longest contexts have some 10 million.
const MAX_WINDOW: u32 = 1 << 24;

/// Bytes at which data is aligned unless `general.alignment` says otherwise,
/// and the least that ggml's buffers accept (`TENSOR_ALIGNMENT`).
const ALIGNMENT: u32 = 32;

/// Bytes of memory that llama.cpp needs while it loads, for each string of the
/// header, each byte of lists and strings, and each tensor: copies, hash nodes,
/// descriptions. Measured on x86-64 at 49,152 to 262,144 tokens with none to
/// 514,906 merges: the sum is 10 to 25 % above what was used, 19 to 135 MB.
const MEMORY_PER_STRING: u64 = 160;
const MEMORY_PER_BYTE: u64 = 4;
const MEMORY_PER_TENSOR: u64 = 1536;

/// Bytes of a token at most, and the sum of all tokens' squares: llama.cpp
/// recurses for each byte of one, and repeats it for each of its characters
/// that GPT-2's alphabet does not have. The longest in use are 512 spaces, of
/// two bytes each.
const MAX_TOKEN: usize = 2048;
const MAX_TOKEN_SQUARES: u64 = 1 << 27;
/// The `plamo2` tokenizer takes time and memory by the cube of a token.
const MAX_PLAMO2_TOKEN: usize = 256;

/// Value types, `enum gguf_type` of gguf.h.
const U8: u32 = 0;
const I8: u32 = 1;
const U16: u32 = 2;
const I16: u32 = 3;
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const U64: u32 = 10;
const I64: u32 = 11;
const F64: u32 = 12;

/// `GGML_TYPE_F32` of ggml.h.
const TENSOR_F32: u32 = 0;

/// The types that weights may have: the number in `enum ggml_type`, elements
/// and bytes of a block. ggml's others (integers, F64, Q8_1, Q8_K) have no dot
/// product, and ggml-cpu would call a null pointer.
const WEIGHT_TYPES: [(u32, u64, u64); 28] = [
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
const OTHER_PURPOSES: [(&str, &str); 9] = [
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

/// `general.type` where the file is no model by itself.
const OTHER_TYPES: [(&str, &str); 3] = [
    ("adapter", "an adapter"),
    ("mmproj", "the vision part of a model"),
    ("imatrix", "an importance matrix"),
];

/// Tokenizers of models that do not continue a text; `test` has no texts.
const OTHER_TOKENIZERS: &str = "bert t5 test";

/// Architectures whose graph asserts that a value is as long as a key.
const VALUE_AS_KEY: &str = "\
    afmoe bailingmoe2 bitnet bloom chatglm cohere2 command-r glm4 glm4moe gpt2 gptneox granitehybrid \
    jais laguna lfm2 lfm2moe minimax-01 minimax-m2 minimax-m3 mpt muse-glimmer nanbeige nemotron \
    nemotron_h nemotron_h_moe openelm phi2 phi3 phimoe qwen qwen35 qwen35moe qwen3next qwen4exp \
    refact spark2_5 stablelm starcoder";

/// Architectures whose graph also asserts that rope turns all of a head.
const WHOLE_ROPE: &str = "\
    apertus arcee arctic baichuan chameleon codeshell cogvlm cohere2moe dbrx deci deepseek dots1 \
    ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon granite granite_swa granitemoe \
    graniteswitch grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2 jais2 llama \
    llama4 maincoder mellum minicpm mistral3 olmo olmo2 olmoe orion paddleocr pangu-embedded plamo \
    qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe seed_oss smallthinker smollm3 \
    starcoder2 talkie xverse";

/// Architectures that turn parts of a head by different positions.
const ROPE_SECTIONS: &str = "paddleocr qwen2vl qwen35 qwen35moe qwen3vl qwen3vlmoe qwen4exp";

/// Architectures that assert that they have experts.
const ONLY_EXPERTS: &str = "bailingmoe2 glm4moe grovemoe lfm2moe smallthinker";

/// The kinds of rope scaling that llama.cpp knows.
const ROPE_SCALINGS: &str = "none linear yarn longrope";

/// Checks the header of a model file, and that its weights are all there.
///
/// # Errors
///
/// When it cannot be read, is damaged, or is for another purpose than to
/// continue a text.
pub fn check(mut file: &File) -> Result<()> {
    let length = file.metadata().and_then(|metadata| file.rewind().map(|()| metadata.len()));
    let length = length.map_err(Fault::unreadable)?;
    let header = Header::read(file, length)?;
    header.check_purpose()?;
    header.check_vocabulary()?;
    header.check_layers()?;
    header.check_experts()?;
    header.check_heads()?;
    header.check_memory(memory::available())
}

/// Whether `name` is one of `names`.
fn has(names: &str, name: &str) -> bool {
    names.split(' ').any(|one| one == name)
}

/// Why a file is refused, as said of *it*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It contradicts itself, or is not all there: another copy may be sound.
    Damaged(String),
    /// It is whole, and of no use here.
    Unfit(String),
}

impl Fault {
    /// The fault of a file that the system does not let read.
    #[must_use]
    pub fn unreadable(error: io::Error) -> Self {
        damaged(format_args!("it cannot be read ({error})"))
    }

    /// Whether another copy of the file may be sound.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// The next step for the user.
    #[must_use]
    pub fn next(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "download or copy it again, or give --model ember",
            Self::Unfit(_) => "name a model that writes text with --model, or give --model ember",
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Damaged(what) | Self::Unfit(what)) = self;
        f.write_str(what)
    }
}

impl std::error::Error for Fault {}

type Result<T, E = Fault> = std::result::Result<T, E>;

fn damaged(what: impl Display) -> Fault {
    Fault::Damaged(what.to_string())
}

fn unfit(what: impl Display) -> Fault {
    Fault::Unfit(what.to_string())
}

/// A name or text of the file as a message shows it: escaped, and not long.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown: String = text.chars().take(MAX_NAME as usize).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}

/// The file, with what is left of it.
struct Reader<R> {
    inner: BufReader<R>,
    position: u64,
    length: u64,
}

impl<R: Read + Seek> Reader<R> {
    fn new(inner: R, length: u64) -> Self {
        Self { inner: BufReader::with_capacity(1 << 16, inner), position: 0, length }
    }

    /// Claims the next `count` things of `size` bytes: nothing is allocated
    /// or read that the file does not have.
    fn claim(&mut self, count: u64, size: u64) -> Result<u64> {
        let end = count.checked_mul(size).and_then(|bytes| bytes.checked_add(self.position));
        let Some(end) = end.filter(|&end| end <= self.length) else {
            return Err(damaged("its header says more than the file holds: it is cut short or damaged"));
        };
        if end > MAX_HEADER {
            return Err(damaged(format_args!("its header is larger than {} MB", MAX_HEADER >> 20)));
        }
        Ok(end - std::mem::replace(&mut self.position, end))
    }

    fn skip(&mut self, count: u64, size: u64) -> Result<()> {
        let bytes = self.claim(count, size)?;
        self.inner.seek_relative(bytes as i64).map_err(Fault::unreadable)
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.claim(count, 1)? as usize];
        self.inner.read_exact(&mut bytes).map_err(Fault::unreadable)?;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.claim(N as u64, 1)?;
        self.inner.read_exact(&mut bytes).map_err(Fault::unreadable)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<Vec<u8>> {
        let length = self.u64()?;
        self.bytes(length)
    }
}

/// A value, as far as a rule asks for it. llama.cpp reports any other type
/// than the one it expects.
#[derive(Debug)]
enum Value {
    U16(u16),
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    /// A number for each layer.
    Numbers(Vec<u32>),
    Other,
}

/// What a header says, as far as a rule asks for it.
#[derive(Debug)]
struct Header {
    values: HashMap<String, Value>,
    vocabulary: Vocabulary,
    tensors: u64,
    /// Strings of the header, and their bytes.
    strings: u64,
    string_bytes: u64,
}

/// The tokens' texts, one after the other.
#[derive(Debug, Default)]
struct Vocabulary {
    texts: Vec<u8>,
    ends: Vec<usize>,
}

impl Vocabulary {
    fn push(&mut self, text: &[u8]) {
        // llama.cpp takes each text as a C string, and names an empty one.
        let text = c_string(text);
        match text {
            [] => self.texts.extend_from_slice(format!("[EMPTY_{}]", self.ends.len()).as_bytes()),
            _ => self.texts.extend_from_slice(text),
        }
        self.ends.push(self.texts.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.texts[start..end])
    }
}

/// What C sees of a string: all before its first NUL.
fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

impl Header {
    fn read<R: Read + Seek>(inner: R, length: u64) -> Result<Self> {
        let mut reader = Reader::new(inner, length);
        if length < MAGIC.len() as u64 || &reader.array()? != MAGIC {
            return Err(unfit("it is not a GGUF file"));
        }
        let version = reader.u32()?;
        if !VERSIONS.contains(&version) {
            return Err(damaged(format_args!("it is of GGUF version {version}, and 2 and 3 can be read")));
        }
        let tensors = reader.u64()?;
        let keys = reader.u64()?;
        if tensors > MAX_TENSORS || keys > MAX_KEYS {
            return Err(damaged(format_args!("its header counts {tensors} tensors and {keys} keys")));
        }
        let mut header = Self {
            values: HashMap::new(),
            vocabulary: Vocabulary::default(),
            tensors,
            strings: 0,
            string_bytes: 0,
        };
        for _ in 0..keys {
            header.read_key(&mut reader)?;
        }
        header.read_tensors(&mut reader)?;
        Ok(header)
    }

    fn read_key<R: Read + Seek>(&mut self, reader: &mut Reader<R>) -> Result<()> {
        let key = reader.text()?;
        let key = match String::from_utf8(key) {
            // llama.cpp finds a key up to its first NUL.
            Ok(key) if !key.is_empty() && !key.contains('\0') => key,
            Ok(key) => {
                return Err(damaged(format_args!(
                    "its header has a damaged key, {}",
                    quoted(key.as_bytes())
                )));
            }
            Err(error) => {
                return Err(damaged(format_args!(
                    "its header has a damaged key, {}",
                    quoted(error.as_bytes())
                )));
            }
        };
        let value = match reader.u32()? {
            U16 => Value::U16(u16::from_le_bytes(reader.array()?)),
            U32 => Value::U32(reader.u32()?),
            F32 => Value::F32(f32::from_le_bytes(reader.array()?)),
            BOOL => Value::Bool(reader.array::<1>()? != [0]),
            STRING => {
                let text = reader.text()?;
                self.count_string(&text);
                Value::Text(String::from_utf8_lossy(c_string(&text)).into_owned())
            }
            ARRAY => self.read_array(&key, reader)?,
            scalar => {
                let size = size_of_number(scalar)
                    .ok_or_else(|| damaged(format_args!("its key {} has no type", quoted(key.as_bytes()))))?;
                reader.skip(1, size)?;
                Value::Other
            }
        };
        match self.values.insert(key.clone(), value) {
            None => Ok(()),
            Some(_) => Err(damaged(format_args!("its header has the key {} twice", quoted(key.as_bytes())))),
        }
    }

    fn read_array<R: Read + Seek>(&mut self, key: &str, reader: &mut Reader<R>) -> Result<Value> {
        let kind = reader.u32()?;
        let count = reader.u64()?;
        match size_of_number(kind) {
            Some(4) if kind != F32 && count <= MAX_LAYERS.into() => {
                let numbers = (0..count).map(|_| reader.u32()).collect::<Result<_>>()?;
                Ok(Value::Numbers(numbers))
            }
            Some(1) if kind == BOOL && count <= MAX_LAYERS.into() => {
                let flags = reader.bytes(count)?;
                Ok(Value::Numbers(flags.into_iter().map(|flag| u32::from(flag != 0)).collect()))
            }
            Some(size) => {
                reader.skip(count, size)?;
                self.string_bytes += count * size;
                Ok(Value::Other)
            }
            None if kind == STRING => {
                for _ in 0..count {
                    let text = reader.text()?;
                    self.count_string(&text);
                    if key == "tokenizer.ggml.tokens" {
                        self.vocabulary.push(&text);
                    }
                }
                Ok(Value::Other)
            }
            None => Err(damaged(format_args!("its key {} is a list of no type", quoted(key.as_bytes())))),
        }
    }

    fn count_string(&mut self, text: &[u8]) {
        self.strings += 1;
        self.string_bytes += text.len() as u64;
    }

    /// Reads where the tensors are: one after the other, aligned, all within
    /// the file, as llama.cpp expects them.
    fn read_tensors<R: Read + Seek>(&self, reader: &mut Reader<R>) -> Result<()> {
        let alignment = match self.values.get("general.alignment") {
            None => ALIGNMENT,
            Some(&Value::U32(alignment)) if alignment.is_power_of_two() && alignment >= ALIGNMENT => {
                alignment
            }
            Some(_) => {
                return Err(damaged(format_args!(
                    "its general.alignment is no power of two of {ALIGNMENT} or more"
                )));
            }
        };
        let mut names = HashSet::new();
        let mut end = 0;
        let mut padded = 0;
        for _ in 0..self.tensors {
            let name = reader.text()?;
            let quoted_name = quoted(&name);
            let bytes = read_tensor(reader, &quoted_name)?;
            if name.len() as u64 >= MAX_NAME || !names.insert(name) {
                return Err(damaged(format_args!(
                    "its tensor {quoted_name} has a name too long, or one used twice"
                )));
            }
            if reader.u64()? != padded {
                return Err(damaged(format_args!(
                    "its tensor {quoted_name} is not where the one before it ends"
                )));
            }
            let next = bytes
                .checked_add(padded)
                .and_then(|end| Some((end, end.checked_next_multiple_of(alignment.into())?)));
            (end, padded) =
                next.ok_or_else(|| damaged(format_args!("its tensor {quoted_name} is too large")))?;
        }
        let start = reader.position.next_multiple_of(alignment.into());
        match start.checked_add(end) {
            Some(needed) if needed <= reader.length => Ok(()),
            needed => {
                let needed = needed.map_or_else(|| "2^64".to_owned(), |needed| needed.to_string());
                Err(damaged(format_args!(
                    "it is cut short: its header tells of {needed} bytes and it has {}",
                    reader.length
                )))
            }
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(&format!("{}.{key}", self.text("general.architecture")?))
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number under the architecture's name.
    fn number(&self, key: &str) -> Option<u32> {
        match self.get(key)? {
            &Value::U32(number) => Some(number),
            _ => None,
        }
    }

    /// The numbers of all layers under the architecture's name; one for all
    /// stands for itself.
    fn numbers(&self, key: &str) -> Option<&[u32]> {
        match self.get(key)? {
            Value::U32(number) => Some(std::slice::from_ref(number)),
            Value::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }

    fn check_purpose(&self) -> Result<()> {
        let general_type = self.text("general.type").unwrap_or("model");
        if let Some((_, what)) = OTHER_TYPES.iter().find(|(name, _)| *name == general_type) {
            return Err(unfit(format_args!("it is {what}")));
        }
        if let Some(&Value::U16(parts @ 2..)) = self.values.get("split.count") {
            return Err(unfit(format_args!(
                "it is one of the {parts} parts of a model; join them into one file"
            )));
        }
        let Some(architecture) = self.text("general.architecture") else {
            return Err(damaged("its header names no architecture"));
        };
        if let Some((what, _)) = OTHER_PURPOSES.iter().find(|(_, names)| has(names, architecture)) {
            return Err(unfit(format_args!("it is {what}")));
        }
        if self.number("pooling_type").is_some_and(|kind| kind != 0) {
            return Err(unfit("it is an embedding model: its header asks for pooling"));
        }
        if matches!(self.get("attention.causal"), Some(Value::Bool(false))) {
            return Err(unfit("it reads its whole text at once: its attention is not causal"));
        }
        if self.tensors == 0 {
            return Err(unfit("it holds no weights"));
        }
        Ok(())
    }

    fn check_vocabulary(&self) -> Result<()> {
        let tokenizer = self.text("tokenizer.ggml.model").unwrap_or("none");
        if matches!(tokenizer, "none" | "no_vocab") || self.vocabulary.len() == 0 {
            return Err(unfit("it has no vocabulary"));
        }
        if has(OTHER_TOKENIZERS, tokenizer) {
            return Err(unfit(format_args!(
                "its tokenizer, {tokenizer:?}, is not one of models that write text"
            )));
        }
        let longest = if tokenizer == "plamo2" { MAX_PLAMO2_TOKEN } else { MAX_TOKEN };
        let mut tokens = HashSet::with_capacity(self.vocabulary.len());
        let mut squares = 0u64;
        for token in self.vocabulary.iter() {
            squares = squares.saturating_add((token.len() as u64).saturating_pow(2));
            if token.len() > longest || squares > MAX_TOKEN_SQUARES {
                return Err(damaged(format_args!("its token {} is too long", quoted(token))));
            }
            if !tokens.insert(token) {
                return Err(damaged(format_args!("its vocabulary has the token {} twice", quoted(token))));
            }
        }
        if let Some(byte) = missing_byte(tokenizer, &tokens) {
            return Err(damaged(format_args!("its vocabulary has no token for the byte 0x{byte:02X}")));
        }
        self.check_outer_tokens(tokenizer)
    }

    /// The tokens that a tokenizer puts around a text are in the vocabulary.
    fn check_outer_tokens(&self, tokenizer: &str) -> Result<()> {
        let pre = self.text("tokenizer.ggml.pre").unwrap_or_default();
        let gemma4 = tokenizer == "gemma4";
        // llama.cpp's defaults, which also stand in for an id out of range.
        let (bos, eos) = match tokenizer {
            "llama" | "plamo2" => (Some(1), Some(2)),
            "rwkv" => return Ok(()),
            _ if gemma4 => (None, None),
            _ if matches!(pre, "chatglm-bpe" | "glm4" | "glm5") => (None, Some(11)),
            _ => (Some(11), Some(11)),
        };
        let missing = |key: &str, default: Option<u32>| {
            let given = match self.values.get(key) {
                Some(&Value::U32(id)) => Some(id),
                _ => None,
            };
            let known = |id: &u32| (*id as usize) < self.vocabulary.len();
            given.filter(known).or(default.filter(known)).is_none()
        };
        let asked = |key: &str, default: bool| match self.values.get(key) {
            Some(&Value::Bool(asked)) => asked,
            _ => default,
        };
        if (gemma4 || asked("tokenizer.ggml.add_bos_token", bos.is_some()))
            && missing("tokenizer.ggml.bos_token_id", bos)
        {
            return Err(damaged("its texts begin with a token that its vocabulary does not have"));
        }
        if asked("tokenizer.ggml.add_eos_token", false) && missing("tokenizer.ggml.eos_token_id", eos) {
            return Err(damaged("its texts end with a token that its vocabulary does not have"));
        }
        Ok(())
    }

    fn check_layers(&self) -> Result<()> {
        if let Some(layers) = self.number("block_count") {
            // Nanbeige runs its layers several times over, and counts each.
            let loops = self.number("num_loops").unwrap_or(1);
            if !(1..=MAX_LAYERS).contains(&layers.saturating_mul(loops)) {
                return Err(damaged(format_args!("its header counts {layers} layers, each {loops} times")));
            }
            // With none left, the graph has no layer at all.
            if self.number("nextn_predict_layers").is_some_and(|ahead| ahead >= layers) {
                return Err(damaged("its header leaves no layer for the text itself"));
            }
        }
        if let Some(window @ MAX_WINDOW..) = self.number("attention.sliding_window") {
            return Err(damaged(format_args!("its attention slides over {window} tokens")));
        }
        for key in ["layer_norm_epsilon", "layer_norm_rms_epsilon", "group_norm_epsilon"] {
            if let Some(&Value::F32(epsilon)) = self.get(&format!("attention.{key}"))
                && (epsilon.is_nan() || epsilon < 0.0)
            {
                return Err(damaged(format_args!("its {key} is {epsilon}")));
            }
        }
        Ok(())
    }

    fn check_experts(&self) -> Result<()> {
        let experts = self.number("expert_count").unwrap_or(0);
        let used = self.numbers("expert_used_count").and_then(|used| used.iter().max().copied()).unwrap_or(0);
        let groups = self.number("expert_group_count").unwrap_or(0);
        let groups_used = self.number("expert_group_used_count").unwrap_or(0);
        // These two count a dense layer as one expert.
        let architecture = self.text("general.architecture").unwrap_or_default();
        let dense = matches!(architecture, "hunyuan-dense" | "hunyuan_vl");
        let sound = match experts {
            0 | 1 if dense => groups == 0,
            0 if has(ONLY_EXPERTS, architecture) => false,
            0 => used == 0 && groups == 0,
            1..=MAX_EXPERTS => {
                (1..=experts).contains(&used)
                    && groups < experts
                    && (groups <= 1 || experts.is_multiple_of(groups) && (1..groups).contains(&groups_used))
            }
            _ => false,
        };
        if !sound {
            return Err(damaged(format_args!(
                "its header counts {experts} experts in {groups} groups, of which {used} and {groups_used} are used"
            )));
        }
        Ok(())
    }

    fn check_heads(&self) -> Result<()> {
        if let Some(Value::Text(kind)) = self.get("rope.scaling.type")
            && !has(ROPE_SCALINGS, kind)
        {
            return Err(damaged(format_args!("its rope scaling, {}, is unknown", quoted(kind.as_bytes()))));
        }
        let Some(heads) = self.numbers("attention.head_count") else {
            return Ok(());
        };
        let shared = self.numbers("attention.head_count_kv").unwrap_or(heads);
        // A number for all layers is repeated for each.
        for layer in 0..heads.len().max(shared.len()) {
            let (Some(&heads), Some(&shared)) =
                (heads.get(layer).or(heads.first()), shared.get(layer).or(shared.first()))
            else {
                break;
            };
            if heads > MAX_HEADS || shared > MAX_HEADS || shared > 0 && !heads.is_multiple_of(shared) {
                return Err(damaged(format_args!("its {heads} attention heads cannot share {shared} keys")));
            }
        }
        match (heads.first(), self.number("embedding_length")) {
            (Some(&heads @ 1..), Some(width)) => self.check_rope(width / heads),
            _ => Ok(()),
        }
    }

    /// Rope turns pairs of numbers within a head, whose length is `head`
    /// unless the header says otherwise, for all layers or for those with a
    /// sliding window.
    fn check_rope(&self, head: u32) -> Result<()> {
        let architecture = self.text("general.architecture").unwrap_or_default();
        let whole = has(WHOLE_ROPE, architecture);
        let same = whole || has(VALUE_AS_KEY, architecture);
        let (mut key, mut value, mut turned) = (head, head, None);
        for layers in ["", "_swa"] {
            key = self.number(&format!("attention.key_length{layers}")).unwrap_or(key);
            value = self.number(&format!("attention.value_length{layers}")).unwrap_or(value);
            turned = self.number(&format!("rope.dimension_count{layers}")).or(turned);
            let all = turned.unwrap_or(key);
            let sound = (!same || key == value)
                && (!whole || all == key)
                // Some architectures have no rope, and do not speak of it.
                && (turned.is_none() && !whole || all > 0 && all.is_multiple_of(2) && all <= key);
            if !sound {
                return Err(damaged(format_args!(
                    "its rope turns {all} numbers of keys with {key} and values with {value}"
                )));
            }
        }
        let sections = self.numbers("rope.dimension_sections").unwrap_or_default();
        let sections = &sections[..sections.len().min(4)];
        let sum = sections.iter().fold(0u32, |sum, &section| sum.saturating_add(section));
        if sum > key
            || has(ROPE_SECTIONS, architecture) && sections.iter().take(3).all(|&section| section == 0)
        {
            return Err(damaged(format_args!(
                "its rope has the sections {sections:?} in keys of {key} numbers"
            )));
        }
        Ok(())
    }

    /// llama.cpp's own memory for vocabulary and tensors fits: it is taken
    /// before the context's is.
    fn check_memory(&self, available: Option<u64>) -> Result<()> {
        let needed = self.memory();
        match available {
            Some(available) if needed > available => Err(unfit(format_args!(
                "its vocabulary needs some {} MB of memory and {} MB are free",
                needed.div_ceil(1_000_000),
                available / 1_000_000
            ))),
            _ => Ok(()),
        }
    }

    /// An upper estimate, in bytes.
    fn memory(&self) -> u64 {
        self.strings * MEMORY_PER_STRING
            + self.string_bytes * MEMORY_PER_BYTE
            + self.tensors * MEMORY_PER_TENSOR
    }
}

/// Bytes of a number's type, in arrays and alone.
fn size_of_number(kind: u32) -> Option<u64> {
    match kind {
        U8 | I8 | BOOL => Some(1),
        U16 | I16 => Some(2),
        U32 | I32 | F32 => Some(4),
        U64 | I64 | F64 => Some(8),
        _ => None,
    }
}

/// Reads a tensor's shape and type; returns its size in bytes.
fn read_tensor<R: Read + Seek>(reader: &mut Reader<R>, name: &str) -> Result<u64> {
    let dimensions = reader.u32()?;
    if dimensions > MAX_DIMENSIONS {
        return Err(damaged(format_args!("its tensor {name} has {dimensions} dimensions")));
    }
    let sizes = (0..dimensions).map(|_| reader.u64()).collect::<Result<Vec<_>>>()?;
    let kind = reader.u32()?;
    let Some((_, block, block_bytes)) = WEIGHT_TYPES.iter().find(|(number, ..)| *number == kind) else {
        return Err(damaged(format_args!("its tensor {name} is of type {kind}, which no weights have")));
    };
    let row = sizes.first().copied().unwrap_or(1);
    let elements = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
    match elements
        .filter(|&elements| elements > 0 && elements <= i64::MAX as u64 && row.is_multiple_of(*block))
    {
        _ if sizes.iter().skip(1).all(|&size| size == 1) && kind != TENSOR_F32 => {
            Err(damaged(format_args!("its tensor {name} is a vector of type {kind} and not F32")))
        }
        None => Err(damaged(format_args!("its tensor {name} has the sizes {sizes:?}"))),
        Some(elements) => (elements / block)
            .checked_mul(*block_bytes)
            .ok_or_else(|| damaged(format_args!("its tensor {name} is too large"))),
    }
}

/// The first byte of a text that a tokenizer, which falls back to single
/// bytes, would not find a token for. A prompt has no NUL.
fn missing_byte(tokenizer: &str, tokens: &HashSet<&[u8]>) -> Option<u8> {
    match tokenizer {
        "llama" => (1..=u8::MAX).find(|&byte| {
            !tokens.contains(format!("<0x{byte:02X}>").as_bytes()) && !tokens.contains([byte].as_slice())
        }),
        "rwkv" => {
            let mut known = [false; 256];
            for token in tokens {
                if let [byte] = *unescaped(token) {
                    known[usize::from(byte)] = true;
                }
            }
            (1..=u8::MAX).find(|&byte| !known[usize::from(byte)])
        }
        _ => None,
    }
}

/// The bytes of an `rwkv` token: `\xHH`, `\t`, `\n`, `\r`, or `\` before a
/// character that stands for itself.
fn unescaped(token: &[u8]) -> Cow<'_, [u8]> {
    if !token.contains(&b'\\') {
        return Cow::Borrowed(token);
    }
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match (byte, if byte == b'\\' { rest.next() } else { None }) {
            (b'\\', None) => continue,
            (b'\\', Some(b't')) => b'\t',
            (b'\\', Some(b'n')) => b'\n',
            (b'\\', Some(b'r')) => b'\r',
            (b'\\', Some(b'x')) => {
                let digits = [rest.next(), rest.next()];
                let [Some(&high), Some(&low)] = digits else { continue };
                let text = [high, low];
                match std::str::from_utf8(&text).ok().and_then(|text| u8::from_str_radix(text, 16).ok()) {
                    Some(byte) => byte,
                    None => continue,
                }
            }
            (_, Some(&escaped)) => escaped,
            (byte, None) => byte,
        });
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const EMBER: &[u8] = include_bytes!("../../models/ember/ember.gguf");

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
}
