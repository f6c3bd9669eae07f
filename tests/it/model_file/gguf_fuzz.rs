//! Fuzzing with mutated headers of ember, the proof of the net in `src/mind/net.rs`.
//! Each file is given to a process of its own, which must either refuse it in one
//! line and with exit status 1, or live a whole life.
//!
//! `GGUF_FUZZ=FROM..TO cargo test --release gguf_fuzz` runs those cases instead
//! of the first 300: a failure names its case. `GGUF_FUZZ_KEEP=FOLDER` keeps
//! the files of those that fail or hang. `GGUF_FUZZ_MODEL=FILE` mutates the header
//! of that file; its weights are then zeros that take no room on the disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use nix::sys::resource::Resource::{RLIMIT_AS, RLIMIT_CORE};

use crate::support::dice::Dice;
use crate::support::gguf_file::{ARRAY, Gguf, STRING, Value};
use crate::support::nexus::{DEATH, Nexus, limit};

/// Cases of a normal test run: some 5 s on two cores.
const CASES: Range<u64> = 0..300;

/// Address space of a child, in bytes: what the board has in memory. A life of
/// ember takes less than 200 MB of it.
const ADDRESS_SPACE: u64 = 416 << 20;

/// A case takes some 30 ms, on busy cores seconds. One that takes so long hangs,
/// which is the watchdog's to end.
const LIMIT: Duration = Duration::from_secs(120);

const MAX_I32: u64 = i32::MAX as u64;
const MAX_U32: u64 = u32::MAX as u64;
const MIN_I32: u64 = 1 << 31;
const MAX: u64 = u64::MAX;

/// Numbers at which something may go wrong.
const NUMBERS: [u64; 24] = [
    0, 1, 2, 3, 5, 8, 31, 32, 63, 64, 66, 127, 128, 255, 256, 512, 513, 1024, 2048, 65_535, MAX_I32, MIN_I32,
    MAX_U32, MAX,
];

/// Architectures, tokenizers and kinds of rope scaling.
const WORDS: &str = "llama llama qwen2 qwen3 gemma gemma2 gemma3 gpt2 phi3 falcon mamba rwkv6 rwkv7 t5 exaone \
                     minicpm olmo2 deci internlm2 bert plamo2 rwkv none smollm yarn longrope su";

/// Keys that ember does not have.
const KEYS: &str = "expert_count expert_used_count expert_group_count nextn_predict_layers pooling_type \
                    attention.sliding_window attention.key_length attention.value_length \
                    rope.scaling.type rope.dimension_sections rope.dimension_count_swa attention.causal";

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A number near `truth`, or one of [`NUMBERS`].
    fn number(&mut self, truth: u64) -> u64 {
        match self.below(4) {
            0 => truth.wrapping_add(1),
            1 => truth.wrapping_sub(1),
            _ => NUMBERS[self.below(NUMBERS.len())],
        }
    }

    fn word(&mut self, list: &'static str) -> &'static str {
        let words: Vec<_> = list.split(' ').collect();
        words[self.below(words.len())]
    }

    /// Damages some of the bytes, most often near their beginning.
    fn scratch(&mut self, bytes: &mut [u8]) {
        for _ in 0..1 + self.below(8) {
            let range = if self.below(2) == 0 { bytes.len() } else { bytes.len().min(1000) };
            if let Some(byte) = bytes.get_mut(self.below(range)) {
                *byte = self.number((*byte).into()) as u8;
            }
        }
    }
}

/// The model whose header is mutated.
fn model() -> Gguf {
    let Some(path) = std::env::var_os("GGUF_FUZZ_MODEL") else { return Gguf::ember() };
    let mut bytes = Vec::new();
    // More than any header.
    File::open(path).and_then(|file| file.take(64 << 20).read_to_end(&mut bytes)).expect("a file");
    Gguf { data: Vec::new(), ..Gguf::of(&bytes) }
}

