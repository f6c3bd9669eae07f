#!/usr/bin/env python3
"""Writes a model of the default model's exact shape with random weights.

SmolLM2-135M-Instruct Q4_K_M cannot be downloaded everywhere; its memory use and
speed depend only on its dimensions and tensor types, which this script
reproduces: 30 layers of width 576, 9 heads of 64 over 3 KV heads, feed-forward
1536, a vocabulary of 49,152, and the types that llama.cpp's Q4_K_M gives to
rows of 576, which are no multiple of 256. The text that the model generates is
random.

    models/shape.py shape.gguf            writes it
    models/shape.py --compare model.gguf  says whether that file has these tensors
"""

import random
import struct
import sys

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, WIDE, VOCABULARY = 30, 576, 9, 3, 64, 1536, 49152
CONTEXT, ROPE_BASE, EPSILON = 8192, 100000.0, 1e-5
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|reserved_{n}|>" for n in range(14)]
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ALIGNMENT = 32

# ggml's type numbers; then for each block format the elements and bytes of a
# block, and the offsets of its f16 scales with the values that give the weights
# a standard deviation near 0.02.
F32, Q5_0, Q8_0, Q4_K, Q6_K = 0, 6, 8, 12, 14
BLOCKS = {
    Q5_0: (32, 22, {0: 0.02 / 9.2}),
    Q8_0: (32, 34, {0: 0.02 / 74}),
    Q4_K: (256, 144, {0: 0.02 / 200, 2: 7.5 * 0.02 / 200}),
    Q6_K: (256, 210, {208: 0.02 / 1350}),
}


def weights(kind, elements, dice):
    if kind == F32:
        return struct.pack("<f", 1.0) * elements
    per_block, size, scales = BLOCKS[kind]
    data = bytearray(dice.randbytes(elements // per_block * size))
    for offset, scale in scales.items():
        low, high = struct.pack("<e", scale)
        count = elements // per_block
        data[offset::size] = bytes([low]) * count
        data[offset + 1 :: size] = bytes([high]) * count
    return bytes(data)


def tensors():
    """Name, dimensions (the row first) and type, in the file's order."""
    yield "token_embd.weight", (WIDTH, VOCABULARY), Q8_0
    for layer in range(LAYERS):
        # llama.cpp uses more bits in the first and last eighth of the layers and in every third one.
        more = layer < LAYERS // 8 or layer >= 7 * LAYERS // 8 or (layer - LAYERS // 8) % 3 == 2
        for name, dimensions, kind in [
            ("attn_norm", (WIDTH,), F32),
            ("ffn_down", (WIDE, WIDTH), Q6_K if more else Q4_K),
            ("ffn_gate", (WIDTH, WIDE), Q5_0),
            ("ffn_up", (WIDTH, WIDE), Q5_0),
            ("ffn_norm", (WIDTH,), F32),
            ("attn_k", (WIDTH, KV_HEADS * HEAD), Q5_0),
            ("attn_output", (WIDTH, WIDTH), Q5_0),
            ("attn_q", (WIDTH, WIDTH), Q5_0),
            ("attn_v", (WIDTH, KV_HEADS * HEAD), Q8_0 if more else Q5_0),
        ]:
            yield f"blk.{layer}.{name}.weight", dimensions, kind
    yield "output_norm.weight", (WIDTH,), F32


def byte_alphabet():
    """The characters that GPT-2's tokenizer writes for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def vocabulary():
    """Specials, bytes, and words of two, three and four letters."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens, merges = SPECIALS + byte_alphabet(), []
    words = list(letters)
    while len(tokens) < VOCABULARY:
        longer = []
        for word in words:
            for letter in letters:
                if len(tokens) + len(longer) == VOCABULARY:
                    break
                longer.append(word + letter)
                merges.append(f"{word} {letter}")
        tokens, words = tokens + longer, longer
    return tokens, merges


def text(value):
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def header_values():
    tokens, merges = vocabulary()
    u32 = lambda value: (4, struct.pack("<I", value))
    f32 = lambda value: (6, struct.pack("<f", value))
    string = lambda value: (8, text(value))
    strings = lambda values: (9, struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values)))
    kinds = [3] * len(SPECIALS) + [1] * (VOCABULARY - len(SPECIALS))
    return {
        "general.architecture": string("llama"),
        "general.name": string("random weights in the shape of SmolLM2-135M"),
        "llama.context_length": u32(CONTEXT),
        "llama.embedding_length": u32(WIDTH),
        "llama.block_count": u32(LAYERS),
        "llama.feed_forward_length": u32(WIDE),
        "llama.attention.head_count": u32(HEADS),
        "llama.attention.head_count_kv": u32(KV_HEADS),
        "llama.attention.layer_norm_rms_epsilon": f32(EPSILON),
        "llama.rope.dimension_count": u32(HEAD),
        "llama.rope.freq_base": f32(ROPE_BASE),
        "llama.vocab_size": u32(VOCABULARY),
        "tokenizer.ggml.model": string("gpt2"),
        "tokenizer.ggml.pre": string("smollm"),
        "tokenizer.ggml.tokens": strings(tokens),
        "tokenizer.ggml.token_type": (9, struct.pack(f"<IQ{VOCABULARY}i", 5, VOCABULARY, *kinds)),
        "tokenizer.ggml.merges": strings(merges),
        "tokenizer.ggml.bos_token_id": u32(1),
        "tokenizer.ggml.eos_token_id": u32(2),
        "tokenizer.chat_template": string(CHATML),
    }


