#!/usr/bin/env python3
"""Measure a life against the text that ember was trained on.

    python3 measure.py life.txt          a life from a file (or on stdin, without a name)

Prints the share of the life's words that occur in the training text, the longest run of
consecutive words that is verbatim training text, the share of words inside verbatim
runs of more than 25 words (against the whole text and against the hand-written corpus
alone), and the distinct 4-grams of words as a share of all.

The module also holds the trigram model that train.py compares ember with.
Only the standard library is used.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections import Counter, defaultdict
from pathlib import Path

import grammar

# A verbatim run counts as recitation when it is longer than this.
RECITED_RUN_WORDS = 25
WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def words_of(text: str) -> list[str]:
    """The words in lower case, split at punctuation and hyphens."""
    return WORD.findall(text.lower())


# ---------------------------------------------------------------- a life

class VerbatimIndex:
    """Finds, for each position in a life, the longest run of words that occurs in a text."""

    # Shorter runs are not looked for: any two texts have some in common.
    SEED_WORDS = 6

    def __init__(self, text_words: list[str], life: list[str]) -> None:
        self.numbers = {w: n for n, w in enumerate(sorted(set(text_words)))}
        self.text = array("l", (self.numbers[w] for w in text_words))
        self.life = [self.numbers.get(w, -1) for w in life]
        wanted = {tuple(self.life[i:i + self.SEED_WORDS]) for i in range(len(life) - self.SEED_WORDS + 1)}
        self.places: dict[tuple, list[int]] = defaultdict(list)
        for i in range(len(self.text) - self.SEED_WORDS + 1):
            seed = tuple(self.text[i:i + self.SEED_WORDS])
            if seed in wanted:
                self.places[seed].append(i)

    def run_at(self, start: int) -> int:
        """Length of the longest verbatim run that begins at `start`, 0 if too short."""
        best = 0
        for place in self.places.get(tuple(self.life[start:start + self.SEED_WORDS]), ()):
            length = self.SEED_WORDS
            while (start + length < len(self.life) and place + length < len(self.text)
                   and self.life[start + length] == self.text[place + length]):
                length += 1
            best = max(best, length)
        return best

    def summary(self) -> tuple[int, float]:
        """The longest run, and the share of words in runs longer than the limit."""
        runs = [self.run_at(i) for i in range(len(self.life))]
        recited = [False] * len(self.life)
        for start, run in enumerate(runs):
            if run > RECITED_RUN_WORDS:
                recited[start:start + run] = [True] * run
        return max(runs, default=0), sum(recited) / max(1, len(recited))


def distinct_four_grams(life: list[str]) -> float:
    grams = [tuple(life[i:i + 4]) for i in range(len(life) - 3)]
    return len(set(grams)) / max(1, len(grams))


def measure_life(text: str) -> dict[str, float]:
    sources = grammar.load_sources()
    corpus = [w for _, passage in sources.train_passages for w in words_of(passage)]
    lives = grammar.write_lives(sources, grammar.TRAIN_SEED, grammar.TRAIN_LIVES)
    trained = corpus + [w for life_text in lives for w in words_of(life_text)]
    known = set(trained)
    life = words_of(text)
    longest, recited = VerbatimIndex(trained, life).summary()
    corpus_longest, corpus_recited = VerbatimIndex(corpus, life).summary()
    return {
        "words": len(life),
        "share of words that are in the training text": sum(w in known for w in life) / max(1, len(life)),
        "longest verbatim run, words": longest,
        f"share of words in verbatim runs over {RECITED_RUN_WORDS}": recited,
        "longest run verbatim in the hand-written corpus, words": corpus_longest,
        f"share of words in corpus runs over {RECITED_RUN_WORDS}": corpus_recited,
        "distinct word 4-grams / all": distinct_four_grams(life),
    }


# ---------------------------------------------------------------- the trigram model

class Trigram:
    """Interpolated Kneser-Ney trigram model over token ids; the discounts come from the counts."""

    def __init__(self, sequences: list[list[int]], vocabulary: int) -> None:
        self.vocabulary = vocabulary
        trigrams: Counter = Counter()
        for tokens in sequences:
            trigrams.update(zip(tokens, tokens[1:], tokens[2:]))
        # The lower orders count the contexts that a token was seen in, not its occurrences.
        bigrams = Counter((b, c) for _, b, c in trigrams)
        unigrams = Counter(c for _, c in bigrams)
        singles = {(c,): n for c, n in unigrams.items()}
        self.orders = [self.order(counts) for counts in (trigrams, bigrams, singles)]

    @staticmethod
    def order(counts: dict) -> tuple[dict, float, dict, dict]:
        """The counts, the discount, and each context's total and number of distinct next tokens."""
        ones = sum(n == 1 for n in counts.values())
        twos = sum(n == 2 for n in counts.values())
        totals: Counter = Counter()
        followers: Counter = Counter()
        for gram, n in counts.items():
            totals[gram[:-1]] += n
            followers[gram[:-1]] += 1
        return counts, ones / max(1, ones + 2 * twos), totals, followers

    def probability(self, gram: tuple[int, ...], level: int = 0) -> float:
        if level == len(self.orders):
            return 1 / self.vocabulary
        counts, discount, totals, followers = self.orders[level]
        context = gram[:-1]
        lower = self.probability(gram[1:], level + 1)
        total = totals.get(context)
        if not total:
            return lower
        own = max(counts.get(gram, 0) - discount, 0) / total
        return own + discount * followers[context] / total * lower

    def mean_loss(self, sequences: list[list[int]]) -> float:
        """Mean loss in nats per token, from the third token of each sequence on."""
        total, count = 0.0, 0
        for tokens in sequences:
            for gram in zip(tokens, tokens[1:], tokens[2:]):
                total -= math.log(self.probability(gram))
                count += 1
        return total / count


def main() -> None:
    text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else sys.stdin.read()
    for name, value in measure_life(text).items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")


if __name__ == "__main__":
    main()
