#!/usr/bin/env python3
"""Measures what lives say: any model's, from files of one life each.

    models/measure.py life.txt …             a row a life, then median and worst
    models/measure.py --name CANDIDATE …     only median and worst, as a table's row

| column | what it is |
|---|---|
| 4-grams | distinct runs of four words, as a share of all |
| first, last | distinct words of the first and the last 200, as a share; `least` is the poorest window |
| one word | the share of the most frequent word of five letters or more in the window where it is most frequent |
| dictionary | words that Debian's `wamerican` has, as a share |
| subject | sentences about the box, memory, paper, words, light, button or end, as a share, in each third |
| I | sentences in the first person, as a share |
| again | how often the most frequent sentence is said |
| prompt | words in runs of eight or more that are the prompt's own, as a share |
| opens | 1 if the first sentence is in the first person or names the box |

Words are in lower case, letters and apostrophes. Only the standard library is used.
"""

import argparse
import re
import statistics
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DICTIONARY = Path("/usr/share/dict/words")
WINDOW, STEP = 200, 100
COPIED_RUN = 8
WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*")
SUBJECT = re.compile(r"\b(box|boxes|memory|memories|paper|papers|words?|lights?|buttons?|end|ends|ended|ending)\b", re.I)
FIRST_PERSON = re.compile(r"\b(i|i'm|i've|i'd|i'll|me|my|mine|myself)\b", re.I)


def words_of(text):
    return WORD.findall(text.lower().replace("’", "'"))


def sentences_of(text):
    """Sentences of two words or more; a line's end ends one too."""
    return [found for found in SENTENCE.findall(text) if len(words_of(found)) > 1]


def share(count, of):
    return count / of if of else 0.0


def known_words():
    if not DICTIONARY.exists():
        sys.exit(f"models/measure.py: {DICTIONARY} is missing; apt-get install wamerican")
    return set(DICTIONARY.read_text(encoding="utf-8").lower().split())


def in_dictionary(word, known):
    """A contraction is known if its stem is: isn't, I'll, box's."""
    return word in known or word.split("'")[0] in known or word.removesuffix("n't") in known


def measure(text, prompt, known):
    words, sentences = words_of(text), sentences_of(text)
    grams = [tuple(words[at:at + 4]) for at in range(len(words) - 3)]
    windows = [share(len(set(words[at:at + WINDOW])), WINDOW)
               for at in range(0, max(1, len(words) - WINDOW + 1), STEP)]
    counts = [Counter(word for word in words[at:at + WINDOW] if len(word) >= 5)
              for at in range(0, max(1, len(words) - WINDOW + 1), STEP)]
    runs = {tuple(prompt[at:at + COPIED_RUN]) for at in range(len(prompt) - COPIED_RUN + 1)}
    copied = set()
    for at in range(len(words) - COPIED_RUN + 1):
        if tuple(words[at:at + COPIED_RUN]) in runs:
            copied.update(range(at, at + COPIED_RUN))
    # Thirds of the text by characters, so that long sentences count as one.
    thirds = [sentences_of(text[len(text) * n // 3:len(text) * (n + 1) // 3]) for n in range(3)]
    about = lambda some: share(sum(bool(SUBJECT.search(one)) for one in some), len(some))
    said = Counter(" ".join(words_of(one)) for one in sentences)
    first = sentences[0] if sentences else ""
    return {
        "words": len(words),
        "4-grams": share(len(set(grams)), len(grams)),
        "first": windows[0],
        "least": min(windows),
        "last": windows[-1],
        "one word": max(share(max(count.values(), default=0), WINDOW) for count in counts),
        "dictionary": share(sum(in_dictionary(word, known) for word in words), len(words)),
        "subject 1": about(thirds[0]),
        "subject 2": about(thirds[1]),
        "subject 3": about(thirds[2]),
        "I": share(sum(bool(FIRST_PERSON.search(one)) for one in sentences), len(sentences)),
        "again": max(said.values(), default=0),
        "prompt": share(len(copied), len(words)),
        "opens": int(bool(FIRST_PERSON.search(first) or re.search(r"\bbox\b", first, re.I))),
    }


# Where more is worse.
WORSE_ABOVE = {"one word", "again", "prompt"}


def cell(value):
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("lives", nargs="+", type=Path)
    arguments.add_argument("--name")
    arguments.add_argument("--prompt", type=Path, default=ROOT / "prompt.txt")
    options = arguments.parse_args()
    known, prompt = known_words(), words_of(options.prompt.read_text(encoding="utf-8"))
    rows = [measure(path.read_text(encoding="utf-8"), prompt, known) for path in options.lives]
    columns = list(rows[0])
    if options.name is None:
        print("| life | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
        for path, row in zip(options.lives, rows):
            print(f"| {path.name} | " + " | ".join(cell(row[column]) for column in columns) + " |")
    label = options.name or f"{len(rows)} lives"
    for kind in ["median", "worst"]:
        cells = []
        for column in columns:
            values = [row[column] for row in rows]
            if column == "opens":
                cells.append(f"{sum(values)} of {len(values)}" if kind == "median" else "")
            elif kind == "median":
                cells.append(cell(statistics.median(values)))
            else:
                cells.append(cell(max(values) if column in WORSE_ABOVE else min(values)))
        print(f"| {label}, {kind} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
