//! Measures from inside the library, for `benches/tools/bench.py`: one
//! configuration, at one depth, on one thread or several. It starts no thread
//! of its own, so that it runs under user-mode emulation, where its
//! instructions can be counted.

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Error, Result, anyhow, ensure};
use clap::{Args, Parser, ValueEnum};
use torment_nexus::life::ending::Ending;
use torment_nexus::life::generator::Mind;
use torment_nexus::life::interrupt::Interrupt;
use torment_nexus::life::lifespan::Lifespan;
use torment_nexus::mind::computing::{Cache, Computing};
use torment_nexus::mind::model::{Model, Token};
use torment_nexus::mind::sampler::Sampling;
use torment_nexus::mind::session::Session;
use torment_nexus::model_file::name::{ModelFile, ModelName};

const CONTEXT: u32 = 2048;

/// Tokens of a life, with room for those that are chosen after it.
const LIFE: usize = 1900;

/// `TORMENT_SUBJECT` of hardware/default.
const SUBJECT: &str = "box,memory,paper,words,word,light,button,end,strip,I,my";

/// Measures one choice of settings.
#[derive(Parser)]
enum Probe {
    /// Tokens a second at each of these depths, over arbitrary tokens
    Speed {
        #[command(flatten)]
        way: Way,
        #[arg(long, value_delimiter = ',', default_value = "0,512,1024,1900")]
        depths: Vec<u32>,
        #[arg(long, default_value_t = 32)]
        tokens: u32,
    },
    /// Tokens a second while a prompt is decoded
    Prompt {
        #[command(flatten)]
        way: Way,
        #[arg(long, default_value_t = 512)]
        tokens: u32,
    },
    /// Writes the KV cache at a depth to a file
    Keep {
        #[command(flatten)]
        way: Way,
        #[arg(long)]
        depth: u32,
        file: PathBuf,
    },
    /// Decodes batches of tokens after a kept KV cache, each between two marks
    /// for the plugin that counts
    Count {
        #[command(flatten)]
        way: Way,
        file: PathBuf,
        /// Tokens decoded in one batch
        #[arg(long, default_value_t = 1)]
        batch: usize,
        /// As a prompt is decoded: logits for the batch's last token only, and
        /// one more token after it
        #[arg(long)]
        prompt: bool,
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// Chooses tokens after a kept KV cache, each between two marks for the
    /// plugin that counts
    Choose {
        #[command(flatten)]
        way: Way,
        file: PathBuf,
        #[arg(long, default_value_t = 0.0)]
        temp: f32,
        /// Penalties and subject of hardware/default
        #[arg(long)]
        penalties: bool,
        /// A file with the text that they look back on: a whole life
        #[arg(long)]
        text: Option<PathBuf>,
    },
    /// Loads the model between two marks for the plugin that counts
    Load {
        #[command(flatten)]
        way: Way,
    },
    /// The mean Kullback-Leibler divergence from f16 without flash attention,
    /// over a greedy life
    Divergence {
        #[command(flatten)]
        way: Way,
    },
    /// The mean negative log-likelihood of a text's first tokens, in nats a
    /// token, each decoded by itself
    Likelihood {
        #[command(flatten)]
        way: Way,
        text: PathBuf,
        #[arg(long, default_value_t = 500)]
        tokens: usize,
    },
    /// Whole greedy lives from many prompts, with and without speculation
    Lives {
        #[command(flatten)]
        way: Way,
        #[arg(long, default_value_t = 20)]
        count: usize,
    },
}

#[derive(Args)]
struct Way {
    /// A GGUF file, or ember
    model: PathBuf,
    #[arg(long, default_value_t = 1)]
    threads: u16,
    #[arg(long, default_value_t = 6)]
    lookahead: u16,
    #[arg(long, value_enum, default_value_t = Numbers::Q8_0)]
    keys: Numbers,
    #[arg(long, value_enum, default_value_t = Numbers::Q8_0)]
    values: Numbers,
    #[arg(long)]
    no_flash_attention: bool,
    #[arg(long, default_value_t = 32)]
    ubatch: u32,
    /// Use ggml's own kernels
    #[arg(long)]
    stock: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Numbers {
    F16,
    #[value(name = "q8_0")]
    Q8_0,
}

impl From<Numbers> for Cache {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::F16 => Self::F16,
            Numbers::Q8_0 => Self::Q8_0,
        }
    }
}

impl Way {
    fn computing(&self) -> Computing {
        Computing {
            threads: self.threads,
            lookahead: self.lookahead,
            flash_attention: !self.no_flash_attention,
            keys: self.keys.into(),
            values: self.values.into(),
            batch: self.ubatch,
        }
    }

