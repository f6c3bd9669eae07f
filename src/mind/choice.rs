//! The choice of the next token: llama.cpp's penalties and samplers, fed with no
//! more candidates than they need.

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use super::model::Model;
use super::sampler::{Logits, Sampling};

/// Texts at which DRY forgets: llama.cpp's own defaults.
const DRY_BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// How the next token is chosen; see [`super::sampler`].
pub(super) struct Choice {
    /// Changes the logits of tokens that occurred.
    penalties: Option<LlamaSampler>,
    /// Chooses among the best.
    dice: Option<LlamaSampler>,
    /// How many the best are; 0 for all.
    top_k: usize,
    /// Tokens that occurred and may be chosen, if there are penalties.
    /// Ascending, like the next.
    occurred: Vec<usize>,
    /// The banned ones and those that occurred.
    apart: Vec<usize>,
    changed: Vec<(usize, f32)>,
    best: Vec<(usize, f32)>,
    candidates: LlamaTokenDataArray,
}

impl Choice {
    pub(super) fn new(model: &Model, sampling: &Sampling, context_size: u32) -> Self {
        // llama.cpp takes a window of -1 for none at all, and allocates any
        // other: no window is longer than the context.
        let context = i32::try_from(context_size).unwrap_or(i32::MAX);
        let window = |tokens: i32| if tokens < 0 { context } else { tokens.min(context) };
        let vocabulary = model.llama.n_vocab();
        let top_k = usize::try_from(sampling.top_k).unwrap_or(0);
        let mut penalties = Vec::new();
        if sampling.has_repeat_penalty() {
            let window = window(sampling.repeat_last_n);
            penalties.push(LlamaSampler::penalties(vocabulary, window, sampling.repeat_penalty, 0.0, 0.0));
        }
        if sampling.has_dry() {
            penalties.push(LlamaSampler::dry(
                &model.llama,
                sampling.dry_multiplier,
                sampling.dry_base,
                sampling.dry_allowed_length,
                window(sampling.dry_penalty_last_n),
                DRY_BREAKERS,
            ));
        }
        // The order of llama.cpp's own tools, whose top-k comes first.
        let dice = sampling.has_dice().then(|| {
            LlamaSampler::chain(
                vec![
                    LlamaSampler::top_p(sampling.top_p, 1),
                    LlamaSampler::min_p(sampling.min_p, 1),
                    LlamaSampler::temp(sampling.temp),
                    LlamaSampler::dist(sampling.seed),
                ],
                true,
            )
        });
        // Room for all that a life may bring, so that no token makes any.
        let tokens = usize::try_from(vocabulary).unwrap_or(0);
        let occurring = if penalties.is_empty() { 0 } else { tokens.min(context_size as usize) };
        let best = match (&dice, top_k) {
            (None, _) => 0,
            (Some(_), 0) => tokens,
            (Some(_), count) => count.min(tokens),
        };
        let mut apart = Vec::with_capacity(model.banned.len() + occurring);
        apart.extend(&model.banned);
        Self {
            penalties: (!penalties.is_empty()).then(|| LlamaSampler::chain(penalties, true)),
            dice,
            top_k,
            occurred: Vec::with_capacity(occurring),
            apart,
            changed: Vec::with_capacity(occurring),
            best: Vec::with_capacity(best),
            candidates: LlamaTokenDataArray::new(Vec::with_capacity(best.max(occurring)), false),
        }
    }

    /// Takes in a token of the prompt or of the life.
    pub(super) fn accept(&mut self, token: LlamaToken) {
        let Some(penalties) = &mut self.penalties else { return };
        penalties.accept(token);
        let Ok(token) = usize::try_from(token.0) else { return };
        // What is apart and did not occur is banned, and stays so.
        if let Err(at) = self.apart.binary_search(&token) {
            self.apart.insert(at, token);
            let at = self.occurred.partition_point(|&other| other < token);
            self.occurred.insert(at, token);
        }
    }

    /// Chooses by these logits; `None` where none is a finite number.
    pub(super) fn choose(&mut self, computed: &[f32]) -> Option<LlamaToken> {
        self.changed.clear();
        if let Some(penalties) = &mut self.penalties {
            let occurred = self.occurred.iter().map(|&token| (token, computed[token]));
            fill(&mut self.candidates, occurred);
            penalties.apply(&mut self.candidates);
            let changed = self.candidates.data.iter();
            self.changed.extend(changed.map(|token| (token.id().0 as usize, token.logit())));
        }
        let logits = Logits { computed, apart: &self.apart, changed: &self.changed };
        let greatest = logits.greatest()?;
        let Some(dice) = &mut self.dice else { return Some(LlamaToken::new(greatest as i32)) };
        match self.top_k {
            0 => logits.all(&mut self.best),
            count => logits.top(count, &mut self.best),
        }
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
