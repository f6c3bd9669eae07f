#!/usr/bin/env python3
"""The text that a voice is learnt from: a folder of .txt files.

    models/voice/text.py FOLDER                  whether it can be learnt from, and how long that takes
    models/voice/text.py FOLDER --copied LIFE…   how much of lives is copied from it, and what lives share

Passages are separated by a line `* * *`; a file without one is cut into passages of some
200 words, between paragraphs. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

PASSAGE_END = "* * *"
PASSAGE_WORDS = 200

# Words of a piece of a life, as it is trained on, and pieces a step.
PIECE_WORDS = 720
PIECES_A_STEP = 2
# Each passage comes about twice, within these bounds.
ROUNDS = 2
FEWEST_STEPS, MOST_STEPS = 20, 60
SECONDS_A_STEP = 14  # on two free cores with AVX2; half of that with AMX

# Fewer words than five pages are learnt by heart; more than fifty are not all read.
FEWEST_WORDS = 1_500
MOST_WORDS = MOST_STEPS * PIECES_A_STEP * PIECE_WORDS // ROUNDS

# A run of so many words that life and text share is copied.
COPIED_RUN = 12
# As many words that lives share are a phrase that returns.
SHARED_RUN = 6

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")

# The commonest words of languages; the default model knows English.
COMMON = {
    "English": "the of and to in is it that was he for on are with as his they be at this had not but what all were",
    "German": "der die und das ist nicht ich sie es den ein zu mit von auf dem eine wie war sich auch er",
    "French": "le la les et des est dans une que il elle pas pour qui sur ne je du au ce avec plus",
    "Spanish": "el la los las y que en de un una es por con no se su lo para del al como más",
    "Italian": "il la che di e un una in non si per è con del della i le sono ma come mi",
    "Dutch": "de het een en van ik is dat niet te in op zijn met voor hij aan er maar ook",
    "Portuguese": "o a os as e que de um uma em não se do da por com para no na mais como",
}


class Unusable(Exception):
    """Why a folder cannot be learnt from: one line with the next step."""


@dataclass(frozen=True)
class Passage:
    theme: str
    text: str


def words_of(text: str) -> list[str]:
    return WORD.findall(text.lower())


def read(path: Path) -> str:
    """A file's text; refuses what is none."""
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise Unusable(f"{path} is not UTF-8 text; save it as plain text in UTF-8, or take it out") from None
    letters = sum(letter.isalpha() or letter.isspace() for letter in text)
    if "\0" in text or letters < 0.8 * len(text):
        raise Unusable(f"{path} is not prose; take it out of the folder")
    return text


def passages_of(path: Path) -> list[Passage]:
    text = read(path)
    if PASSAGE_END in text:
        parts = text.split(PASSAGE_END)
    else:
        parts, lines = [""], re.split(r"\n\s*\n", text)
        for paragraph in (re.sub(r"\s*\n\s*", " ", lines_of.strip()) for lines_of in lines):
            if len(parts[-1].split()) >= PASSAGE_WORDS:
                parts.append("")
            parts[-1] += "\n\n" + paragraph
    return [Passage(path.stem, part.strip()) for part in parts if part.strip()]


def passages_in(folder: Path) -> list[Passage]:
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise Unusable(f"{folder} has no .txt file; put plain text files into it")
    return [passage for path in files for passage in passages_of(path)]


def language_of(text: str) -> str | None:
    """The language whose commonest words are most frequent in a text; none where few are."""
    words = words_of(text)
    shares = {name: sum(word in set(common.split()) for word in words) / max(1, len(words))
              for name, common in COMMON.items()}
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] > 0.1 else None


def steps_for(words: int) -> int:
    return min(MOST_STEPS, max(FEWEST_STEPS, round(ROUNDS * words / PIECE_WORDS / PIECES_A_STEP)))


def examine(folder: Path) -> tuple[str, list[str]]:
    """What will be done with a folder, and warnings."""
    passages = passages_in(folder)
    words = sum(len(words_of(passage.text)) for passage in passages)
    if words < FEWEST_WORDS:
        raise Unusable(f"{folder} has {words} words: too few, the model would learn them by heart; "
                       f"collect {FEWEST_WORDS} (five pages) or more")
    warnings = []
    if words > MOST_WORDS:
        warnings.append(f"{words} words are more than a training reads: about {MOST_WORDS / words:.0%} of them are learnt")
    languages: dict[str | None, list[str]] = {}
    for path in sorted(folder.glob("*.txt")):
        languages.setdefault(language_of(read(path)), []).append(path.name)
    if len(languages) > 1:
        told = "; ".join(f"{name or 'none that is known'}: {', '.join(files)}" for name, files in languages.items())
        warnings.append(f"the text is in several languages ({told}): the voice will mix them")
    elif "English" not in languages:
        warnings.append("the text is not in English, and the default model has read little else: lives will be broken")
    steps = steps_for(words)
    minutes = max(1, round(steps * SECONDS_A_STEP / 60))
    return (f"{len(list(folder.glob('*.txt')))} files, {words} words, {len(passages)} passages: "
            f"{steps} steps, about {minutes} minutes on two free cores"), warnings


def copied(life: str, runs: set[tuple[str, ...]], length: int = COPIED_RUN) -> float:
    """The share of a life's words in runs of `length` words that the text has."""
    words = words_of(life)
    marked: set[int] = set()
    for at in range(len(words) - length + 1):
        if tuple(words[at:at + length]) in runs:
            marked.update(range(at, at + length))
    return len(marked) / max(1, len(words))


def runs_in(texts: list[str], length: int = COPIED_RUN) -> set[tuple[str, ...]]:
    return {tuple(words[at:at + length]) for words in map(words_of, texts) for at in range(len(words) - length + 1)}


def longest_run(life: str, texts: list[str]) -> int:
    """The longest run of words of a life that a text has."""
    length = 0
    while runs_in([life], length + 1) & runs_in(texts, length + 1):
        length += 1
    return length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copied", type=Path, nargs="+", metavar="LIFE")
    given = parser.parse_args()
    try:
        if not given.copied:
            plan, warnings = examine(given.folder)
            print(plan)
            for warning in warnings:
                print(f"warning: {warning}", file=sys.stderr)
            return
        texts = [passage.text for passage in passages_in(given.folder)]
        runs = runs_in(texts)
        for path in given.copied:
            life = path.read_text(encoding="utf-8")
            share = copied(life, runs)
            print(f"{path.name}: {share:.1%} of the words in runs of {COPIED_RUN} that are the text's own; "
                  f"the longest run has {longest_run(life, texts)} words")
            if share > 0:
                print(f"warning: {path.name} copies the text", file=sys.stderr)
        lives = [path.read_text(encoding="utf-8") for path in given.copied]
        if len(lives) > 1:
            shares = [copied(life, runs_in(lives[:n] + lives[n + 1:], SHARED_RUN), SHARED_RUN) for n, life in enumerate(lives)]
            print(f"words in runs of {SHARED_RUN} that another life has: {sum(shares) / len(shares):.1%}, at most {max(shares):.1%}")
    except Unusable as why:
        sys.exit(f"error: {why}")


if __name__ == "__main__":
    main()
