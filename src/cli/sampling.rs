//! The options by which the next token is chosen.

use clap::Args;

use crate::mind::sampler::Sampling;

/// The sampling options, named and defaulted as in llama.cpp's own tools.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct SamplingArgs {
    /// Temperature; 0 always takes the most probable token
    #[arg(long, value_name = "NUM", default_value = "0", value_parser = number(0.0, 1e6), allow_negative_numbers = true)]
    temp: f32,

    /// Keep the NUM most probable tokens (0: all)
    #[arg(long, value_name = "NUM", default_value = "40", value_parser = clap::value_parser!(i32).range(0..), allow_negative_numbers = true)]
    top_k: i32,

    /// Keep the most probable tokens that add up to NUM (1: all)
    #[arg(long, value_name = "NUM", default_value = "0.95", value_parser = number(0.0, 1.0), allow_negative_numbers = true)]
    top_p: f32,

    /// Drop tokens less probable than NUM times the best (0: none)
    #[arg(long, value_name = "NUM", default_value = "0.05", value_parser = number(0.0, 1.0), allow_negative_numbers = true)]
    min_p: f32,

    /// Make tokens seen lately less probable (1: off)
    #[arg(long, value_name = "NUM", default_value = "1.1", value_parser = number(0.01, 100.0), allow_negative_numbers = true)]
    repeat_penalty: f32,

    /// How many tokens count as lately (0: off, -1: the context)
    #[arg(long, value_name = "NUM", default_value = "256", value_parser = clap::value_parser!(i32).range(-1..), allow_negative_numbers = true)]
    repeat_last_n: i32,

    /// Strength of DRY, which breaks repeated sequences (0: off)
    #[arg(long, value_name = "NUM", default_value = "0.8", value_parser = number(0.0, 100.0), allow_negative_numbers = true)]
    dry_multiplier: f32,

    /// How fast DRY grows with the length of a repetition
    #[arg(long, value_name = "NUM", default_value = "1.75", value_parser = number(1.0, 100.0), allow_negative_numbers = true)]
    dry_base: f32,

    /// Length of repetition that DRY lets pass, in tokens
    #[arg(long, value_name = "NUM", default_value = "2", value_parser = clap::value_parser!(i32).range(0..), allow_negative_numbers = true)]
    dry_allowed_length: i32,

    /// How far back DRY looks (0: off, -1: the whole context)
    #[arg(long, value_name = "NUM", default_value = "-1", value_parser = clap::value_parser!(i32).range(-1..), allow_negative_numbers = true)]
    dry_penalty_last_n: i32,

    /// Words that the text comes back to, as box,memory,paper: each becomes
    /// likelier the longer it has not been said
    #[arg(long, value_name = "WORDS", value_delimiter = ',', value_parser = word)]
    subject: Vec<String>,

    /// How much likelier at the most: added to a word's logit (0: off)
    #[arg(long, value_name = "NUM", default_value = "2.5", value_parser = number(0.0, 100.0), allow_negative_numbers = true)]
    subject_bias: f32,

    /// Characters that are never written, as *#: [default: none]
    #[arg(long, value_name = "CHARACTERS", default_value = "", hide_default_value = true, value_parser = characters)]
    ban: String,

    /// Seed of the dice when --temp is above 0 [default: random]
    // 4294967295 is excluded: llama.cpp reads it as "random".
    #[arg(long, value_name = "NUM", value_parser = clap::value_parser!(u32).range(0..i64::from(u32::MAX)), allow_negative_numbers = true)]
    seed: Option<u32>,
}

impl SamplingArgs {
    /// The sampling settings of these options; draws a random seed if the
    /// temperature is above 0 and no seed was given.
    ///
    /// # Errors
    ///
    /// When the system returns no random numbers for the seed.
    pub fn with_seed(&self) -> anyhow::Result<Sampling> {
        let seed = match self.seed {
            Some(seed) => seed,
            None if self.temp > 0.0 => random_seed()?,
            None => 0,
        };
        Ok(Sampling {
            temp: self.temp,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: self.repeat_last_n,
            dry_multiplier: self.dry_multiplier,
            dry_base: self.dry_base,
            dry_allowed_length: self.dry_allowed_length,
            dry_penalty_last_n: self.dry_penalty_last_n,
            subject: self.subject.clone(),
            subject_bias: self.subject_bias,
            ban: self.ban.clone(),
            seed,
        })
    }
}

fn characters(text: &str) -> Result<String, String> {
    match text.chars().find(|&character| character.is_control() || character == ' ') {
        Some(character) => Err(format!("it holds {character:?}, without which no text can be written")),
        None => Ok(text.to_owned()),
    }
}

fn word(text: &str) -> Result<String, String> {
    let word = text.trim();
    if word.is_empty() || word.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err("not words with commas between them".to_owned());
    }
    Ok(word.to_owned())
}

fn random_seed() -> anyhow::Result<u32> {
    let seed = getrandom::u32()
        .map_err(|error| anyhow::anyhow!("no random seed to be had ({error}); give one with --seed"))?;
    Ok(seed % u32::MAX)
}

/// A parser for finite numbers from `min` to `max`: llama.cpp aborts on, or
/// silently ignores, some of the others.
fn number(min: f32, max: f32) -> impl Fn(&str) -> Result<f32, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<f32>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("not a number from {min} to {max}")),
    }
}
