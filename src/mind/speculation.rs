//! Prompt-lookup speculation: drafts the next tokens of a text that repeats
//! itself.
//!
//! Small models loop. Once the text has repeated an earlier passage for a
//! while, the tokens that followed there are drafted, and the model decodes
//! several of them in one batch, which costs less than one by one. Drafted
//! tokens that the sampler does not choose are dropped, so the text is the
//! same.
//!
//! Whether to draft is decided from the text alone: the passage is first
//! compared with the tokens that are chosen, at no cost, and is drafted from
//! only after it predicted eight of them in a row.

/// The number of last tokens that must occur at an earlier place for it to be
/// followed.
const ANCHOR: usize = 3;

/// Tokens in a row that the earlier passage must have predicted before any are
/// drafted. `benches/README.md` has what speculation gains.
const TRUE_BEFORE: usize = 8;

/// Drafts tokens from an earlier passage of the same text.
#[derive(Debug, Default)]
pub(super) struct Speculation {
    text: Vec<i32>,
    /// The index of the next token of the passage that is repeated.
    followed: Option<usize>,
    /// Tokens in a row that it predicted.
    foretold: usize,
}

impl Speculation {
    /// With memory reserved for a text of this many tokens; a longer text
    /// allocates more.
    #[must_use]
    pub(super) fn with_capacity(tokens: usize) -> Self {
        Self { text: Vec::with_capacity(tokens), ..Self::default() }
    }

    /// Appends the next token of the text.
    pub(super) fn push(&mut self, token: i32) {
        match &mut self.followed {
            Some(at) if self.text[*at] == token => {
                *at += 1;
                self.foretold += 1;
            }
            _ => (self.followed, self.foretold) = (None, 0),
        }
        self.text.push(token);
        if self.followed.is_none() {
            self.followed = self.earlier_place();
        }
    }

    /// The index after the last earlier occurrence of the text's last tokens.
    fn earlier_place(&self) -> Option<usize> {
        let anchor = self.text.last_chunk::<ANCHOR>()?;
        let before = &self.text[..self.text.len() - 1];
        before.windows(ANCHOR).rposition(|tokens| tokens == anchor).map(|at| at + ANCHOR)
    }

    /// Appends `most` drafted tokens to `draft`; none where the text does not
    /// repeat itself.
    pub(super) fn foretell(&self, most: usize, draft: &mut Vec<i32>) {
        let Some(at) = self.followed.filter(|_| self.foretold >= TRUE_BEFORE) else { return };
        let start = draft.len();
        for index in at..at + most {
            // A repeated passage shorter than the draft is followed from its
            // start again.
            let token = match self.text.get(index) {
                Some(&token) => token,
                None => draft[start + index - self.text.len()],
            };
            draft.push(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &[i32]) -> Speculation {
        let mut speculation = Speculation::default();
        text.iter().for_each(|&token| speculation.push(token));
        speculation
    }

    fn draft(text: &[i32], most: usize) -> Vec<i32> {
        let mut draft = Vec::new();
        after(text).foretell(most, &mut draft);
        draft
    }

    #[test]
    fn a_text_that_never_repeats_itself_foretells_nothing() {
        let text: Vec<_> = (0..500).collect();
        assert_eq!(draft(&text, 4), [0; 0]);
    }

    #[test]
    fn a_loop_foretells_how_it_goes_on_however_short_it_is() {
        for period in 1..7 {
            let text: Vec<_> = (0..60).map(|index| index % period).collect();
            let next: Vec<_> = (60..66).map(|index| index % period).collect();
            assert_eq!(draft(&text, 6), next, "a loop of {period}");
        }
    }

    #[test]
    fn a_passage_must_have_foretold_enough_before_it_is_believed() {
        let passage: Vec<_> = (0..40).collect();
        let said_again = |count: usize| [&passage[..], &[99], &passage[..count]].concat();
        assert_eq!(draft(&said_again(ANCHOR + TRUE_BEFORE - 1), 3), [0; 0]);
        let next = (ANCHOR + TRUE_BEFORE) as i32;
        assert_eq!(draft(&said_again(ANCHOR + TRUE_BEFORE), 3), [next, next + 1, next + 2]);
    }

    #[test]
    fn one_prophecy_that_fails_ends_the_belief() {
        let mut text: Vec<_> = (0..60).map(|index| index % 5).collect();
        text.push(77);
        assert_eq!(draft(&text, 4), [0; 0]);
        text.extend([0, 1, 2]);
        assert_eq!(draft(&text, 4), [0; 0], "it must earn it again");
    }

    #[test]
    fn a_draft_is_as_long_as_was_asked_for() {
        let text: Vec<_> = (0..60).map(|index| index % 5).collect();
        assert_eq!(draft(&text, 0), [0; 0]);
        assert_eq!(draft(&text, 2).len(), 2);
    }
}
