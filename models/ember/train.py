#!/usr/bin/env python3
"""Train ember from scratch and export ember.gguf.

    python3 models/ember/train.py            everything: text, tokenizer, model, figures
    python3 models/ember/train.py --steps 300    a rough model, for trying things out

Needs the packages of requirements.txt. The seeds here and in grammar.py determine the
result, except for floating-point rounding on another processor.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import json
import math
import os
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import grammar
import measure

HERE = Path(__file__).resolve().parent
PROMPT_FILE = HERE / "prompt.txt"
OTHER_PROMPTS_FILE = HERE / "prompts.txt"
MODEL_FILE = HERE / "ember.gguf"
LOSS_FILE = HERE / "loss.csv"
FIGURES_FILE = HERE / "figures.json"

SEED = 1
THREADS = 2

END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    vocabulary: int = 2048
    width: int = 256
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 512
    context: int = 2048
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class Schedule:
    """Most steps train on short windows, which are cheap; the last ones on the whole context."""
    steps: int = 3000
    warmup_steps: int = 100
    tokens_per_step: int = 4_096
    short_window: int = 512
    long_share: float = 0.25
    peak_rate: float = 2e-3
    final_rate: float = 1e-4
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    evaluate_every: int = 200
    save_every: int = 400


SHAPE = Shape()

# Shares of texts with ember's prompt and with another one, so that ember also
# works with another prompt or with none.
PROJECT_PROMPT_SHARE, OTHER_PROMPT_SHARE = 0.70, 0.18  # the rest: bare text

# Share of short windows that begin at the start of a life, with its prompt.
START_SHARE = 0.20

# Shares of short and of long windows that are salad (see Lives.salad), the number of
# lives that it is cut from, and the range of its jump rate. Salad never follows a
# prompt, so that ember does not begin a life with incoherent text.
SALAD_SHARE_SHORT, SALAD_SHARE_LONG = 0.08, 0.03
SALAD_LIVES = 300
SALAD_JUMPS_PER_TOKEN = (0.05, 0.40)

# Sequences of each held-out set that the loss curve uses; the final figures use all.
CURVE_SEQUENCES = 8

# How byte-level BPE writes a space at the start of a token.
SPACE = "\u0120"


# ---------------------------------------------------------------- tokenizer

def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE as in GPT-2: every byte is a token, so any prompt can be tokenized."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SHAPE.vocabulary,
        special_tokens=[END_OF_TEXT, IM_START, IM_END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokens_in_order(tokenizer: Tokenizer) -> list[str]:
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def framed(prompt: str) -> str:
    return f"{IM_START}system\n{prompt}{IM_END}\n{IM_START}assistant\n"


# ---------------------------------------------------------------- data

class Lives:
    """Tokenized lives, from which windows for training are cut."""

    def __init__(self, tokenizer: Tokenizer, texts: list[str]) -> None:
        self.lives = [e.ids for e in tokenizer.encode_batch(texts)]
        self.stream = [token for life in self.lives[:SALAD_LIVES] for token in life]
        self.is_word_start = [token.startswith(SPACE) for token in tokens_in_order(tokenizer)]
        self.places: dict[int, list[int]] = {}
        for place, token in enumerate(self.stream[:-1]):
            self.places.setdefault(token, []).append(place)
        self.word_starts = [token for token in self.places if self.is_word_start[token]]

        def encode(prompt: str) -> list[int]:
            return tokenizer.encode(framed(prompt)).ids

        self.own_prefix = encode(PROMPT_FILE.read_text(encoding="utf-8").strip())
        others = OTHER_PROMPTS_FILE.read_text(encoding="utf-8").split("\n")
        self.other_prefixes = [encode(prompt) for prompt in others if prompt]

    def with_prefix(self, life: list[int], rng: random.Random) -> list[int]:
        draw = rng.random()
        if draw < PROJECT_PROMPT_SHARE:
            return self.own_prefix + life
        if draw < PROJECT_PROMPT_SHARE + OTHER_PROMPT_SHARE:
            return rng.choice(self.other_prefixes) + life
        return life

    def salad(self, length: int, rng: random.Random) -> list[int]:
        """Incoherent text: fragments of lives, joined at random places.

        At random tokens it jumps to another occurrence of the same token, or to the
        start of any word. The frames are so regular that a model trained on them alone
        predicts each next word with too much confidence, and continues badly after a
        word that it did not predict; training on salad is meant to prevent both.
        """
        rate = rng.uniform(*SALAD_JUMPS_PER_TOKEN)
        at, out = rng.randrange(len(self.stream) - 1), []
        while len(out) < length:
            token = self.stream[at]
            out.append(token)
            if rng.random() >= rate or token not in self.places:
                at += 1
            elif rng.random() < 0.6:
                at = rng.choice(self.places[token]) + 1
            elif self.is_word_start[self.stream[at + 1]]:
                at = rng.choice(self.places[rng.choice(self.word_starts)])
            else:
                at += 1
            at %= len(self.stream) - 1
        return out

    def batch(self, window: int, count: int, rng: random.Random) -> torch.Tensor:
        """`count` rows of window + 1 tokens; a long window starts at the start of the text."""
        long = window == SHAPE.context
        salad_share = SALAD_SHARE_LONG if long else SALAD_SHARE_SHORT
        rows = []
        for _ in range(count):
            if rng.random() < salad_share:
                rows.append(self.salad(window + 1, rng))
                continue
            tokens = self.with_prefix(rng.choice(self.lives), rng)
            from_start = long or rng.random() < START_SHARE
            start = 0 if from_start else rng.randint(0, len(tokens) - window - 1)
            rows.append(tokens[start:start + window + 1])
        return torch.tensor(rows)


# ---------------------------------------------------------------- model

class Cast(torch.autograd.Function):
    """bfloat16 copy of a float32 weight: the training machine multiplies bfloat16 fastest."""

    @staticmethod
    def forward(ctx, weight: torch.Tensor) -> torch.Tensor:
        return weight.to(torch.bfloat16)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.float()


def linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return F.linear(x, Cast.apply(weight))


def rms_norm(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + SHAPE.norm_epsilon)
    return x * scale.to(x.dtype) * Cast.apply(gain)


def rope_tables(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    half = SHAPE.head_size // 2
    rates = SHAPE.rope_base ** (-torch.arange(half).float() / half)
    angles = torch.outer(torch.arange(length).float(), rates)
    return angles.cos().to(torch.bfloat16), angles.sin().to(torch.bfloat16)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """RoPE on the two halves of a head; export() reorders the rows to llama.cpp's pairs."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def causal_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Softmax attention over [rows, heads, time, size], in blocks of queries.

    A block of queries uses only the keys up to its own end, which skips most of the masked half.
    """
    time_steps, block = q.shape[2], 256
    scale = SHAPE.head_size ** -0.5
    mask = torch.full((block, block), float("-inf"), dtype=q.dtype).triu(1)
    q = q * scale
    pieces = []
    for start in range(0, time_steps, block):
        end = min(start + block, time_steps)
        scores = q[:, :, start:end] @ k[:, :, :end].transpose(-1, -2)
        scores[..., start:end] += mask[:end - start, :end - start]
        pieces.append(scores.softmax(-1) @ v[:, :, :end])
    return torch.cat(pieces, dim=2)


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        s = SHAPE
        kv_width = s.kv_heads * s.head_size
        out_scale = 0.02 / math.sqrt(2 * s.layers)
        self.attn_norm = torch.nn.Parameter(torch.ones(s.width))
        self.q = weight(s.width, s.width)
        self.k = weight(kv_width, s.width)
        self.v = weight(kv_width, s.width)
        self.o = weight(s.width, s.width, out_scale)
        self.ffn_norm = torch.nn.Parameter(torch.ones(s.width))
        self.gate = weight(s.feed_forward, s.width)
        self.up = weight(s.feed_forward, s.width)
        self.down = weight(s.width, s.feed_forward, out_scale)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(rms_norm(x, self.attn_norm), cos, sin)
        h = rms_norm(x, self.ffn_norm)
        return x + linear(F.silu(linear(h, self.gate)) * linear(h, self.up), self.down)

    def attend(self, h: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        s = SHAPE
        rows, time_steps, _ = h.shape

        def heads(w: torch.Tensor, count: int) -> torch.Tensor:
            return linear(h, w).view(rows, time_steps, count, s.head_size).transpose(1, 2)

        group = s.heads // s.kv_heads
        q = rotate(heads(self.q, s.heads), cos, sin)
        k = rotate(heads(self.k, s.kv_heads), cos, sin).repeat_interleave(group, dim=1)
        v = heads(self.v, s.kv_heads).repeat_interleave(group, dim=1)
        mixed = causal_attention(q, k, v).transpose(1, 2).reshape(rows, time_steps, s.width)
        return linear(mixed, self.o)


def weight(rows: int, columns: int, spread: float = 0.02) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(rows, columns) * spread)


class Ember(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = weight(SHAPE.vocabulary, SHAPE.width)
        self.layers = torch.nn.ModuleList(Layer() for _ in range(SHAPE.layers))
        self.norm = torch.nn.Parameter(torch.ones(SHAPE.width))
        self.cos, self.sin = rope_tables(SHAPE.context)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        length = tokens.shape[1]
        x = F.embedding(tokens, self.embedding).to(torch.bfloat16)
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return linear(rms_norm(x, self.norm), self.embedding)

    def token_losses(self, rows: torch.Tensor) -> torch.Tensor:
        logits = self(rows[:, :-1]).float()
        return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")


# ---------------------------------------------------------------- training

def learning_rate(step: int, plan: Schedule) -> float:
    """Linear warm-up, then cosine decay to the final rate."""
    if step < plan.warmup_steps:
        return plan.peak_rate * (step + 1) / plan.warmup_steps
    share = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return plan.final_rate + (plan.peak_rate - plan.final_rate) * 0.5 * (1 + math.cos(math.pi * share))


def optimizer_for(model: Ember, plan: Schedule) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() == 2]
    gains = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": plan.weight_decay},
              {"params": gains, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)


# Tokens of a held-out text with its prompt before it, and the prompt's losses to skip.
HeldOut = tuple[torch.Tensor, int]


def after_prompt(prefix: list[int], ids: list[int]) -> HeldOut:
    return torch.tensor(prefix + ids), max(0, len(prefix) - 1)


@torch.no_grad()
def mean_loss(model: Ember, sequences: list[HeldOut]) -> float:
    """Mean loss per token of the text; the prompt's tokens are not counted."""
    total, count = 0.0, 0
    for tokens, skip in sequences:
        losses = model.token_losses(tokens[None, :SHAPE.context + 1])[skip:]
        total += losses.sum().item()
        count += losses.numel()
    return total / count


