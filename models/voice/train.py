#!/usr/bin/env python3
"""Train a voice: a low-rank adapter (LoRA) for the default model, from a folder of text.

    python3 models/voice/train.py                      the piece's own voice, as it is committed
    python3 models/voice/train.py --text FOLDER --out voice.gguf    another one

The base is a GGUF file of a llama model (script/real-model makes it); its weights stay as
they are. Each step trains on two halves of a life: the system prompt, which is not learned, and
passages of the text. Every tenth passage is held out to choose the best
step by, and another tenth is read once, at the end.

Needs PyTorch (Debian: python3-torch) and the packages of requirements.txt. The seed decides
the result, except for rounding on another processor.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import math
import os
import random
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

# Threads that wait by spinning take the time of those that compute where cores are busy.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from text import PIECE_WORDS, PIECES_A_STEP, Passage, Unusable, passages_in, steps_for, words_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BASE = ROOT / "target/real-model/smollm2-q4_1.gguf"
PROMPT = ROOT / "prompt.txt"
CORPORA = [ROOT / "models/ember/corpus", HERE / "corpus"]

# Themes that a life of the piece begins and ends with.
FIRST_THEMES = {"waking", "first-press", "first-words"}
LAST_THEMES = {"ending", "last-centimetre", "panic-word"}

# Queries and keys are left out: they cost 240 of 840 graph nodes and a fifth of the products,
# and change how text is written least.
TARGETS = ["attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]

# Tokens of a piece of a life, its prompt with it. A whole life has twice as many: two
# halves cost less attention and half of the memory, 4 GB in all.
PIECE = 1_024


@dataclass(frozen=True)
class Plan:
    """What a training is; the defaults are those of the committed voice."""
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = tuple(TARGETS)
    steps: int = 48
    warmup: int = 8
    rate: float = 3e-3
    # Share of lives that ember's grammar writes.
    grammar: float = 0.2
    # Share of lives whose passages are cut into paragraphs.
    cut: float = 0.2
    full: bool = False
    seed: int = 1


# ---------------------------------------------------------------- text

def split_passages(folder: Path) -> tuple[list[Passage], list[Passage], list[Passage]]:
    """Passages to learn, to choose by, and to read once. Ember's corpus keeps its own split."""
    every = passages_in(folder)
    if folder == CORPORA[0]:
        chosen = [index % 11 == 4 for index in range(len(every))]
        return ([p for p, held in zip(every, chosen) if not held], [p for p, held in zip(every, chosen) if held], [])
    return ([p for n, p in enumerate(every) if n % 10 not in (3, 8)],
            [p for n, p in enumerate(every) if n % 10 == 3],
            [p for n, p in enumerate(every) if n % 10 == 8])


class Lives:
    """Draws halves of lives, from each corpus as often as from the others: no passage comes
    again before all others of its corpus have come."""

    def __init__(self, corpora: list[list[Passage]], cut: float, rng: random.Random) -> None:
        self.corpora, self.cut, self.rng = corpora, cut, rng
        self.stock: dict[tuple[str, int], list[Passage]] = {}

    def draw(self, kind: str, fits) -> Passage | None:
        """The next passage of a kind, each kind of each corpus with a shuffled stock of its own."""
        chosen = self.rng.randrange(len(self.corpora))
        stock = self.stock.setdefault((kind, chosen), [])
        if not stock:
            stock += [passage for passage in self.corpora[chosen] if fits(passage)]
            self.rng.shuffle(stock)
        return stock.pop() if stock else None

    def half(self, words: int) -> str:
        """One half of a life: the first one begins, the second one ends with such a theme."""
        is_first = self.rng.random() < 0.5
        end = self.draw("first" if is_first else "last", lambda p: p.theme in (FIRST_THEMES if is_first else LAST_THEMES))
        ends = [end.text] if end else []
        between: list[str] = []
        while sum(len(text.split()) for text in ends + between) < words:
            drawn = self.draw("between", lambda p: p.theme not in FIRST_THEMES | LAST_THEMES)
            if drawn is None or drawn.text in between:
                break
            between.append(drawn.text)
        if self.rng.random() < self.cut:
            between = [paragraph for text in between for paragraph in text.split("\n\n")]
            self.rng.shuffle(between)
        return "\n\n".join(ends + between if is_first else between + ends)