/// Writes the mutated file of a case.
fn write_case(model: &Gguf, number: u64, nexus: &Nexus) -> PathBuf {
    let mut dice = Dice(number.wrapping_mul(0xD134_2543_DE82_EF95));
    let mut gguf = model.clone();
    for _ in 0..[0, 1, 1, 1, 2, 2, 3, 5][dice.below(8)] {
        match dice.below(12) {
            0 => _ = gguf.rename_architecture(dice.word(WORDS)),
            1 => {
                let prefix = gguf.architecture();
                let value = if dice.below(4) > 0 {
                    Value::u32(dice.number(2) as u32)
                } else {
                    Value::i32s(&vec![dice.number(2) as i32; dice.below(8)])
                };
                gguf.set(&format!("{prefix}.{}", dice.word(KEYS)), value);
            }
            2..=6 => mutate_key(&mut gguf, &mut dice),
            7..=10 => mutate_tensor(&mut gguf, &mut dice),
            _ if dice.below(2) == 0 => gguf.key_count = Some(dice.number(gguf.keys.len() as u64)),
            _ => gguf.tensor_count = Some(dice.number(gguf.tensors.len() as u64)),
        }
    }
    let mut header = gguf.header();
    if dice.below(10) == 0 {
        dice.scratch(&mut header);
    }
    let mut length = (header.len() as u64).saturating_add(gguf.data_end()).min(1 << 32);
    if dice.below(30) == 0 {
        length = dice.next() % length;
    }
    let path = nexus.file("mutant.gguf", header);
    let mut file = File::options().append(true).open(&path).expect("the file");
    file.write_all(&gguf.data).and_then(|()| file.set_len(length)).expect("room for it");
    path
}

fn mutate_key(gguf: &mut Gguf, dice: &mut Dice) {
    if gguf.keys.is_empty() {
        return;
    }
    let at = dice.below(gguf.keys.len());
    let other = gguf.keys[dice.below(gguf.keys.len())].clone();
    let (name, value) = &mut gguf.keys[at];
    match dice.below(8) {
        0 => _ = gguf.keys.remove(at),
        1 => gguf.keys.push(other),
        2 => *value = other.1,
        3 => dice.scratch(name),
        4 => value.kind = dice.below(14) as u32,
        _ if value.kind == STRING => *value = Value::text(dice.word(WORDS)),
        5 if value.kind == ARRAY && value.bytes.len() >= 12 => {
            let count = u64::from_le_bytes(value.bytes[4..12].try_into().expect("eight bytes"));
            value.bytes[4..12].copy_from_slice(&dice.number(count).to_le_bytes());
        }
        6 if value.bytes.starts_with(&STRING.to_le_bytes()) => {
            let mut texts = value.to_texts();
            let (one, another) = (dice.below(texts.len()), dice.below(texts.len()));
            match dice.below(4) {
                _ if texts.is_empty() => {}
                0 => texts[one] = texts[another].clone(),
                1 => texts[one].insert(0, 0),
                2 => texts[one] = b" a"[..1 + dice.below(2)].repeat(dice.below(20_000)),
                _ => texts.truncate(one),
            }
            *value = Value::texts(&texts);
        }
        _ => match &mut value.bytes[..] {
            number @ ([_] | [_, _] | [_, _, _, _]) => {
                let length = number.len();
                let new = dice.number(number[0].into()).to_le_bytes();
                number.copy_from_slice(&new[..length]);
            }
            bytes => dice.scratch(bytes),
        },
    }
}

fn mutate_tensor(gguf: &mut Gguf, dice: &mut Dice) {
    if gguf.tensors.is_empty() {
        return;
    }
    let at = dice.below(gguf.tensors.len());
    let other = gguf.tensors[dice.below(gguf.tensors.len())].clone();
    let tensor = &mut gguf.tensors[at];
    match dice.below(9) {
        0 => tensor.name = other.name,
        1 => dice.scratch(&mut tensor.name),
        2 | 3 => tensor.kind = dice.below(46) as u32,
        4 => tensor.sizes = other.sizes,
        5 => {
            let axis = dice.below(tensor.sizes.len());
            if let Some(size) = tensor.sizes.get_mut(axis) {
                *size = dice.number(*size);
            }
        }
        6 => tensor.offset = dice.number(tensor.offset),
        7 => _ = gguf.tensors.remove(at),
        _ => gguf.tensors.push(other),
    }
    if dice.below(4) > 0 {
        gguf.lay_out();
    }
}

