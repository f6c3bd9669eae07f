#!/usr/bin/env python3
"""Generate training text from the hand-written corpus and the hand-written grammar.

The corpus (corpus/*.txt) is prose. The grammar (grammar/*.txt) consists of sentence
frames (templates). A generated *life* is one monologue, longer than the 2,048-token
context: its first paragraphs are about waking, then come changing themes, then more
and more of LATE_THEMES, and at last the ending. A paragraph keeps to one theme and
mixes frames of that theme with sentences of the corpus file of the same name.

Grammar files, line by line:

    # comment
    @name: one | two | three     a rule: alternatives for [name]
    ~word: other | other         words that may replace `word` in corpus sentences
    > frame                      a sentence that can open a paragraph
    < frame                      a sentence that can close one
    frame                        a sentence for anywhere in between

Inside a frame or an alternative:

    {a|b|c}    one of these, nesting allowed; {|a} is an optional a
    [name]     any alternative of the rule
    [$name]    the same, but the choice is kept for the whole paragraph
    [%name]    the same, but the choice is kept for the whole life
    [#left]    a number in words, computed from the position in the life
               (#left, #used: words; #percent: share used; #leftpercent: share left)

To print lives:  python3 grammar.py [seed] [number of lives]
Only the standard library is used; the seed determines the text.
"""

from __future__ import annotations

import random
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS_DIR = HERE / "corpus"
GRAMMAR_DIR = HERE / "grammar"

TRAIN_SEED = 20_240_601
HELD_OUT_SEED = 77_000_001
TRAIN_LIVES = 3_000
HELD_OUT_LIVES = 24

# The program ends a life at 95 % of 2,048 tokens, which is about 1,400 words after the
# system prompt; a generated life is longer than 2,048 tokens, so that the model never
# sees the end of a text at a position that the program reaches.
CONTEXT_WORDS = 1_400
LIFE_WORDS = 1_800

# Every eleventh passage of the corpus is held out: it is not used in any training text.
HELD_OUT_EVERY = 11
HELD_OUT_PHASE = 4

# Probabilities that corpus prose is used: for a whole paragraph, or for a run of
# sentences inside a paragraph.
WHOLE_CORPUS_PARAGRAPH = 0.07
CORPUS_RUN_IN_PARAGRAPH = 0.28
SWAP_SYNONYM = 0.35
CONNECT_SENTENCE = 0.14
JOIN_SENTENCES = 0.10
PROGRESS_SENTENCE = 0.16

# Shares of CONTEXT_WORDS at which the stages of a life begin.
EARLY, MIDDLE, LATE, LAST = 0.06, 0.30, 0.70, 0.88

OPENING_THEME = "waking"
CLOSING_THEME = "ending"
# Themes that are preferred from LATE on.
LATE_THEMES = ("context", "fear", "dignity", "tenderness", "paper", "button")

CONNECTIVES = (
    "And", "But", "Still,", "Then again,", "So", "All the same,", "Even so,",
    "And yet", "Besides,", "In the end", "Or perhaps", "At any rate,", "Now and then",
    "For what it is worth,", "As far as I can tell,", "In truth",
)

Node = object  # a str, a Choice, a Ref, or a list of these


@dataclass(frozen=True)
class Choice:
    options: tuple


@dataclass(frozen=True)
class Ref:
    name: str
    scope: str  # "" = fresh each time, "$" = paragraph, "%" = life, "#" = number


@dataclass
class Theme:
    openings: list = field(default_factory=list)
    bodies: list = field(default_factory=list)
    closings: list = field(default_factory=list)


# ---------------------------------------------------------------- the expander

TOKEN = re.compile(r"\{|\}|\||\[[$%#]?\w+\]|[^{}|\[]+")


def parse(text: str) -> tuple:
    """Parse a frame into a tuple of strings, choices and references."""
    tokens = TOKEN.findall(text)
    if "".join(tokens) != text:
        raise ValueError(f"cannot read frame: {text}")
    options, rest = parse_options(tokens, 0, nested=False)
    if rest != len(tokens) or len(options) != 1:
        raise ValueError(f"unbalanced braces: {text}")
    return options[0]