def grammar_lives(count: int, seed: int) -> list[str]:
    sys.path.insert(0, str(ROOT / "models/ember"))
    import grammar
    return grammar.write_lives(grammar.load_sources(), seed, count)


def halves(lives: list[str], rng: random.Random) -> list[str]:
    """The lives' paragraphs up to their middle and from there on, shuffled."""
    cut = []
    for paragraphs in (life.split("\n\n") for life in lives):
        middle = len(paragraphs) // 2
        cut += ["\n\n".join(paragraphs[:middle]), "\n\n".join(paragraphs[middle:])]
    rng.shuffle(cut)
    return cut


# ---------------------------------------------------------------- model

class Base:
    """The llama model of a GGUF file, with its tokenizer; RoPE turns pairs, as in the file."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        field = {name: f.contents() for name, f in reader.fields.items() if not name.startswith("tokenizer")}
        self.layers = field["llama.block_count"]
        self.heads = field["llama.attention.head_count"]
        self.kv_heads = field["llama.attention.head_count_kv"]
        self.width = field["llama.embedding_length"]
        self.epsilon = field["llama.attention.layer_norm_rms_epsilon"]
        self.size = self.width // self.heads
        rates = field["llama.rope.freq_base"] ** (-torch.arange(self.size // 2).float() / (self.size // 2))
        angles = torch.outer(torch.arange(2048).float(), rates)
        self.cos, self.sin = angles.cos(), angles.sin()
        self.weight = {tensor.name.removesuffix(".weight"): torch.from_numpy(
            np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)) for tensor in reader.tensors}
        self.tokenizer = tokenizer_of(reader)

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weight[name]


def tokenizer_of(reader: gguf.GGUFReader) -> Tokenizer:
    """Byte-level BPE in which each digit is a token, as SmolLM2 has it."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token, kind in zip(tokens, kinds)
                                  if kind == gguf.TokenType.CONTROL])
    return tokenizer


