//! Checks a file's GGUF header before llama.cpp opens the file: that its weights
//! are all there, and that it is none of the files that people take for a model.
//!
//! | the file is | the header has | the answer |
//! |---|---|---|
//! | a pointer to the file (Git LFS, git-annex, Xet) | no `GGUF`, but how those begin | fetch the file itself |
//! | something else | no `GGUF`, or a version that llama.cpp does not read | it is not a GGUF file |
//! | cut short | more than the file holds, or a tensor that ends after it | download it again |
//! | an adapter, a vision part, an importance matrix | that `general.type` or architecture | it is that |
//! | anything but an adapter, for `--lora` | no `adapter.type` of `lora` | it is no adapter |
//! | one part of several | a `split.count` above 1 | join them |
//! | an embedding or diffusion model | that architecture, pooling, attention that is not causal | it is that |
//! | a vocabulary only | no tensors | it holds no weights |
//! | of a withdrawn quantization | a tensor of that type | take another file of the model |
//!
//! All else is llama.cpp's to refuse: its own error is quoted, and where it ends
//! the process, `mind::net` of the program says so.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The first four bytes of every GGUF file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// How the texts begin that a repository has in place of a large file.
const POINTERS: [(&[u8], &str); 4] = [
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"/annex/objects/", "a git-annex pointer"),
    (b"../.git/annex/objects/", "a git-annex link"),
    (b"# xet version", "a Xet pointer"),
];

/// What kind of pointer to a file, in place of the file itself, begins with these bytes.
pub(crate) fn pointer(beginning: &[u8]) -> Option<&'static str> {
    POINTERS.into_iter().find_map(|(begins, kind)| beginning.starts_with(begins).then_some(kind))
}

/// GGUF versions that llama.cpp reads. Version 1 had counts of 32 bits; there
/// is no version 4 yet.
const VERSIONS: std::ops::RangeInclusive<u64> = 2..=3;

/// The alignment of the tensors' data in bytes, unless `general.alignment` gives
/// another: `GGUF_DEFAULT_ALIGNMENT` of gguf.h.
const ALIGNMENT: u64 = 32;

/// The longest text that is read, in bytes; a longer one is skipped. GGUF's keys
/// have at most this many.
const MAX_TEXT: u64 = 65_535;

/// Bytes of a value, by its type (`enum gguf_type` of gguf.h); a string and an
/// array have none.
const VALUE_BYTES: [u64; 13] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const STRING: u64 = 8;
const ARRAY: u64 = 9;

/// The type of unquantized weights, `GGML_TYPE_F32`.
const F32: u64 = 0;

/// Elements and bytes of a block of weights, by its type (`enum ggml_type` of
/// ggml.h); 0 for types that ggml has withdrawn.
const BLOCK_ELEMENTS: [u64; 43] = [
    1, 1, 32, 32, 0, 0, 32, 32, 32, 32, 256, 256, 256, 256, 256, 256, 256, 256, 256, 256, 32, 256, 256, 256,
    1, 1, 1, 1, 1, 256, 1, 0, 0, 0, 256, 256, 0, 0, 0, 32, 64, 128, 64,
];
const BLOCK_BYTES: [u64; 43] = [
    4, 2, 18, 20, 0, 0, 22, 24, 34, 36, 84, 110, 144, 176, 210, 292, 66, 74, 98, 50, 18, 110, 82, 136, 1, 2,
    4, 8, 8, 56, 2, 0, 0, 0, 54, 66, 0, 0, 0, 17, 36, 18, 18,
];

/// llama.cpp's architectures of embedding models.
const EMBEDDING: &str = "bert modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 \
                         eurobert gemma-embedding llama-embed";

/// Why a file is refused. The text is a clause about the file, as in "it is not
/// a GGUF file".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    what: String,
    next: &'static str,
    is_damage: bool,
}

impl Defect {
    /// Whether another copy of the file may be sound.
    #[must_use]
    pub(crate) fn is_damage(&self) -> bool {
        self.is_damage
    }

    /// The next step for the user.
    #[must_use]
    pub(crate) fn next(&self) -> &'static str {
        self.next
    }
}

impl Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

type Result<T, E = Defect> = std::result::Result<T, E>;

fn damaged(what: impl Display) -> Defect {
    let next = "download or copy it again, or give --model ember";
    Defect { what: what.to_string(), next, is_damage: true }
}

fn unfit(what: impl Display) -> Defect {
    let next = "name a model that writes text with --model, or give --model ember";
    Defect { what: what.to_string(), next, is_damage: false }
}