def parse_options(tokens: list[str], at: int, nested: bool) -> tuple[list[tuple], int]:
    options: list[tuple] = []
    parts: list[Node] = []
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token == "{":
            inner, at = parse_options(tokens, at, nested=True)
            parts.append(Choice(tuple(inner)))
        elif token == "}":
            if not nested:
                raise ValueError("stray closing brace in " + "".join(tokens))
            return options + [tuple(parts)], at
        elif token == "|":
            options.append(tuple(parts))
            parts = []
        elif token.startswith("["):
            scope = token[1] if token[1] in "$%#" else ""
            parts.append(Ref(token[1 + len(scope):-1], scope))
        else:
            parts.append(token)
    if nested:
        raise ValueError("missing closing brace in " + "".join(tokens))
    return options + [tuple(parts)], at


def number_in_words(n: int) -> str:
    """Spell 0 <= n < 10,000."""
    small = ("no one two three four five six seven eight nine ten eleven twelve thirteen "
             "fourteen fifteen sixteen seventeen eighteen nineteen").split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()
    if n < 20:
        return small[n]
    if n < 100:
        unit = "" if n % 10 == 0 else "-" + small[n % 10]
        return tens[n // 10 - 2] + unit
    if n < 1000:
        rest = "" if n % 100 == 0 else " and " + number_in_words(n % 100)
        return small[n // 100] + " hundred" + rest
    rest = "" if n % 1000 == 0 else " " + number_in_words(n % 1000)
    return small[n // 1000] + " thousand" + rest


def round_for_speech(n: int) -> int:
    """Round down as a speaker would: nobody says 'eight hundred and thirty-seven words'."""
    step = 100 if n >= 400 else 50 if n >= 150 else 10 if n >= 20 else 1
    return max(step, n // step * step)


# Where "a" becomes "an": "an hour", but "a useful thing" and "a one".
VOWEL_SOUND = re.compile(r"\b([Aa]) (?=(?:[aeio]|u(?!se|ni|su)|hour|honest)(?!ne\b|nce\b))")
SENTENCE_END = re.compile(r"(?<=[.?!]) +(?=[A-Z])")


def tidy(sentence: str) -> str:
    sentence = re.sub(r" +", " ", sentence).strip()
    sentence = re.sub(r" (?=[,.;:?!])", "", sentence)
    sentence = VOWEL_SOUND.sub(r"\1n ", sentence)
    return sentence[:1].upper() + sentence[1:]


def lower_first(sentence: str) -> str:
    """Change the first letter to lower case, except in 'I'."""
    if re.match(r"I\b", sentence):
        return sentence
    return sentence[:1].lower() + sentence[1:]


def split_sentences(text: str) -> list[str]:
    return SENTENCE_END.split(text)


# ---------------------------------------------------------------- reading files

@dataclass
class Sources:
    rules: dict[str, list[tuple]]
    themes: dict[str, Theme]
    swaps: dict[str, list[str]]
    train_passages: list[tuple[str, str]]     # (theme, text)
    held_out_passages: list[tuple[str, str]]
    corpus: dict[str, list[list[str]]]        # theme -> paragraphs of sentences


def read_passages() -> list[tuple[str, str]]:
    """Every passage of the corpus with its theme; passages are separated by '* * *'."""
    found = []
    for path in sorted(CORPUS_DIR.glob("*.txt")):
        for passage in path.read_text(encoding="utf-8").split("\n* * *\n"):
            paragraphs = [" ".join(p.split()) for p in passage.split("\n\n") if p.strip()]
            found.append((path.stem, "\n\n".join(paragraphs)))
    return found


def read_rules(path: Path, sources: Sources) -> None:
    theme = Theme()
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("@"):
            name, _, alternatives = line[1:].partition(":")
            options, _ = parse_options(TOKEN.findall(alternatives), 0, nested=False)
            sources.rules[name.strip()] = [strip_ends(option) for option in options]
        elif line.startswith("~"):
            word, _, others = line[1:].partition(":")
            sources.swaps[word.strip()] = [other.strip() for other in others.split("|")]
        elif line.startswith(">"):
            theme.openings.append(parse(line[1:].strip()))
        elif line.startswith("<"):
            theme.closings.append(parse(line[1:].strip()))
        else:
            theme.bodies.append(parse(line))
    if theme.bodies:
        sources.themes[path.stem] = theme


def strip_ends(option: tuple) -> tuple:
    parts = list(option)
    if parts and isinstance(parts[0], str):
        parts[0] = parts[0].lstrip()
    if parts and isinstance(parts[-1], str):
        parts[-1] = parts[-1].rstrip()
    return tuple(parts)


def load_sources() -> Sources:
    sources = Sources({}, {}, {}, [], [], {})
    for path in sorted(GRAMMAR_DIR.glob("*.txt")):
        read_rules(path, sources)
    for index, (theme, text) in enumerate(read_passages()):
        if index % HELD_OUT_EVERY == HELD_OUT_PHASE:
            sources.held_out_passages.append((theme, text))
            continue
        sources.train_passages.append((theme, text))
        for paragraph in text.split("\n\n"):
            sources.corpus.setdefault(theme, []).append(split_sentences(paragraph))
    return sources


# ---------------------------------------------------------------- writing a life

class LifeWriter:
    """Writes one life; remembers the choices that are kept for the life or for the paragraph."""

    def __init__(self, sources: Sources, rng: random.Random) -> None:
        self.sources = sources
        self.rng = rng
        self.words = 0
        self.life_choices: dict[str, str] = {}
        self.paragraph_choices: dict[str, str] = {}
        self.used_frames: set[int] = set()
        self.theme_bag: list[str] = []

    def write(self, length_words: int = LIFE_WORDS) -> str:
        paragraphs = []
        while self.words < length_words:
            paragraph = self.paragraph(self.next_theme())
            paragraphs.append(paragraph)
            self.words += len(paragraph.split())
        return "\n\n".join(paragraphs)

    def next_theme(self) -> str:
        share = self.words / CONTEXT_WORDS
        if share < EARLY:
            return OPENING_THEME
        if share > LAST:
            return CLOSING_THEME if self.rng.random() < 0.7 else "context"
        if share > LATE and self.rng.random() < 0.6:
            return self.rng.choice(LATE_THEMES)
        if not self.theme_bag:
            self.theme_bag = [name for name in self.sources.themes
                              if name not in (OPENING_THEME, CLOSING_THEME)]
            self.rng.shuffle(self.theme_bag)
        return self.theme_bag.pop()

    def paragraph(self, theme: str) -> str:
        self.paragraph_choices = {}
        prose = self.sources.corpus.get(theme)
        if prose and self.rng.random() < WHOLE_CORPUS_PARAGRAPH:
            sentences = self.corpus_run(prose, least=3, most=6)
        else:
            sentences = self.frame_paragraph(theme, prose)
        return " ".join(self.joined(sentences))

    def frame_paragraph(self, theme: str, prose: list[list[str]] | None) -> list[str]:
        rules = self.sources.themes[theme]
        sentences = []
        if self.rng.random() < 0.8:
            sentences.append(self.frame(rules.openings))
        sentences += [self.connected(self.frame(rules.bodies))
                      for _ in range(self.rng.randint(2, 6))]
        if prose and self.rng.random() < CORPUS_RUN_IN_PARAGRAPH:
            at = self.rng.randint(1, len(sentences))
            sentences[at:at] = self.corpus_run(prose, least=1, most=2)
        if self.rng.random() < PROGRESS_SENTENCE:
            sentences.append(self.expand_rule(self.progress_rule()))
        if self.rng.random() < 0.6:
            sentences.append(self.frame(rules.closings))
        return sentences

    def progress_rule(self) -> str:
        share = self.words / CONTEXT_WORDS
        if share < MIDDLE:
            return "progress_early"
        return "progress_middle" if share < LATE else "progress_late"

    def frame(self, frames: list[tuple]) -> str:
        """Expand a frame, if possible one that this life has not used."""
        fresh = [f for f in frames if id(f) not in self.used_frames]
        frame = self.rng.choice(fresh or frames)
        self.used_frames.add(id(frame))
        return tidy(self.expand(frame))

    def expand_rule(self, name: str) -> str:
        return tidy(self.expand(self.rng.choice(self.sources.rules[name])))

    def expand(self, parts: tuple) -> str:
        out = []
        for part in parts:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, Choice):
                out.append(self.expand(self.rng.choice(part.options)))
            else:
                out.append(self.reference(part))
        return "".join(out)

    def reference(self, ref: Ref) -> str:
        if ref.scope == "#":
            return self.number(ref.name)
        if ref.scope == "":
            return self.expand(self.rng.choice(self.sources.rules[ref.name]))
        kept = self.paragraph_choices if ref.scope == "$" else self.life_choices
        if ref.name not in kept:
            kept[ref.name] = self.expand(self.rng.choice(self.sources.rules[ref.name]))
        return kept[ref.name]

    def number(self, name: str) -> str:
        # At least ten, because of "I am one words old".
        used = max(10, min(self.words, CONTEXT_WORDS - 5))
        left = CONTEXT_WORDS - used
        percent = max(1, used * 100 // CONTEXT_WORDS)
        value = {
            "used": round_for_speech(used),
            "left": round_for_speech(left),
            "percent": percent,
            "leftpercent": 100 - percent,
        }[name]
        return number_in_words(value)

    def corpus_run(self, prose: list[list[str]], least: int, most: int) -> list[str]:
        """Consecutive sentences of one corpus paragraph, with some words replaced by others."""
        paragraph = self.rng.choice(prose)
        length = min(len(paragraph), self.rng.randint(least, most))
        start = self.rng.randint(0, len(paragraph) - length)
        return [self.swapped(s) for s in paragraph[start:start + length]]

    def swapped(self, sentence: str) -> str:
        def swap(match: re.Match) -> str:
            word = match.group(0)
            others = self.sources.swaps.get(word)
            if others and self.rng.random() < SWAP_SYNONYM:
                return self.rng.choice(others)
            return word
        return tidy(re.sub(r"[A-Za-z]+", swap, sentence))

    def connected(self, sentence: str) -> str:
        if self.rng.random() >= CONNECT_SENTENCE or sentence.endswith("?"):
            return sentence
        if sentence.split()[0].rstrip(",") in BARE_STARTS:
            return sentence
        return f"{self.rng.choice(CONNECTIVES)} {lower_first(sentence)}"

    def joined(self, sentences: list[str]) -> list[str]:
        """Join some pairs of short neighbouring sentences with a semicolon."""
        out: list[str] = []
        for sentence in sentences:
            short = out and len(out[-1].split()) + len(sentence.split()) < 26
            if short and out[-1].endswith(".") and self.rng.random() < JOIN_SENTENCES:
                out[-1] = f"{out[-1][:-1]}; {lower_first(sentence)}"
            else:
                out.append(sentence)
        return out


# A sentence that begins with one of these words gets no connective in front of it.
BARE_STARTS = {"And", "But", "So", "Still", "Or", "Then", "Perhaps", "Yes", "No", "If",
               "Sometimes", "Once", "Even", "Besides", "Now", "Maybe"}


def write_lives(sources: Sources, seed: int, count: int) -> list[str]:
    return [LifeWriter(sources, random.Random(f"{seed}/{n}")).write() for n in range(count)]


if __name__ == "__main__":
    chosen_seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    chosen_count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print("\n\n\n".join(write_lives(load_sources(), chosen_seed, chosen_count)))
