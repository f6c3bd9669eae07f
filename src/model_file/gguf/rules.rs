//! The rules: one for each way in which a header would make llama.cpp end the
//! process.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::Seek;
use std::path::Path;

use super::fault::{Fault, Result, damaged, quoted, unfit};
use super::header::{Header, Value};
use super::tables::{
    MAX_EXPERTS, MAX_HEADS, MAX_LAYERS, MAX_PLAMO2_TOKEN, MAX_TOKEN, MAX_TOKEN_SQUARES, MAX_WINDOW,
    MEMORY_PER_BYTE, MEMORY_PER_STRING, MEMORY_PER_TENSOR, ONLY_EXPERTS, OTHER_PURPOSES, OTHER_TOKENIZERS,
    OTHER_TYPES, ROPE_SCALINGS, ROPE_SECTIONS, VALUE_AS_KEY, WHOLE_ROPE,
};
use crate::board::memory;

/// Checks the file at `path`; see [`check`].
///
/// # Errors
///
/// When [`check`] refuses it, or it cannot be opened.
pub(crate) fn check_path(path: &Path) -> Result<()> {
    check(&File::open(path).map_err(Fault::unreadable)?)
}

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

/// Whether `name` is one of `names`, which are separated by spaces.
fn has(names: &str, name: &str) -> bool {
    names.split(' ').any(|one| one == name)
}

impl Header {
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

    /// Checks that the vocabulary has the tokens which the tokenizer puts
    /// around a text.
    fn check_outer_tokens(&self, tokenizer: &str) -> Result<()> {
        let pre = self.text("tokenizer.ggml.pre").unwrap_or_default();
        let gemma4 = tokenizer == "gemma4";
        // llama.cpp's default ids, which it also uses if the header's id is out
        // of range.
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
            // Nanbeige runs its layers several times, and llama.cpp counts each
            // run.
            let loops = self.number("num_loops").unwrap_or(1);
            if !(1..=MAX_LAYERS).contains(&layers.saturating_mul(loops)) {
                return Err(damaged(format_args!("its header counts {layers} layers, each {loops} times")));
            }
            // If all layers are for prediction, the graph has none left.
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
        // These two architectures count a dense layer as one expert.
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
        // A single number holds for all layers.
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

    /// Checks rope, which rotates pairs of numbers within a head. The length of
    /// a head is `head` unless the header gives another, for all layers or,
    /// with the suffix `_swa`, for those with a sliding window.
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
                // Architectures without rope have no key for it.
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

    /// Checks that the available memory suffices for what llama.cpp allocates
    /// for the vocabulary and the tensors' descriptions, before it allocates
    /// the context.
    pub(super) fn check_memory(&self, available: Option<u64>) -> Result<()> {
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

    /// An upper estimate of that memory, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.strings * MEMORY_PER_STRING
            + self.string_bytes * MEMORY_PER_BYTE
            + self.tensors * MEMORY_PER_TENSOR
    }
}

/// The first byte value that has no token in the vocabulary, if the tokenizer
/// falls back to one token for each byte. NUL needs none: a prompt has no NUL.
pub(super) fn missing_byte(tokenizer: &str, tokens: &HashSet<&[u8]>) -> Option<u8> {
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

/// The bytes of an `rwkv` token, whose escapes are `\xHH`, `\t`, `\n`, `\r`,
/// and `\` before any other character, which stands for that character.
pub(super) fn unescaped(token: &[u8]) -> Cow<'_, [u8]> {
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
