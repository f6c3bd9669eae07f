"""Compares torment-nexus with llama-cpp-python and llama.cpp; prints tables in Markdown.

Run by script/bench, which builds what is measured. Times are medians of
alternating runs on one machine; on a shared machine only their ratios are
meaningful. Instruction counts are exact.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cycles import cycles

ROOT = Path(__file__).resolve().parents[2]
CONTEXT, LIMIT = 2048, 1945
# Greedy sampling without penalties, as the programs that it is compared with have.
PLAIN = ["--repeat-penalty", "1", "--dry-multiplier", "0"]
DEPTHS = [0, 512, 1024, 1900]
COUNTED = [64, 1900]
SHIPPED = "q8_0, own attention (shipped)"
STOCK = "llama.cpp's own kernels, its defaults (flash attention, f16)"
# Timeout of a command in seconds; a life of the default model's shape takes
# half a minute on two x86 cores.
PATIENCE = 900
WAYS = {
    STOCK: ["--keys", "f16", "--values", "f16", "--stock"],
    "flash attention off, f16": ["--keys", "f16", "--values", "f16", "--no-flash-attention"],
    "on, f16": ["--keys", "f16", "--values", "f16"],
    "on, keys q8_0, values f16": ["--keys", "q8_0", "--values", "f16"],
    SHIPPED: [],
}
# The number of threads, and the environment variables that configure OpenMP.
THREADS = {
    "1 thread": ("1", {}),
    "2 threads": ("2", {}),
    "2, OMP_WAIT_POLICY=passive": ("2", {"OMP_WAIT_POLICY": "passive"}),
    "2, OMP_WAIT_POLICY=active": ("2", {"OMP_WAIT_POLICY": "active"}),
    "2, GOMP_SPINCOUNT=1000": ("2", {"GOMP_SPINCOUNT": "1000"}),
    "2, GOMP_SPINCOUNT=100000": ("2", {"GOMP_SPINCOUNT": "100000"}),
}
MICRO_BATCHES = [8, 16, 32, 64, 128]
# Number of basic blocks whose cycles are modelled: some 96 % of a token's instructions.
BLOCKS = 60

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--program", required=True)
arguments.add_argument("--probe", required=True)
arguments.add_argument("--model", required=True, help="the default model's shape")
arguments.add_argument("--board-program")
arguments.add_argument("--board-probe")
arguments.add_argument("--plugin")
arguments.add_argument("--peer-python")
arguments.add_argument("--pairs", type=int, default=5)
arguments.add_argument("--threads", type=int, default=2)
arguments.add_argument("--only", default="lives,depths,threads,prompt,quality,counts", help="some of these, with commas")
options = arguments.parse_args()
threads = str(options.threads)


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, **more)
    if done.returncode:
        sys.exit(f"benches/tools/bench.py: {' '.join(command)} ended with {done.returncode}: {done.stderr[-400:]}")
    return done


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def own_life(model, state):
    """A greedy life of the program: seconds to armed and to the first word, and tokens/s."""
    command = [options.program, "--model", model, "--threads", threads, *PLAIN, "--verbose", "--state-dir", state,
               "--context-size", str(CONTEXT)]
    start = time.monotonic()
    life = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    armed = None
    errors = b""
    for line in life.stderr:
        errors += line
        if line.startswith(b"armed after"):
            armed = time.monotonic()
            break
    if armed is None:
        sys.exit(f"benches/tools/bench.py: no life was lived: {errors[-400:].decode()}")
    life.stdout.read(1)
    first = time.monotonic()
    life.stdout.read()
    errors += life.stderr.read()
    life.wait(PATIENCE)
    rate = re.search(rb"life [0-9.]+ s, ([0-9.]+) tokens/s", errors)
    return {"armed": armed - start, "first": first - armed, "rate": float(rate[1]), "restored": b"restored" in errors}


def memory(model, state):
    """Peak and private memory (kB) near the end of a life, read from /proc."""
    command = [options.program, "--model", model, "--threads", threads, "--state-dir", state]
    life = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
    most = {"VmHWM": 0, "RssAnon": 0}
    while life.stdout.read(64):
        try:
            status = Path(f"/proc/{life.pid}/status").read_text()
        except OSError:
            break
        for key in most:
            found = re.search(rf"{key}:\s+(\d+)", status)
            most[key] = max(most[key], int(found[1]) if found else 0)
    life.wait(PATIENCE)
    if not all(most.values()):
        sys.exit(f"benches/tools/bench.py: no memory was read: {most}")
    return most


def peer_life(model):
    done = run([options.peer_python, "benches/tools/peer.py", model, "prompt.txt", threads, str(CONTEXT), str(LIMIT)])
    return json.loads(done.stdout.splitlines()[-1])


def completion_life(model):
    """Tokens/s that llama.cpp's own llama-completion reports, if it is on PATH."""
    prompt = Path(ROOT, "prompt.txt").read_text()
    done = run(["llama-completion", "-m", model, "-c", str(CONTEXT), "-n", str(LIMIT - 350), "-t", threads,
                "-p", prompt, "--temp", "0", "--ignore-eos", "-no-cnv"], stdin=subprocess.DEVNULL)
    # The first rate is the prompt's, the second that of the generated tokens.
    rates = re.findall(r"eval time.*?([0-9.]+) tokens per second", done.stderr)
    if len(rates) < 2:
        sys.exit(f"benches/tools/bench.py: llama-completion reports no rate: {done.stderr[-400:]}")
    return float(rates[1])