    /// The model, and an interrupt that is never raised.
    fn load(&self) -> Result<(Model, Interrupt)> {
        if self.stock {
            torment_nexus::kernels::hooks::leave_to_ggml();
        }
        let (raise, interrupt) = Interrupt::new();
        std::mem::forget(raise);
        let name = ModelName::from(self.model.clone());
        let file = ModelFile::find(&name, "models".as_ref(), &interrupt).map_err(fault)?;
        Ok((Model::load(&file, false, &interrupt).map_err(fault)?, interrupt))
    }
}

/// An ending as an ordinary error.
fn fault(ending: Ending) -> Error {
    anyhow!("{ending}")
}

fn open<'a>(model: &'a Model, computing: Computing, sampling: &Sampling) -> Result<Session<'a>> {
    let lifespan = Lifespan::new(CONTEXT.try_into()?, 1, CONTEXT.into())?;
    Session::open(model, lifespan, computing, sampling)
}

/// Arbitrary tokens, the same in every run.
fn tokens(from: u32, count: u32) -> Vec<Token> {
    (from..from + count)
        .map(|index| Token::new((index.wrapping_mul(2_654_435_761) >> 20) as i32 + 300))
        .collect()
}

/// Marks the beginning or the end of what the plugin counts, by a system call
/// number that does not exist.
fn mark(label: u64) {
    // SAFETY: the kernel has no system call of this number; it does nothing and
    // returns an error.
    unsafe { libc::syscall(0x7001, label) };
}

fn main() -> Result<()> {
    match Probe::parse() {
        Probe::Speed { way, depths, tokens: count } => {
            let (model, interrupt) = way.load()?;
            let mut session = open(&model, way.computing(), &Sampling::greedy())?;
            let mut at = 0;
            for depth in depths {
                let before = depth.saturating_sub(1).max(1);
                if before > at {
                    session.prefill(&tokens(at, before - at), None, &interrupt).map_err(fault)?;
                    at = before;
                }
                let start = Instant::now();
                for token in tokens(at, count) {
                    session.follow_with(token)?;
                }
                at += count;
                println!("{depth} {:.2}", f64::from(count) / start.elapsed().as_secs_f64());
            }
        }
        Probe::Prompt { way, tokens: count } => {
            let (model, interrupt) = way.load()?;
            let mut session = open(&model, way.computing(), &Sampling::greedy())?;
            let start = Instant::now();
            session.prefill(&tokens(0, count), None, &interrupt).map_err(fault)?;
            println!("{:.2}", f64::from(count) / start.elapsed().as_secs_f64());
        }
        Probe::Keep { way, depth, file } => {
            let (model, interrupt) = way.load()?;
            let mut session = open(&model, way.computing(), &Sampling::greedy())?;
            session.prefill(&tokens(0, depth), None, &interrupt).map_err(fault)?;
            fs::write(file, session.kv_cache())?;
        }
        Probe::Count { way, file, batch, prompt, rounds } => {
            let (model, interrupt) = way.load()?;
            let state = fs::read(&file).with_context(|| format!("{file:?}"))?;
            let computing = Computing { batch: batch as u32, ..way.computing() };
            let mut session = open(&model, computing, &Sampling::greedy())?;
            // SAFETY: `Keep` wrote the file from `kv_cache`, for this model and
            // these settings.
            ensure!(unsafe { session.set_kv_cache(&state) }, "{file:?} is of another way");
            for round in 0..rounds {
                let tokens = tokens(2000 + 64 * round, batch as u32 + u32::from(prompt));
                mark(0);
                if prompt {
                    session.prefill(&tokens, None, &interrupt).map_err(fault)?;
                } else {
                    session.follow_with_all(&tokens)?;
                }
                mark(u64::from(round) + 1);
            }
            println!("{:.6}", session.logits().iter().sum::<f32>());
        }
        Probe::Choose { way, file, temp, penalties, text } => {
            let (model, interrupt) = way.load()?;
            let state = fs::read(&file).with_context(|| format!("{file:?}"))?;
            let subject = SUBJECT.split(',').map(str::to_owned).collect();
            let sampling = match penalties {
                true => Sampling { temp, seed: 1, subject, ..Sampling::default() },
                false => Sampling { temp, seed: 1, ..Sampling::greedy() },
            };
            let mut session = open(&model, way.computing(), &sampling)?;
            // SAFETY: `Keep` wrote the file from `kv_cache`, for this model and
            // these settings.
            ensure!(unsafe { session.set_kv_cache(&state) }, "{file:?} is of another way");
            if let Some(text) = text {
                let tokens = model.tokenize(&fs::read_to_string(text)?, true);
                session.remember(&tokens[..tokens.len().min(LIFE)]);
            }
            session.prefill(&tokens(2000, 1), None, &interrupt).map_err(fault)?;
            let mut piece = Vec::with_capacity(64);
            for round in 1..4 {
                mark(0);
                piece.clear();
                session.next(&mut piece)?;
                mark(round);
            }
            black_box(&piece);
        }
        Probe::Load { way } => {
            mark(0);
            let (model, _) = way.load()?;
            mark(1);
            drop(model);
        }
        Probe::Divergence { way } => divergence(&way)?,
        Probe::Likelihood { way, text, tokens } => likelihood(&way, &fs::read_to_string(text)?, tokens)?,
        Probe::Lives { way, count } => lives(&way, count)?,
    }
    Ok(())
}