fn unreadable(error: io::Error) -> Defect {
    damaged(format_args!("it cannot be read ({error})"))
}

/// The file, the position in it, and its length.
struct HeaderReader {
    file: BufReader<File>,
    position: u64,
    length: u64,
}

impl HeaderReader {
    /// Moves the position past the next `count` elements of `size` bytes. It
    /// fails if the file has fewer left, so that nothing is read or allocated for
    /// a count that the file does not hold.
    fn claim(&mut self, count: u64, size: u64) -> Result<u64> {
        let end = count.checked_mul(size).and_then(|bytes| bytes.checked_add(self.position));
        match end.filter(|&end| end <= self.length) {
            Some(end) => Ok(end - std::mem::replace(&mut self.position, end)),
            None => Err(damaged("its header says more than the file holds: it is cut short or damaged")),
        }
    }

    fn skip(&mut self, count: u64, size: u64) -> Result<()> {
        let bytes = self.claim(count, size)?;
        self.file.seek_relative(bytes as i64).map_err(unreadable)
    }

    /// A number of at most 8 bytes.
    fn number(&mut self, size: u64) -> Result<u64> {
        self.claim(1, size)?;
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes[..size as usize]).map_err(unreadable)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn text(&mut self) -> Result<String> {
        let length = self.number(8)?;
        if length > MAX_TEXT {
            return self.skip(length, 1).map(|()| String::new());
        }
        let mut bytes = vec![0; self.claim(length, 1)? as usize];
        self.file.read_exact(&mut bytes).map_err(unreadable)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What a GGUF file is to be used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A model that writes text.
    Model,
    /// An adapter (LoRA) of one.
    Adapter,
}

/// A tensor of one dimension in f32, as norms are: its name, and where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector {
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// What a key has.
enum Value {
    /// The bits of a number or a flag.
    Number(u64),
    Text(String),
    /// An array, which is skipped.
    Array,
}

/// Checks the header of the file at `path`, and that its weights are all there.
/// Returns its vectors of f32.
///
/// # Errors
///
/// When it cannot be read, is damaged, or is for another purpose.
pub fn check_path(path: &Path, purpose: Purpose) -> Result<Vec<Vector>> {
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut reader = HeaderReader { file: BufReader::with_capacity(1 << 16, file), position: 0, length };
    let beginning = reader.file.fill_buf().map_err(unreadable)?;
    if let Some(kind) = pointer(beginning) {
        let next =
            "fetch the file itself (`git lfs pull`, `git annex get`, or download it), or give --model ember";
        return Err(Defect { next, ..unfit(format_args!("it is {kind}, a text in place of the file")) });
    }
    if !beginning.starts_with(MAGIC) {
        return Err(unfit("it is not a GGUF file"));
    }
    reader.skip(MAGIC.len() as u64, 1)?;
    let version = reader.number(4)?;
    if !VERSIONS.contains(&version) {
        return Err(damaged(format_args!("it is of GGUF version {version}, and 2 and 3 can be read")));
    }
    let (tensors, keys) = (reader.number(8)?, reader.number(8)?);
    let mut alignment = ALIGNMENT;
    let (mut mistaken, mut is_adapter) = (None, false);
    for _ in 0..keys {
        let key = reader.text()?;
        let value = read_value(&mut reader, &key)?;
        mistaken = mistaken.or_else(|| mistaken_for_a_model(&key, &value));
        is_adapter |= matches!((&*key, &value), ("adapter.type", Value::Text(kind)) if kind == "lora");
        if let ("general.alignment", Value::Number(number)) = (&*key, value) {
            alignment = number;
        }
    }
    match (purpose, mistaken) {
        (Purpose::Model, Some(what)) => return Err(unfit(what)),
        (Purpose::Adapter, _) if !is_adapter => return Err(unfit("it is no adapter (LoRA)")),
        _ => {}
    }
    if tensors == 0 {
        return Err(unfit("it holds no weights, only a vocabulary"));
    }
    let (mut end, mut vectors) = (0, Vec::new());
    for _ in 0..tensors {
        end = read_tensor(&mut reader, &mut vectors)?.max(end);
    }
    let start = reader.position.checked_next_multiple_of(alignment.max(1));
    match start.and_then(|start| Some((start, start.checked_add(end)?))) {
        Some((start, needed)) if needed <= length => {
            vectors.iter_mut().for_each(|vector| vector.start += start);
            Ok(vectors)
        }
        needed => Err(damaged(format_args!(
            "it is cut short: its header tells of {} bytes and it has {length}",
            needed.map_or(u64::MAX, |(_, needed)| needed)
        ))),
    }
}

fn read_value(reader: &mut HeaderReader, key: &str) -> Result<Value> {
    let bytes_of = |kind: u64| {
        let bytes = VALUE_BYTES.get(kind as usize).copied().filter(|&bytes| bytes > 0);
        bytes.ok_or_else(|| damaged(format_args!("its key {key:?} has no type")))
    };
    match reader.number(4)? {
        STRING => Ok(Value::Text(reader.text()?)),
        ARRAY => {
            let (kind, count) = (reader.number(4)?, reader.number(8)?);
            if kind != STRING {
                reader.skip(count, bytes_of(kind)?)?;
                return Ok(Value::Array);
            }
            for _ in 0..count {
                let length = reader.number(8)?;
                reader.skip(length, 1)?;
            }
            Ok(Value::Array)
        }
        kind => Ok(Value::Number(reader.number(bytes_of(kind)?)?)),
    }
}

/// What the file is instead of a model that writes text, if this key says so.
fn mistaken_for_a_model(key: &str, value: &Value) -> Option<String> {
    // The keys of an architecture begin with its name.
    let what = match (key.split_once('.')?, value) {
        (("split", "count"), Value::Number(parts @ 2..)) => {
            return Some(format!(
                "it is one of the {parts} parts of a model, which llama-gguf-split --merge joins"
            ));
        }
        (("general", "type"), Value::Text(kind)) => match &**kind {
            "adapter" => "it is an adapter (LoRA), which changes a model and is none",
            "mmproj" => "it is the vision part of a model",
            "imatrix" => "it is an importance matrix",
            _ => return None,
        },
        (("general", "architecture"), Value::Text(name)) => match &**name {
            "clip" => "it is the vision part of a model",
            name if EMBEDDING.split(' ').any(|one| one == name) => "it is an embedding model",
            _ => return None,
        },
        ((_, "pooling_type"), Value::Number(1..)) => "it is an embedding model: its header asks for pooling",
        ((_, "attention.causal"), Value::Number(0)) => {
            "it reads its whole text at once: its attention is not causal"
        }
        _ => return None,
    };
    Some(what.to_owned())
}

/// Reads the description of a tensor, and adds it to `vectors` if it is one; returns
/// where its data ends. Counted from where the data of all tensors begins.
fn read_tensor(reader: &mut HeaderReader, vectors: &mut Vec<Vector>) -> Result<u64> {
    let name: String = reader.text()?.chars().take(64).collect();
    let mut elements = Some(1u64);
    let dimensions = reader.number(4)?;
    for _ in 0..dimensions {
        let size = reader.number(8)?;
        elements = elements.and_then(|elements| elements.checked_mul(size));
    }
    let kind = reader.number(4)?;
    let offset = reader.number(8)?;
    let block = BLOCK_ELEMENTS.get(kind as usize).zip(BLOCK_BYTES.get(kind as usize));
    if matches!(kind, 31..=33 | 36..=38) {
        // Orders of blocks in memory had types of their own until ggml withdrew them.
        let instead = if kind < 36 { "Q4_0" } else { "IQ4_NL" };
        let order = ["4_4", "4_8", "8_8"][(kind as usize - 1) % 5];
        return Err(unfit(format_args!(
            "its weights are of type {instead}_{order}, which was withdrawn from llama.cpp: take the {instead} file of this model"
        )));
    }
    let Some((&block @ 1.., &bytes)) = block else {
        return Err(damaged(format_args!("its tensor {name:?} is of type {kind}, which no weights have")));
    };
    let size = elements.and_then(|elements| (elements / block).checked_mul(bytes));
    let Some((size, end)) = size.and_then(|size| Some((size, size.checked_add(offset)?))) else {
        return Err(damaged(format_args!("its tensor {name:?} is too large")));
    };
    if (kind, dimensions) == (F32, 1) {
        vectors.push(Vector { name, start: offset, bytes: size });
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_weights_are_as_long_as_ggmls() {
        assert_eq!(BLOCK_BYTES.len(), llama_cpp_sys_2::GGML_TYPE_COUNT as usize);
        for (kind, own) in BLOCK_ELEMENTS.into_iter().zip(BLOCK_BYTES).enumerate() {
            let kind = kind as llama_cpp_sys_2::ggml_type;
            // SAFETY: both look up a type that is below the count.
            let ggmls =
                unsafe { (llama_cpp_sys_2::ggml_blck_size(kind), llama_cpp_sys_2::ggml_type_size(kind)) };
            assert_eq!((own.0 as i64, own.1 as usize), ggmls, "type {kind}");
        }
    }
}