def median(values):
    return statistics.median(values)


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    compiler = run(["cc", "--version"]).stdout.splitlines()[0]
    rustc = run(["rustc", "--version"]).stdout.strip()
    print(f"{time.strftime('%Y-%m-%d')}; {cpu[1] if cpu else 'unknown CPU'}; {compiler}; {rustc}; "
          f"{threads} threads; medians of {options.pairs} alternating runs\n")


def lives():
    print("### A whole life\n")
    own, later, peer, tool = [], [], [], []
    has_tool = shutil.which("llama-completion")
    for _ in range(options.pairs):
        with tempfile.TemporaryDirectory() as state:
            own.append(own_life(options.model, state))
            if options.peer_python:
                peer.append(peer_life(options.model))
            later.append(own_life(options.model, state))
            if has_tool:
                tool.append(completion_life(options.model))
    rows = [["torment-nexus", f"{median([l['rate'] for l in own]):.1f}", "1.00"]]
    base = median([l["rate"] for l in own])
    ratios = lambda others: f"{median([o / l['rate'] for o, l in zip(others, own)]):.2f}"
    if peer:
        rows.append(["llama-cpp-python", f"{median([p['rate'] for p in peer]):.1f}", ratios([p["rate"] for p in peer])])
    if tool:
        rows.append(["llama-completion", f"{median(tool):.1f}", ratios(tool)])
    table(["whole greedy life of 2,048, the default model's shape", "tokens/s", "median of ratios"], rows)

    print("### Starting\n")
    one_token = 1 / base
    rows = [
        ["process start to armed, first time", f"{median([l['armed'] for l in own]):.2f} s"],
        ["process start to armed, later", f"{median([l['armed'] for l in later]):.2f} s"],
        ["later / first (panic to armed again)",
         f"{median([b['armed'] / a['armed'] for a, b in zip(own, later)]):.3f}"],
        ["armed to first word, in tokens' time", f"{median([l['first'] for l in later]) / one_token:.2f}"],
    ]
    if peer:
        rows.append(["llama-cpp-python: load", f"{median([p['load'] for p in peer]):.2f} s"])
        rows.append(["llama-cpp-python: prompt to first token", f"{median([p['first'] for p in peer]):.2f} s"])
    table(["", ""], rows)
    if not all(life["restored"] for life in later):
        sys.exit("benches/tools/bench.py: a later life did not restore its prompt")

    print("### Memory\n")
    with tempfile.TemporaryDirectory() as state:
        most = memory(options.model, state)
    rows = [["torment-nexus", most["VmHWM"], most["RssAnon"]]]
    if peer:
        rows.append(["llama-cpp-python", peer[-1]["rss"], peer[-1]["anonymous"]])
    table(["kB at 2,048", "peak resident", "private"], rows)


def depths():
    print("### Tokens a second by depth\n")
    measured = {name: [] for name in WAYS}
    for _ in range(options.pairs):
        for name, way in WAYS.items():
            done = run([options.probe, "speed", options.model, "--threads", threads, "--tokens", "24",
                        "--depths", ",".join(map(str, DEPTHS)), *way])
            measured[name].append([float(line.split()[1]) for line in done.stdout.splitlines()])
    rows = [[name, *(f"{median(column):.1f}" for column in zip(*runs))] for name, runs in measured.items()]
    table(["", *map(str, DEPTHS)], rows)


def quality():
    print("### What a smaller cache changes: mean KL divergence from f16 over a life of ember (bound: 0.001)\n")
    rows = []
    for name, way in WAYS.items():
        done = run([options.probe, "divergence", "ember", "--threads", "1", *way])
        rows.append([name, done.stdout.strip()])
    table(["", ""], rows)