def train(model: Ember, data: Lives, held_out: dict[str, list[HeldOut]],
          plan: Schedule, tokenizer: Tokenizer, out: Path) -> list[dict]:
    rng = random.Random(SEED)
    optimizer = optimizer_for(model, plan)
    curve, running, started = [], [], time.time()
    for step in range(plan.steps):
        long = step >= plan.steps * (1 - plan.long_share)
        window = SHAPE.context if long else plan.short_window
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, plan)
        rows = data.batch(window, plan.tokens_per_step // window, rng)
        loss = model.token_losses(rows).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip_norm)
        optimizer.step()
        running.append(loss.item())
        last = step + 1 == plan.steps
        if (step + 1) % plan.evaluate_every == 0 or last:
            row = {"step": step + 1, "window": window, "train": round(sum(running) / len(running), 4)}
            row |= {name: round(mean_loss(model, rows[:CURVE_SEQUENCES]), 4)
                    for name, rows in held_out.items()}
            row["seconds"] = round(time.time() - started)
            curve.append(row)
            running = []
            print(row, flush=True)
        if (step + 1) % plan.save_every == 0 and not last:
            export(model, tokenizer, out)
    return curve


# ---------------------------------------------------------------- export

def to_pairs(w: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows of a query or key matrix from RoPE halves to RoPE pairs."""
    rows, columns = w.shape
    return w.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def to_halves(w: np.ndarray, heads: int) -> np.ndarray:
    """Undo to_pairs."""
    rows, columns = w.shape
    return w.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def named_parameters(model: Ember) -> dict[str, torch.nn.Parameter]:
    """Parameters by their names in llama.cpp. The output layer is tied to the embedding."""
    named = {"token_embd.weight": model.embedding, "output_norm.weight": model.norm}
    for n, layer in enumerate(model.layers):
        named |= {
            f"blk.{n}.attn_norm.weight": layer.attn_norm,
            f"blk.{n}.attn_q.weight": layer.q,
            f"blk.{n}.attn_k.weight": layer.k,
            f"blk.{n}.attn_v.weight": layer.v,
            f"blk.{n}.attn_output.weight": layer.o,
            f"blk.{n}.ffn_norm.weight": layer.ffn_norm,
            f"blk.{n}.ffn_gate.weight": layer.gate,
            f"blk.{n}.ffn_up.weight": layer.up,
            f"blk.{n}.ffn_down.weight": layer.down,
        }
    return named


def rotated_heads(name: str) -> int:
    """The number of heads of a query or key matrix, which RoPE rotates; 0 for other tensors."""
    if name.endswith("attn_q.weight"):
        return SHAPE.heads
    return SHAPE.kv_heads if name.endswith("attn_k.weight") else 0


def export(model: Ember, tokenizer: Tokenizer, out: Path) -> None:
    """Write the model to a .part file, then rename it to `out` in one step."""
    aside = out.with_name(out.name + ".part")
    writer = gguf.GGUFWriter(aside, "llama")
    write_shape(writer)
    write_tokenizer(writer, tokenizer)
    q8 = gguf.GGMLQuantizationType.Q8_0
    for name, parameter in named_parameters(model).items():
        values = parameter.detach().numpy()
        if heads := rotated_heads(name):
            values = to_pairs(values, heads)
        if values.ndim == 1:
            writer.add_tensor(name, values.astype(np.float32))
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, q8), raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(aside, out)


def write_shape(writer: gguf.GGUFWriter) -> None:
    s = SHAPE
    writer.add_name("ember")
    writer.add_description("The language model built into Torment Nexus, trained from scratch for it.")
    writer.add_license("mit")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(s.context)
    writer.add_embedding_length(s.width)
    writer.add_block_count(s.layers)
    writer.add_feed_forward_length(s.feed_forward)
    writer.add_head_count(s.heads)
    writer.add_head_count_kv(s.kv_heads)
    writer.add_rope_dimension_count(s.head_size)
    writer.add_rope_freq_base(s.rope_base)
    writer.add_layer_norm_rms_eps(s.norm_epsilon)
    writer.add_vocab_size(s.vocabulary)


def write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    tokens = tokens_in_order(tokenizer)
    special = {END_OF_TEXT, IM_START, IM_END}
    kinds = [gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_eos_token_id(tokenizer.token_to_id(IM_END))
    writer.add_eot_token_id(tokenizer.token_to_id(IM_END))
    writer.add_pad_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


# ---------------------------------------------------------------- the whole run

def use_exported_weights(model: Ember, out: Path) -> None:
    """Load the file's quantized weights into the model, so that the figures describe the file."""
    parameters = named_parameters(model)
    for tensor in gguf.GGUFReader(out).tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if heads := rotated_heads(tensor.name):
            values = to_halves(values, heads)
        parameters[tensor.name].data.copy_(torch.from_numpy(np.array(values)))


def keep_freed_memory() -> None:
    """Make glibc keep freed large blocks; returning them to the kernel costs a fifth of the time."""
    trim_threshold, mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(mmap_threshold, 2**30)


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=Schedule.steps)
    parser.add_argument("--out", type=Path, default=MODEL_FILE)
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    plan = Schedule(steps=arguments.steps)

    sources = grammar.load_sources()
    train_texts = grammar.write_lives(sources, grammar.TRAIN_SEED, grammar.TRAIN_LIVES)
    held_out_texts = grammar.write_lives(sources, grammar.HELD_OUT_SEED, grammar.HELD_OUT_LIVES)
    prompt = PROMPT_FILE.read_text(encoding="utf-8").strip()
    tokenizer = train_tokenizer(train_texts[:400] + [prompt] * 200)

    data = Lives(tokenizer, train_texts)
    held_out_ids = {
        "held_out_grammar": [e.ids for e in tokenizer.encode_batch(held_out_texts)],
        "held_out_corpus": [tokenizer.encode(text).ids for _, text in sources.held_out_passages],
    }
    held_out = {
        "held_out_grammar": [after_prompt(data.own_prefix, ids)
                             for ids in held_out_ids["held_out_grammar"]],
        "held_out_corpus": [after_prompt([], ids) for ids in held_out_ids["held_out_corpus"]],
    }
    model = Ember()
    parameters = sum(p.numel() for p in model.parameters())
    words = sum(len(t.split()) for t in train_texts)
    tokens = sum(len(life) for life in data.lives)
    print(f"{parameters} parameters, {words} words, {tokens} tokens, "
          f"prompt {len(data.own_prefix)} tokens", flush=True)

    curve = train(model, data, held_out, plan, tokenizer, arguments.out)
    export(model, tokenizer, arguments.out)
    with LOSS_FILE.open("w", newline="") as file:
        table = csv.DictWriter(file, curve[0].keys())
        table.writeheader()
        table.writerows(curve)

    use_exported_weights(model, arguments.out)
    figures = {"shape": asdict(SHAPE), "schedule": asdict(plan), "parameters": parameters,
               "bytes": arguments.out.stat().st_size, "train_words": words, "train_tokens": tokens,
               "prompt_tokens": len(data.own_prefix)}
    figures["ember_loss"] = {name: mean_loss(model, rows) for name, rows in held_out.items()}
    trigram = measure.Trigram(data.lives, SHAPE.vocabulary)
    figures["trigram_loss"] = {name: trigram.mean_loss(rows) for name, rows in held_out_ids.items()}
    FIGURES_FILE.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