/// The logarithms of the probabilities of all tokens (log-softmax).
fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let greatest = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - greatest).exp()).sum();
    logits.iter().map(|&logit| f64::from(logit - greatest) - sum.ln()).collect()
}

fn argmax(logits: &[f32]) -> i32 {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a))).unwrap_or(0) as i32
}

fn divergence(way: &Way) -> Result<()> {
    let (model, interrupt) = way.load()?;
    let prompt = model.tokenize_prompt(&fs::read_to_string("prompt.txt")?, "")?;
    let reference = Computing {
        flash_attention: false,
        keys: Cache::F16,
        values: Cache::F16,
        lookahead: 0,
        ..way.computing()
    };
    let mut reference = open(&model, reference, &Sampling::greedy())?;
    let mut other = open(&model, Computing { lookahead: 0, ..way.computing() }, &Sampling::greedy())?;
    reference.prefill(&prompt, None, &interrupt).map_err(fault)?;
    other.prefill(&prompt, None, &interrupt).map_err(fault)?;
    let count = CONTEXT as usize * 95 / 100 - prompt.len();
    let (mut sum, mut most, mut agree) = (0.0f64, 0.0f64, 0);
    for _ in 0..count {
        let (p, q) = (log_probabilities(reference.logits()), log_probabilities(other.logits()));
        let kl: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        sum += kl;
        most = most.max(kl);
        let token = argmax(reference.logits());
        agree += usize::from(token == argmax(other.logits()));
        reference.follow_with(Token::new(token))?;
        other.follow_with(Token::new(token))?;
    }
    println!("mean {:.6} greatest {:.6} same choice {agree} of {count}", sum / count as f64, most);
    Ok(())
}

fn likelihood(way: &Way, text: &str, count: usize) -> Result<()> {
    let (model, interrupt) = way.load()?;
    let tokens = model.tokenize(text, true);
    ensure!(tokens.len() > count, "the text has {} tokens only", tokens.len());
    let mut session = open(&model, Computing { lookahead: 0, ..way.computing() }, &Sampling::greedy())?;
    session.prefill(&tokens[..1], None, &interrupt).map_err(fault)?;
    let mut sum = 0.0;
    for &token in &tokens[1..=count] {
        sum -= log_probabilities(session.logits())[token.id() as usize];
        session.follow_with(token)?;
    }
    println!("{:.4}", sum / count as f64);
    Ok(())
}

fn lives(way: &Way, count: usize) -> Result<()> {
    let (model, interrupt) = way.load()?;
    let text = fs::read_to_string("prompt.txt")?;
    let words: Vec<_> = text.split_whitespace().collect();
    let mut differ = 0;
    let (mut plain_time, mut ahead_time) = (0.0, 0.0);
    for life in 0..count {
        // Each life has a prompt of its own: the words rotated by another
        // offset.
        let start = life * words.len() / count;
        let prompt = [&words[start..], &words[..start]].concat().join(" ");
        let prompt = model.tokenize_prompt(&prompt, "")?;
        let one = |lookahead: u16| -> Result<(Vec<u8>, u64, f64)> {
            let mut session = open(&model, Computing { lookahead, ..way.computing() }, &Sampling::greedy())?;
            session.prefill(&prompt, None, &interrupt).map_err(fault)?;
            let before = session.steps();
            let start = Instant::now();
            let mut text = Vec::new();
            for _ in prompt.len()..CONTEXT as usize * 95 / 100 {
                session.next(&mut text)?;
            }
            Ok((text, session.steps() - before, start.elapsed().as_secs_f64()))
        };
        let (plain, steps, time) = one(0)?;
        let (ahead, fewer, time_ahead) = one(way.lookahead)?;
        plain_time += time;
        ahead_time += time_ahead;
        let same = plain == ahead;
        differ += usize::from(!same);
        println!(
            "life {life}: {} {steps} steps, {fewer} looking ahead, {:.2} of the time",
            if same { "the same," } else { "DIFFERS," },
            time_ahead / time
        );
    }
    println!("{differ} of {count} differ; {:.3} of the time", ahead_time / plain_time);
    Ok(())
}