def thread_counts():
    print("### Threads and OpenMP, tokens a second at the start of a life\n")
    measured = {name: [] for name in THREADS}
    for _ in range(options.pairs):
        for name, (count, variables) in THREADS.items():
            done = run([options.probe, "speed", options.model, "--threads", count, "--tokens", "48", "--depths", "0"],
                       env=os.environ | variables)
            measured[name].append(float(done.stdout.split()[1]))
    table(["", "tokens/s"], [[name, f"{median(rates):.1f}"] for name, rates in measured.items()])


def prompt():
    print("### A prompt of 512 tokens by n_ubatch\n")
    rates = {count: [] for count in MICRO_BATCHES}
    peaks = {}
    for _ in range(options.pairs):
        for count in MICRO_BATCHES:
            probe = subprocess.Popen([options.probe, "prompt", options.model, "--threads", threads,
                                      "--ubatch", str(count)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
            rates[count].append(float(probe.stdout.read()))
            _, _, used = os.wait4(probe.pid, 0)
            peaks[count] = used.ru_maxrss
    table(["n_ubatch", "tokens/s", "peak resident, kB"],
          [[count, f"{median(rates[count]):.1f}", peaks[count]] for count in MICRO_BATCHES])


def counts():
    print("### The Cortex-A53, one thread: millions of instructions (exact) and of modelled cycles\n")

    def counted(*more, rounds=3, blocks=0):
        plugin = options.plugin + (f",blocks={blocks}" if blocks else "")
        done = run(["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", "cortex-a53", "-plugin", plugin,
                    "-d", "plugin", options.board_probe, *more])
        lines = (done.stderr + done.stdout).splitlines()
        marks = [index for index, line in enumerate(lines) if re.search(rf"mark {rounds} ", line)]
        if len(marks) != 1:
            sys.exit(f"benches/tools/bench.py: nothing was counted: {done.stderr[-400:]}")
        words = re.sub(r".*mark \d+ ", "", lines[marks[-1]]).split()
        classes = {key: int(value) / 1e6 for key, value in zip(words[::2], words[1::2])}
        after = [line for line in lines[marks[-1] + 1:] if line.startswith("block ")]
        if blocks:
            modelled, instructions = cycles(after)
            # Instructions outside the modelled blocks are assumed to take as many cycles each.
            classes["cycles"] = modelled / instructions * classes["all"]
        return classes

    classes = ["all", "cycles", "simd", "simd-load", "simd-store", "integer", "load", "store", "branch"]
    rows, choices, prompts = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        state = f"{folder}/state"
        # Penalties look back on a text: as long as a life, of many words.
        text = f"{folder}/text"
        Path(text).write_text("".join(path.read_text() for path in sorted(Path(ROOT, "models/ember/corpus").glob("*.txt"))))
        for depth in COUNTED:
            anchor = None
            for name, way in WAYS.items():
                Path(state).unlink(missing_ok=True)
                run([options.probe, "keep", options.model, "--threads", threads, "--depth", str(depth), state, *way])
                single = counted("count", options.model, state, *way, blocks=BLOCKS)
                anchor = anchor or single
                ratios = [f"{single[key] / anchor[key]:.2f}" for key in ["all", "cycles"]]
                rows.append([depth, name, *ratios, *(f"{single[key]:.1f}" for key in classes)])
            # SHIPPED came last in the loop: `state` and `single` are those of the shipped configuration.
            if depth == COUNTED[0]:
                for label, more in [["arg-max", []], ["dice", ["--temp", "0.8"]],
                                    ["dice, a whole life said", ["--temp", "0.8", "--text", text]],
                                    ["the same with penalties",
                                     ["--temp", "0.8", "--text", text, "--penalties"]]]:
                    chosen = counted("choose", options.model, state, *more)["all"] - single["all"]
                    choices.append([label, f"{chosen:.2f}"])
                for batch in MICRO_BATCHES[:4]:
                    both = counted("count", options.model, state, "--prompt", str(batch), rounds=1)
                    prompts.append([batch, f"{(both['all'] - single['all']) / batch:.1f}"])
    table(["depth", "a token", "all / first", "cycles / first", *classes], rows)
    table(["choosing a token", "beside the token itself"], choices)
    table(["n_ubatch", "a token of the prompt, depth 64"], prompts)
    load = counted("load", options.model, rounds=1)
    print(f"Loading the model: {load['all']:.0f}\n")


only = options.only.split(",")
machine()
if "lives" in only:
    lives()
if "depths" in only:
    depths()
if "threads" in only:
    thread_counts()
if "prompt" in only:
    prompt()
if "quality" in only:
    quality()
if "counts" in only and options.plugin:
    counts()
    ember = Path(ROOT, "models/ember/ember.gguf").stat().st_size
    whole = Path(options.board_program).stat().st_size
    print(f"aarch64 program: {whole} bytes, {whole - ember} without ember\n")