/// Runs the program with a file. Returns how it ended, in a few words; `Err` if
/// it must not end that way.
fn run(nexus: &Nexus, file: &Path, number: u64) -> Result<&'static str, String> {
    // With each of these, llama.cpp creates other samplers, some of which use
    // the vocabulary.
    let options: &[&str] = match number % 4 {
        0 => &["--dry-multiplier", "0.8", "--repeat-penalty", "1.1"],
        1 => &["--temp", "0.8", "--seed", "1"],
        _ => &[],
    };
    let mut command = nexus.command(["-c", "96", "-p", "prompt.txt", "-m"]);
    command.arg(file).args(options);
    limit(&mut command, RLIMIT_AS, ADDRESS_SPACE);
    limit(&mut command, RLIMIT_CORE, 0);
    let start = Instant::now();
    let output = Command::from_std(command).timeout(LIMIT).output().map_err(|error| error.to_string())?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut lines = stderr.lines().rev();
    let is_one_fault = lines.next().is_some_and(|last| last.starts_with("error: "))
        && lines.all(|line| line.starts_with("warning: "));
    match output.status.code() {
        Some(101) if stderr.ends_with(DEATH) => Ok("lived"),
        Some(1) if is_one_fault && stderr.contains("cannot go on with model") => Ok("ended by the net"),
        Some(1) if is_one_fault && stderr.contains("llama.cpp") => Ok("refused by llama.cpp"),
        Some(1) if is_one_fault && stderr.contains("cannot be used") => Ok("refused by the header"),
        Some(1) if is_one_fault => Ok("refused later"),
        None if start.elapsed() >= LIMIT => Ok("hung"),
        _ => Err(format!("{} said: {stderr}", output.status)),
    }
}

/// Runs cases on all cores; returns how often each ending occurred, and the
/// failures.
fn campaign(cases: Range<u64>) -> (BTreeMap<&'static str, usize>, Vec<String>) {
    let next = AtomicU64::new(cases.start);
    let endings = Mutex::new((BTreeMap::new(), Vec::new()));
    let keep = std::env::var_os("GGUF_FUZZ_KEEP");
    let model = model();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let nexus = Nexus::new();
                nexus.file("prompt.txt", "Hi, 42 \u{e9}");
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= cases.end {
                        break;
                    }
                    let file = write_case(&model, number, &nexus);
                    let ended = run(&nexus, &file, number);
                    if let (Some(folder), Err(_) | Ok("hung")) = (&keep, &ended) {
                        let kept = Path::new(folder).join(format!("{number}.gguf"));
                        fs::copy(&file, kept).expect("GGUF_FUZZ_KEEP is a folder");
                    }
                    let mut endings = endings.lock().expect("no worker panics");
                    match ended {
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
    let given = std::env::var("GGUF_FUZZ").ok().map(|range| {
        let (from, to) = range.split_once("..").expect("GGUF_FUZZ is FROM..TO");
        from.parse().expect("a number")..to.parse().expect("a number")
    });
    let (endings, failures) = campaign(given.clone().unwrap_or(CASES));
    println!("{endings:?}");
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
    let hung = endings.get("hung").copied().unwrap_or(0);
    assert!(hung * 100 <= endings.values().sum(), "{hung} cases hang: {endings:?}");
    for ending in ["lived", "refused by the header", "refused by llama.cpp", "ended by the net"] {
        assert!(given.is_some() || endings.contains_key(ending), "no case is {ending}: {endings:?}");
    }
}
