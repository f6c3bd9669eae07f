//! Reads the header of a GGUF file: the values that the rules need.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};

use super::fault::{Result, damaged, quoted, unfit};
use super::reader::Reader;
use super::tables::{
    ALIGNMENT, ARRAY, BOOL, F32, F64, I8, I16, I32, I64, MAGIC, MAX_DIMENSIONS, MAX_KEYS, MAX_LAYERS,
    MAX_NAME, MAX_TENSORS, STRING, TENSOR_F32, U8, U16, U32, U64, VERSIONS, WEIGHT_TYPES,
};

/// A value of a type that some rule needs; `Other` stands for all the rest. If
/// a key has another type than llama.cpp expects, llama.cpp reports it.
#[derive(Debug)]
pub(super) enum Value {
    U16(u16),
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    /// An array with a number or flag for each layer.
    Numbers(Vec<u32>),
    Other,
}

/// The values of a header that the rules need.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) values: HashMap<String, Value>,
    pub(super) vocabulary: Vocabulary,
    pub(super) tensors: u64,
    /// The number of string values, and the bytes of strings and long arrays:
    /// both for the estimate of memory.
    pub(super) strings: u64,
    pub(super) string_bytes: u64,
}

/// The texts of all tokens, one after the other, and where each ends.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    texts: Vec<u8>,
    ends: Vec<usize>,
}

impl Vocabulary {
    pub(super) fn push(&mut self, text: &[u8]) {
        // llama.cpp reads each text as a C string, and gives an empty one a
        // name.
        let text = c_string(text);
        match text {
            [] => self.texts.extend_from_slice(format!("[EMPTY_{}]", self.ends.len()).as_bytes()),
            _ => self.texts.extend_from_slice(text),
        }
        self.ends.push(self.texts.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.texts[start..end])
    }
}

/// The part of a string that C sees: the bytes before its first NUL.
pub(super) fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

impl Header {
    pub(super) fn read<R: Read + Seek>(inner: R, length: u64) -> Result<Self> {
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

    pub(super) fn read_key<R: Read + Seek>(&mut self, reader: &mut Reader<R>) -> Result<()> {
        let key = reader.text()?;
        let key = match String::from_utf8(key) {
            // llama.cpp compares keys as C strings, only up to the first NUL.
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

    pub(super) fn read_array<R: Read + Seek>(&mut self, key: &str, reader: &mut Reader<R>) -> Result<Value> {
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

    pub(super) fn count_string(&mut self, text: &[u8]) {
        self.strings += 1;
        self.string_bytes += text.len() as u64;
    }

    /// Reads the descriptions of the tensors and checks what llama.cpp expects
    /// of their data: one after the other, aligned, all within the file.
    pub(super) fn read_tensors<R: Read + Seek>(&self, reader: &mut Reader<R>) -> Result<()> {
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

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(&format!("{}.{key}", self.text("general.architecture")?))
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of `key`, prefixed with the architecture's name.
    pub(super) fn number(&self, key: &str) -> Option<u32> {
        match self.get(key)? {
            &Value::U32(number) => Some(number),
            _ => None,
        }
    }

    /// The numbers of all layers of `key`, prefixed with the architecture's
    /// name. One number for all layers gives a slice of one.
    pub(super) fn numbers(&self, key: &str) -> Option<&[u32]> {
        match self.get(key)? {
            Value::U32(number) => Some(std::slice::from_ref(number)),
            Value::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }
}

/// Size of a number type in bytes; `None` if `kind` is no number.
pub(super) fn size_of_number(kind: u32) -> Option<u64> {
    match kind {
        U8 | I8 | BOOL => Some(1),
        U16 | I16 => Some(2),
        U32 | I32 | F32 => Some(4),
        U64 | I64 | F64 => Some(8),
        _ => None,
    }
}

/// Reads a tensor's shape and type; returns its size in bytes.
pub(super) fn read_tensor<R: Read + Seek>(reader: &mut Reader<R>, name: &str) -> Result<u64> {
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
