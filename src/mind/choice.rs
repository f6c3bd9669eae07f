//! The choice of the next token by llama.cpp's penalties and samplers, which
//! are given only the candidates that they need.

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use super::model::{Model, Token};
use super::sampler::{Logits, Sampling};

/// DRY's sequence breakers: llama.cpp's own defaults.
const DRY_BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// How the next token is chosen; see [`super::sampler`].
pub(super) struct Choice {
    /// Changes the logits of tokens that have occurred.
    penalties: Option<LlamaSampler>,
    /// Samples among the best tokens; `None` when greedy.
    dice: Option<LlamaSampler>,
    /// How many of the best tokens are chosen from; 0 for all, 1 when greedy.
    top_k: usize,
    /// Tokens that may be chosen and whose logits may be changed: with penalties,
    /// those that have occurred. Ascending, as
    /// `apart` is.
    changeable: Vec<usize>,
    /// The banned tokens and the changeable ones.
    apart: Vec<usize>,
    changed: Vec<(usize, f32)>,
    best: Vec<(usize, f32)>,
    candidates: LlamaTokenDataArray,
}

impl Choice {
    /// Reserves all memory that choosing takes.
    pub(super) fn new(model: &Model, sampling: &Sampling, context_size: u32) -> Self {
        // llama.cpp takes a window of -1 for none at all and allocates any
        // other one, so no window is longer than the context.
        let context = i32::try_from(context_size).unwrap_or(i32::MAX);
        let window = |tokens: i32| if tokens < 0 { context } else { tokens.min(context) };
        let vocabulary = model.llama.n_vocab();
        let top_k = if sampling.has_dice() { usize::try_from(sampling.top_k).unwrap_or(0) } else { 1 };
        let mut penalties = Vec::new();
        let repeat_penalty = sampling.repeat_penalty.unwrap_or(1.0);
        if repeat_penalty != 1.0 && sampling.repeat_last_n != 0 {
            let window = window(sampling.repeat_last_n);
            penalties.push(LlamaSampler::penalties(vocabulary, window, repeat_penalty, 0.0, 0.0));
        }
        if sampling.dry_multiplier > 0.0 && sampling.dry_penalty_last_n != 0 {
            penalties.push(LlamaSampler::dry(
                &model.llama,
                sampling.dry_multiplier,
                sampling.dry_base,
                sampling.dry_allowed_length,
                window(sampling.dry_penalty_last_n),
                DRY_BREAKERS,
            ));
        }
        // In the order of llama.cpp's own tools. Their top-k comes first, and
        // is done by `Logits::top` instead.
        let dice = sampling.has_dice().then(|| {
            LlamaSampler::chain(
                vec![
                    LlamaSampler::top_p(sampling.top_p, 1),
                    LlamaSampler::min_p(sampling.min_p, 1),
                    LlamaSampler::temp(sampling.temp),
                    LlamaSampler::dist(sampling.seed.unwrap_or_default()),
                ],
                true,
            )
        });
        // Reserves the most that a life can need, so that no token allocates.
        let tokens = usize::try_from(vocabulary).unwrap_or(0);
        let occurring = if penalties.is_empty() { 0 } else { tokens.min(context_size as usize) };
        let best = if top_k == 0 { tokens } else { top_k.min(tokens) };
        let mut apart = Vec::with_capacity(model.banned.len() + occurring);
        apart.extend(&model.banned);
        Self {
            penalties: (!penalties.is_empty()).then(|| LlamaSampler::chain(penalties, true)),
            dice,
            top_k,
            changeable: Vec::with_capacity(occurring),
            apart,
            changed: Vec::with_capacity(occurring),
            best: Vec::with_capacity(best),
            candidates: LlamaTokenDataArray::new(Vec::with_capacity(best.max(occurring)), false),
        }
    }

    /// Adds a token of the prompt or of the life to the history of the penalties.
    pub(super) fn accept(&mut self, token: LlamaToken) {
        let Ok(index) = usize::try_from(token.0) else { return };
        let Some(penalties) = &mut self.penalties else { return };
        penalties.accept(token);
        self.set_apart(index);
    }

    /// Makes this the whole history, after tokens were taken back.
    pub(super) fn begin_again(&mut self, history: &[Token]) {
        if let Some(penalties) = &mut self.penalties {
            penalties.reset();
        }
        history.iter().for_each(|token| self.accept(token.0));
    }

    /// Makes a token one of the changeable, if it may be chosen.
    fn set_apart(&mut self, token: usize) {
        // A token that is in `apart` already is banned or changeable.
        if let Err(at) = self.apart.binary_search(&token) {
            self.apart.insert(at, token);
            let at = self.changeable.partition_point(|&other| other < token);
            self.changeable.insert(at, token);
        }
    }

    /// Chooses a token by these logits, one for each token of the vocabulary;
    /// `None` where none is finite or no token may be chosen.
    pub(super) fn choose(&mut self, computed: &[f32]) -> Option<LlamaToken> {
        self.changed.clear();
        let changeable = self.changeable.iter().map(|&token| (token, computed[token]));
        match &mut self.penalties {
            None => self.changed.extend(changeable),
            Some(penalties) => {
                fill(&mut self.candidates, changeable);
                penalties.apply(&mut self.candidates);
                let changed = self.candidates.data.iter();
                self.changed.extend(changed.map(|token| (token.id().0 as usize, token.logit())));
            }
        }
        let logits = Logits { computed, apart: &self.apart, changed: &self.changed };
        match self.top_k {
            0 => logits.all(&mut self.best),
            count => logits.top(count, &mut self.best),
        }
        let &(any, _) = self.best.iter().find(|(_, logit)| logit.is_finite())?;
        let Some(dice) = &mut self.dice else { return Some(LlamaToken::new(any as i32)) };
        fill(&mut self.candidates, self.best.iter().copied());
        self.candidates.sorted = self.top_k > 0;
        dice.apply(&mut self.candidates);
        self.candidates.selected_token()
    }
}

fn fill(candidates: &mut LlamaTokenDataArray, tokens: impl Iterator<Item = (usize, f32)>) {
    candidates.data.clear();
    let data = |(token, logit)| LlamaTokenData::new(LlamaToken::new(token as i32), logit, 0.0);
    candidates.data.extend(tokens.map(data));
    (candidates.selected, candidates.sorted) = (None, false);
}