def main(path):
    dice = random.Random(1)
    values, listed = header_values(), list(tensors())
    header = b"GGUF" + struct.pack("<IQQ", 3, len(listed), len(values))
    for key, (kind, value) in values.items():
        header += text(key) + struct.pack("<I", kind) + value
    offset, data = 0, []
    for name, dimensions, kind in listed:
        elements = 1
        for dimension in dimensions:
            elements *= dimension
        header += text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)
        content = weights(kind, elements, dice)
        content += bytes(-len(content) % ALIGNMENT)
        data.append(content)
        offset += len(content)
    header += bytes(-len(header) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(header)
        file.writelines(data)
    print(f"{path}: {len(header) + offset} bytes, {len(listed)} tensors")


def tensors_of(path):
    """Name, dimensions and type of each tensor of a GGUF file, by name."""
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    with open(path, "rb") as file:
        number = lambda form: struct.unpack("<" + form, file.read(struct.calcsize(form)))[0]

        def skip_value(kind):
            if kind == 8:
                file.seek(number("Q"), 1)
            elif kind == 9:
                kind, count = number("I"), number("Q")
                if kind in sizes:
                    file.seek(sizes[kind] * count, 1)
                else:
                    for _ in range(count):
                        skip_value(kind)
            else:
                file.seek(sizes[kind], 1)

        if file.read(4) != b"GGUF":
            sys.exit(f"models/shape.py: {path} is no GGUF file")
        number("I")
        count, keys = number("Q"), number("Q")
        for _ in range(keys):
            file.seek(number("Q"), 1)
            skip_value(number("I"))
        found = {}
        for _ in range(count):
            name = file.read(number("Q")).decode()
            dimensions = tuple(number("Q") for _ in range(number("I")))
            found[name] = (dimensions, number("I"))
            number("Q")
    return found


def compare(path):
    found = tensors_of(path)
    wanted = {name: (dimensions, kind) for name, dimensions, kind in tensors()}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            sys.exit(f"models/shape.py: {path}: {name} is {found.get(name)} and not {wanted.get(name)}")
    print(f"{path}: the default model's {len(found)} tensors and types")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--compare":
        compare(sys.argv[2])
    elif len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        sys.exit(__doc__)