class Voice:
    """The base with an adapter: y = x W + scale (x A) B for each target; or all weights, if full."""

    def __init__(self, base: Base, plan: Plan) -> None:
        self.base, self.plan = base, plan
        self.scale = plan.alpha / plan.rank
        self.a: dict[str, torch.Tensor] = {}
        self.b: dict[str, torch.Tensor] = {}
        if plan.full:
            for weight in base.weight.values():
                weight.requires_grad_()
            return
        for name, weight in base.weight.items():
            if name.split(".")[-1] in plan.targets:
                out, into = weight.shape
                self.a[name] = torch.empty(plan.rank, into).uniform_(-1, 1).mul_(into ** -0.5).requires_grad_()
                self.b[name] = torch.zeros(out, plan.rank).requires_grad_()

    def parameters(self) -> list[torch.Tensor]:
        return list(self.base.weight.values()) if self.plan.full else [*self.a.values(), *self.b.values()]

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        y = F.linear(x, self.base.weight[name])
        if name in self.a:
            y = y + F.linear(F.linear(x, self.a[name]), self.b[name] * self.scale)
        return y

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        cos, sin = self.base.cos[:x.shape[1]], self.base.sin[:x.shape[1]]
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)

    def attend(self, h: torch.Tensor, layer: str) -> torch.Tensor:
        base = self.base

        def heads(name: str, count: int) -> torch.Tensor:
            return self.linear(h, f"{layer}.{name}").view(-1, count, base.size).transpose(0, 1)

        group = base.heads // base.kv_heads
        q = self.rotate(heads("attn_q", base.heads))
        k = self.rotate(heads("attn_k", base.kv_heads)).repeat_interleave(group, dim=0)
        v = heads("attn_v", base.kv_heads).repeat_interleave(group, dim=0)
        return self.linear(attention(q, k, v).transpose(0, 1).reshape(-1, base.width), f"{layer}.attn_output")

    def losses(self, tokens: torch.Tensor, skip: int) -> torch.Tensor:
        """The loss of each token from `skip` on, in nats."""
        base = self.base
        x = base.weight["token_embd"][tokens[:-1]]
        for n in range(base.layers):
            layer = f"blk.{n}"
            x = x + self.attend(base.norm(x, f"{layer}.attn_norm"), layer)
            h = base.norm(x, f"{layer}.ffn_norm")
            gated = F.silu(self.linear(h, f"{layer}.ffn_gate")) * self.linear(h, f"{layer}.ffn_up")
            x = x + self.linear(gated, f"{layer}.ffn_down")
        x = base.norm(x[skip - 1:], "output_norm")
        return F.cross_entropy(F.linear(x, base.weight["token_embd"]), tokens[skip:], reduction="none")


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal attention over [heads, time, size], in blocks of queries, which skips most of the masked half."""
    time_steps, block = q.shape[1], 256
    mask = torch.full((block, block), float("-inf")).triu(1)
    q = q * q.shape[2] ** -0.5
    pieces = []
    for start in range(0, time_steps, block):
        end = min(start + block, time_steps)
        scores = q[:, start:end] @ k[:, :end].transpose(1, 2)
        scores = torch.cat([scores[..., :start], scores[..., start:] + mask[:end - start, :end - start]], dim=-1)
        pieces.append(scores.softmax(-1) @ v[:, :end])
    return torch.cat(pieces, dim=1)


# ---------------------------------------------------------------- training

class Framed:
    """Texts as tokens, with the system prompt before them."""

    def __init__(self, tokenizer: Tokenizer, prompt: str) -> None:
        self.tokenizer = tokenizer
        self.prefix = self.encode(f"<|im_start|>system\n{prompt}<|im_end|>\n<|im_start|>assistant\n")

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    def tokens(self, text: str) -> torch.Tensor:
        return torch.tensor((self.prefix + self.encode(text))[:PIECE])


@torch.no_grad()
def mean_loss(voice: Voice, framed: Framed, passages: list[Passage]) -> float:
    """Mean loss of a token of the passages, each alone after the prompt."""
    losses = [voice.losses(framed.tokens(p.text), len(framed.prefix)) for p in passages]
    return torch.cat(losses).mean().item()


def rate_at(step: int, plan: Plan) -> float:
    """Linear warm-up, then a cosine to a tenth."""
    if step < plan.warmup:
        return plan.rate * (step + 1) / plan.warmup
    share = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))


def train(voice: Voice, framed: Framed, lives, held_out: dict[str, list[Passage]], out: Path,
          every: int = 14) -> list[dict]:
    """Trains, goes back to the step with the least held-out loss, writes it, and returns the curve."""
    plan = voice.plan
    optimizer = torch.optim.AdamW(voice.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.0)
    curve: list[dict] = []
    running: list[float] = []
    started, tokens = time.time(), 0
    best, kept = math.inf, []
    for step in range(plan.steps + 1):
        if step % every == 0 or step == plan.steps:
            losses = {name: mean_loss(voice, framed, passages) for name, passages in held_out.items()}
            row = {"step": step, "tokens": tokens, "train": sum(running) / len(running) if running else None,
                   **losses, "seconds": round(time.time() - started)}
            curve.append(row)
            running = []
            print(" ".join(f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
                           for name, value in row.items() if value is not None), flush=True)
            loss = sum(losses.values()) / len(losses)
            if loss < best and not plan.full:
                best, kept = loss, [parameter.detach().clone() for parameter in voice.parameters()]
        if step == plan.steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, plan)
        optimizer.zero_grad()
        for _ in range(PIECES_A_STEP):
            piece = framed.tokens(lives())
            loss = voice.losses(piece, len(framed.prefix)).mean() / PIECES_A_STEP
            loss.backward()
            running.append(loss.item() * PIECES_A_STEP)
            tokens += len(piece) - len(framed.prefix)
        torch.nn.utils.clip_grad_norm_(voice.parameters(), 1.0)
        optimizer.step()
    if kept:
        for parameter, best_one in zip(voice.parameters(), kept):
            parameter.data.copy_(best_one)
        export(voice, out)
    return curve


def export(voice: Voice, out: Path) -> None:
    """Writes the adapter as llama.cpp reads it, to a .part file that is then renamed."""
    aside = out.with_name(out.name + ".part")
    writer = gguf.GGUFWriter(aside, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", voice.plan.alpha)
    for name in voice.a:
        for part, values in (("lora_a", voice.a[name]), ("lora_b", voice.b[name])):
            writer.add_tensor(f"{name}.weight.{part}", values.detach().numpy().astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(aside, out)


def keep_freed_memory() -> None:
    """Makes glibc keep freed large blocks: returning them to the kernel costs most of the time."""
    trim_threshold, mmap_max = -1, -4
    libc = ctypes.CDLL(None)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(mmap_max, 0)


def main() -> None:
    defaults = Plan()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=BASE)
    parser.add_argument("--text", type=Path, action="append",
                        help="a folder of .txt files, for another voice; may be given again")
    parser.add_argument("--prompt", type=Path, default=PROMPT)
    parser.add_argument("--out", type=Path, default=HERE / "voice.gguf")
    parser.add_argument("--curve", type=Path, help="a CSV file for the losses")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--full", action="store_true", help="all weights, for its figures alone: nothing is written")
    numbers = ["rank", "alpha", "steps", "warmup", "rate", "grammar", "cut", "seed"]
    for name in numbers:
        parser.add_argument(f"--{name}", type=type(getattr(defaults, name)), help=f"default: {getattr(defaults, name)}")
    given = parser.parse_args()
    folders = [folder.resolve() for folder in given.text or CORPORA]
    splits = [split_passages(folder) for folder in folders]
    corpora = [learn for learn, _, _ in splits]
    if given.text:
        # Another text has no grammar, and as many steps as it has words for.
        steps = steps_for(sum(len(words_of(passage.text)) for learn in corpora for passage in learn))
        defaults = replace(defaults, grammar=0.0, cut=0.0, steps=steps)
    plan = replace(defaults, full=given.full, targets=tuple(given.targets.split(",")), **{
        name: getattr(given, name) for name in numbers if getattr(given, name) is not None})

    keep_freed_memory()
    torch.manual_seed(plan.seed)
    torch.set_num_threads(given.threads)
    rng = random.Random(plan.seed)
    base = Base(given.base)
    framed = Framed(base.tokenizer, given.prompt.read_text(encoding="utf-8").strip())
    drawn = Lives(corpora, plan.cut, rng)
    generated = halves(grammar_lives(math.ceil(PIECES_A_STEP * plan.steps * plan.grammar), plan.seed), rng)

    def life() -> str:
        return generated.pop() if generated and rng.random() < plan.grammar else drawn.half(PIECE_WORDS)

    voice = Voice(base, plan)
    held_out = {"held_out" if given.text else folder.parent.name: choose for folder, (_, choose, _) in zip(folders, splits)}
    curve = train(voice, framed, life, held_out, given.out)
    last = [p for _, _, once in splits for p in once]
    if last:
        print(f"read once {mean_loss(voice, framed, last):.4f}")
    if given.curve:
        with given.curve.open("w", newline="") as file:
            writer = csv.DictWriter(file, curve[0].keys())
            writer.writeheader()
            writer.writerows(curve)


if __name__ == "__main__":
    try:
        main()
    except Unusable as why:
        sys.exit(f"error: {why}")
