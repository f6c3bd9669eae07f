"""The same greedy life with llama-cpp-python and its defaults, for bench.py.

Prints one JSON line: seconds to load and to the first token, tokens/s, the
number of tokens, and peak memory.
"""
import json
import sys
import time

from llama_cpp import Llama

model, prompt_file, threads, context, limit = sys.argv[1:4] + [int(n) for n in sys.argv[4:6]]
start = time.monotonic()
llm = Llama(model_path=model, n_ctx=context, n_threads=int(threads), n_threads_batch=int(threads), verbose=False)
loaded = time.monotonic()
prompt = open(prompt_file).read()
framed = f"<|im_start|>system\n{prompt.strip()}<|im_end|>\n<|im_start|>assistant\n"
tokens = llm.tokenize(framed.encode(), add_bos=True, special=True)
first = None
spoken = 0
for _ in llm.generate(tokens, temp=0.0, repeat_penalty=1.0, reset=True):
    spoken += 1
    if first is None:
        first = time.monotonic()
    if len(tokens) + spoken >= limit:
        break
end = time.monotonic()
status = open("/proc/self/status").read()
kilobytes = lambda key: int(status.split(key + ":")[1].split()[0])
print(json.dumps({
    "load": loaded - start,
    "first": first - loaded,
    "rate": (spoken - 1) / (end - first),
    "tokens": spoken,
    "rss": kilobytes("VmHWM"),
    "anonymous": kilobytes("RssAnon"),
}))
