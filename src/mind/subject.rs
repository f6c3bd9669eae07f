//! The subject: words that a life comes back to.
//!
//! A small model leaves its prompt behind after a few sentences. So each word of
//! the subject becomes more probable the longer it has not been said, until it
//! fits where the text is. Each has a clock of its own: with one for all, the
//! word that was said last was said again and again, and lives were about
//! nothing but light. The words are whole tokens of the vocabulary: a word that
//! is several tokens there cannot be raised.

use llama_cpp_2::model::LlamaModel;

use super::sampler::Sampling;

/// Tokens after which a word that was said has its whole bias again: some ten
/// sentences. The lives of `models/README.md` were read with it; other times were
/// not compared.
const REST: u32 = 200;

/// The tokens of the subject, and how long each of its words has not been said.
#[derive(Debug)]
pub(super) struct Subject {
    /// The tokens with the index of their word; ascending by token.
    tokens: Vec<(usize, usize)>,
    /// Of each word, how many tokens ago it was said.
    since: Vec<u32>,
    /// What is added to a logit at the most.
    bias: f32,
}

impl Subject {
    /// The words of `sampling` as tokens of this model: in lower case as given
    /// and with a capital, each after a space.
    pub(super) fn new(model: &LlamaModel, sampling: &Sampling) -> Self {
        let forms = sampling.subject.iter().enumerate();
        let forms = forms.flat_map(|(word, form)| [(form.clone(), word), (capitalised(form), word)]);
        let tokens = forms.filter_map(|(form, word)| Some((whole_token(model, &form)?, word))).collect();
        Self::of(tokens, sampling.subject_bias)
    }

    fn of(mut tokens: Vec<(usize, usize)>, bias: f32) -> Self {
        tokens.sort_unstable();
        tokens.dedup_by_key(|&mut (token, _)| token);
        let words = tokens.iter().map(|&(_, word)| word + 1).max().unwrap_or(0);
        Self { tokens, since: vec![REST; words], bias }
    }

    /// The tokens whose logits it may change, ascending.
    pub(super) fn tokens(&self) -> impl Iterator<Item = usize> + '_ {
        self.tokens.iter().map(|&(token, _)| token)
    }

    /// Forgets the text.
    pub(super) fn forget(&mut self) {
        self.since.fill(REST);
    }

    /// Takes note of the next token of the text.
    pub(super) fn accept(&mut self, token: usize) {
        self.since.iter_mut().for_each(|since| *since = since.saturating_add(1));
        if let Ok(at) = self.tokens.binary_search_by_key(&token, |&(token, _)| token) {
            self.since[self.tokens[at].1] = 0;
        }
    }

    /// Raises the logits of the subject among these tokens, which are
    /// ascending.
    pub(super) fn raise(&self, logits: &mut [(usize, f32)]) {
        for &(token, word) in &self.tokens {
            if let Ok(at) = logits.binary_search_by_key(&token, |&(token, _)| token) {
                logits[at].1 += self.bias * self.since[word].min(REST) as f32 / REST as f32;
            }
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The token that is this word after a space, if it is one. Some vocabularies
/// put that space before every text themselves.
fn whole_token(model: &LlamaModel, word: &str) -> Option<usize> {
    let vocab = model.vocab();
    let spaced = format!(" {word}");
    [spaced.as_str(), word].into_iter().find_map(|text| {
        let &[token] = vocab.tokenize(text.as_bytes(), false, false).as_slice() else { return None };
        let mut piece = Vec::new();
        vocab.token_to_piece_into(token, &mut piece, false, None);
        (piece == spaced.as_bytes()).then(|| usize::try_from(token.0).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is added to the logits of tokens 7 and 9 after these tokens, by a subject of
    /// two words: tokens 7 and 8 are forms of one, 9 is the other.
    fn bias_after(text: &[usize]) -> [f32; 2] {
        let mut subject = Subject::of(vec![(9, 1), (7, 0), (8, 0), (7, 0)], 4.0);
        text.iter().for_each(|&token| subject.accept(token));
        let mut logits = [(3, 1.0), (7, 1.0), (9, 1.0), (11, 1.0)];
        subject.raise(&mut logits);
        assert_eq!((logits[0].1, logits[3].1), (1.0, 1.0), "other tokens keep their logits");
        [logits[1].1 - 1.0, logits[2].1 - 1.0]
    }

    #[test]
    fn a_word_is_likelier_the_longer_it_has_not_been_said() {
        let quarter = REST as usize / 4;
        let after = |others: usize| bias_after(&[&[9, 7][..], &vec![1; others]].concat())[0];
        assert_eq!([0, quarter, 2 * quarter, 3 * quarter].map(after), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(after(40 * quarter), 4.0, "no more than the bias");
        assert_eq!(bias_after(&[]), [4.0, 4.0], "none is said yet");
        assert_eq!(bias_after(&[8]), [0.0, 4.0], "any form counts, and the other word has its own clock");
    }

    #[test]
    fn without_words_nothing_changes() {
        let mut logits = [(3, 1.0)];
        let mut subject = Subject::of(Vec::new(), 4.0);
        (0..100).for_each(|token| subject.accept(token));
        subject.raise(&mut logits);
        assert_eq!(logits, [(3, 1.0)]);
    }

    #[test]
    fn a_capital_is_put_on_any_first_letter() {
        assert_eq!(["box", "éclair", ""].map(capitalised), ["Box", "Éclair", ""]);
    }
}
