#!/usr/bin/env python3
"""Pairs of pieces for blind readers.

    models/voice/blind.py pairs FOLDER SEED ONE TWO    writes FOLDER/01.txt … and FOLDER/key.csv
    models/voice/blind.py count FOLDER                 counts FOLDER/verdicts.csv by the key

ONE and TWO are folders with lives of the same names, such as 101.txt. Of each pair of lives
a piece of 150 words is taken, in turn from the beginning, the middle and the end, from the
start of a sentence on; dice decide which stands first. A reader sees one file and the
question of blind/question.txt, and answers with the number of the piece to keep. Only the
standard library is used.
"""

import argparse
import csv
import random
import re
from collections import Counter
from pathlib import Path

WORDS = 150
PLACES = ["beginning", "middle", "end"]


def piece(life, place):
    """150 words of a life, from the start of a sentence on."""
    words = life.split()
    start = {"beginning": 0, "middle": len(words) // 2, "end": len(words) - WORDS - 40}[place]
    while place != "beginning" and start < len(words) - WORDS and not re.search(r"[.!?][\"”']?$", words[start - 1]):
        start += 1
    return " ".join(words[start:start + WORDS])


def pairs(folder, seed, one, two):
    dice = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in one.glob("*.txt") if (two / path.name).exists())
    with (folder / "key.csv").open("w", newline="") as file:
        key = csv.writer(file)
        key.writerow(["pair", "life", "place", "first", "second"])
        for number, name in enumerate(names):
            place = PLACES[number % 3]
            order = [one, two]
            dice.shuffle(order)
            key.writerow([f"{number + 1:02}", name, place, *(path.name for path in order)])
            texts = [piece((path / name).read_text(encoding="utf-8"), place) for path in order]
            (folder / f"{number + 1:02}.txt").write_text(f"1\n\n{texts[0]}\n\n\n2\n\n{texts[1]}\n", encoding="utf-8")
    print(f"{len(names)} pairs in {folder}")


def count(folder):
    key = {row["pair"]: row for row in csv.DictReader((folder / "key.csv").open())}
    kept = Counter()
    for row in csv.DictReader((folder / "verdicts.csv").open()):
        kept[key[row["pair"]]["first" if row["kept"] == "1" else "second"]] += 1
    print(", ".join(f"{name} {number}" for name, number in kept.most_common()))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = arguments.add_subparsers(dest="what", required=True)
    of = what.add_parser("pairs")
    of.add_argument("folder", type=Path)
    of.add_argument("seed", type=int)
    of.add_argument("one", type=Path)
    of.add_argument("two", type=Path)
    what.add_parser("count").add_argument("folder", type=Path)
    given = arguments.parse_args()
    if given.what == "pairs":
        pairs(given.folder, given.seed, given.one, given.two)
    else:
        count(given.folder)


if __name__ == "__main__":
    main()
