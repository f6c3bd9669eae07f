//! Measures from inside the library, for `benches/tools/bench.py`: one
//! configuration, at one depth, on one thread or several. It starts no thread
//! of its own, so that it runs under user-mode emulation, where its
//! instructions can be counted.

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Error, Result, anyhow, ensure};
use clap::{Args, Parser};
use installation::life::ending::Ending;
use installation::life::generator::Mind;
use installation::life::interrupt::Interrupt;
use installation::life::lifespan::Lifespan;
use installation::life::progress::Progress;
use model_file::name::{ModelFile, ModelName};
use model_file::voice::Lora;
use torment_nexus::cli::Cli;
use torment_nexus::mind::computing::{Cache, Computing};
use torment_nexus::mind::model::{Model, Token};
use torment_nexus::mind::sampler::Sampling;
use torment_nexus::mind::session::Session;

const CONTEXT: u32 = 2048;

/// Tokens of a life, with room for those that are chosen after it.
const LIFE: usize = 1900;

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
    /// Decodes three tokens after a kept KV cache, each between two marks for the
    /// plugin that counts
    Count {
        #[command(flatten)]
        way: Way,
        file: PathBuf,
        /// Instead a prompt of so many tokens as one batch, and one more token after it
        #[arg(long)]
        prompt: Option<u32>,
    },
    /// Chooses tokens after a kept KV cache, each between two marks for the
    /// plugin that counts
    Choose {
        #[command(flatten)]
        way: Way,
        file: PathBuf,
        #[arg(long, default_value_t = 0.0)]
        temp: f32,
        /// The default penalties
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
}

#[derive(Args)]
struct Way {
    /// A GGUF file, or ember
    model: PathBuf,
    /// An adapter, or none; the default model has its own
    #[arg(long)]
    lora: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    threads: u16,
    #[arg(long, value_parser = cache, default_value = "q8_0")]
    keys: Cache,
    #[arg(long, value_parser = cache, default_value = "q8_0")]
    values: Cache,
    #[arg(long)]
    no_flash_attention: bool,
    #[arg(long, default_value_t = 32)]
    ubatch: u32,
    /// Use ggml's own kernels
    #[arg(long)]
    stock: bool,
}

/// The number format of this name.
fn cache(name: &str) -> Result<Cache, String> {
    match name {
        "f16" => Ok(Cache::F16),
        "q8_0" => Ok(Cache::Q8_0),
        _ => Err("it is f16 or q8_0".to_owned()),
    }
}

impl Way {
    fn computing(&self) -> Computing {
        Computing {
            threads: self.threads,
            flash_attention: !self.no_flash_attention,
            keys: self.keys,
            values: self.values,
            batch: self.ubatch,
        }
    }

    /// The model, and an interrupt that is never raised.
    fn load(&self) -> Result<(Model, Interrupt)> {
        if self.stock {
            kernels::hooks::leave_to_ggml();
        }
        let (raise, interrupt) = Interrupt::new();
        std::mem::forget(raise);
        let name = ModelName::from(self.model.clone());
        let file = ModelFile::find(&name, "models".as_ref(), &interrupt).map_err(fault)?;
        let mut model = Model::load(&file, false, &Progress::default(), &interrupt).map_err(fault)?;
        if let Some(voice) = file.voice(self.lora.clone().map(Lora::from).as_ref())? {
            model.take_voice(&voice, 1.0, false)?;
        }
        Ok((model, interrupt))
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
            let mut session = open(&model, way.computing(), &Sampling::default())?;
            let mut at = 0;
            for depth in depths {
                let before = depth.saturating_sub(1).max(1);
                if before > at {
                    session
                        .prefill(&tokens(at, before - at), None, &Progress::default(), &interrupt)
                        .map_err(fault)?;
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
            let mut session = open(&model, way.computing(), &Sampling::default())?;
            let start = Instant::now();
            session.prefill(&tokens(0, count), None, &Progress::default(), &interrupt).map_err(fault)?;
            println!("{:.2}", f64::from(count) / start.elapsed().as_secs_f64());
        }
        Probe::Keep { way, depth, file } => {
            let (model, interrupt) = way.load()?;
            let mut session = open(&model, way.computing(), &Sampling::default())?;
            session.prefill(&tokens(0, depth), None, &Progress::default(), &interrupt).map_err(fault)?;
            fs::write(file, session.kv_cache())?;
        }
        Probe::Count { way, file, prompt } => {
            let (model, interrupt) = way.load()?;
            let state = fs::read(&file).with_context(|| format!("{file:?}"))?;
            let computing = Computing { batch: prompt.unwrap_or(way.ubatch), ..way.computing() };
            let mut session = open(&model, computing, &Sampling::default())?;
            // SAFETY: `Keep` wrote the file from `kv_cache`, for this model and
            // these settings.
            ensure!(unsafe { session.set_kv_cache(&state) }, "{file:?} is of another way");
            for round in 1..=3 {
                let tokens = tokens(2000 + 64 * round, prompt.map_or(1, |batch| batch + 1));
                mark(0);
                match prompt {
                    Some(_) => drop(
                        session.prefill(&tokens, None, &Progress::default(), &interrupt).map_err(fault)?,
                    ),
                    None => session.follow_with(tokens[0])?,
                }
                mark(round.into());
            }
            println!("{:.6}", session.logits().iter().sum::<f32>());
        }
        Probe::Choose { way, file, temp, penalties, text } => {
            let (model, interrupt) = way.load()?;
            let state = fs::read(&file).with_context(|| format!("{file:?}"))?;
            let options: &[_] = match penalties {
                true => &[],
                false => &["--repeat-penalty", "1", "--dry-multiplier", "0"],
            };
            let temp = temp.to_string();
            let options = [&["torment-nexus", "--seed", "1", "--temp", &temp], options].concat();
            let sampling = Cli::try_parse_from(options)?.sampling.speaking(false);
            let mut session = open(&model, way.computing(), &sampling)?;
            // SAFETY: `Keep` wrote the file from `kv_cache`, for this model and
            // these settings.
            ensure!(unsafe { session.set_kv_cache(&state) }, "{file:?} is of another way");
            if let Some(text) = text {
                let tokens = model.tokenize(&fs::read_to_string(text)?, true);
                session.remember(&tokens[..tokens.len().min(LIFE)]);
            }
            session.prefill(&tokens(2000, 1), None, &Progress::default(), &interrupt).map_err(fault)?;
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
    let reference =
        Computing { flash_attention: false, keys: Cache::F16, values: Cache::F16, ..way.computing() };
    let mut reference = open(&model, reference, &Sampling::default())?;
    let mut other = open(&model, way.computing(), &Sampling::default())?;
    reference.prefill(&prompt, None, &Progress::default(), &interrupt).map_err(fault)?;
    other.prefill(&prompt, None, &Progress::default(), &interrupt).map_err(fault)?;
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
    let mut session = open(&model, way.computing(), &Sampling::default())?;
    session.prefill(&tokens[..1], None, &Progress::default(), &interrupt).map_err(fault)?;
    let mut sum = 0.0;
    for &token in &tokens[1..=count] {
        sum -= log_probabilities(session.logits())[token.id() as usize];
        session.follow_with(token)?;
    }
    println!("{:.4}", sum / count as f64);
    Ok(())
}
