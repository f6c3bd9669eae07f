"""Estimates the cycles of the basic blocks that count.c printed, with
llvm-mca's model of the Cortex-A53's pipeline, as if all data were in the L1
cache.
"""
import re
import subprocess

# Consecutive runs of a block, so many that filling the pipeline at the start is negligible.
ROUNDS = 100
TRIPLE = ["-triple=aarch64", "-mattr=+all"]


def tool(command, text):
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=True).stdout


def disassembled(words):
    """The instructions' text, one line each."""
    in_memory = "\n".join(" ".join(f"0x{byte:02x}" for byte in bytes.fromhex(word)[::-1]) for word in words)
    lines = tool(["llvm-mc", "--disassemble", *TRIPLE], in_memory).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith(".")]


def modelled(blocks):
    """Cycles for one run of each block."""
    regions = []
    for index, words in enumerate(blocks):
        # llvm-mca models a branch as not taken; a label replaces the numeric target.
        code = [re.sub(r"^(b|bl|b\.\w+|cbn?z|tbn?z)(\s.*?)#-?\d+$", r"\1\2target", line)
                for line in disassembled(words)]
        regions += [f"# LLVM-MCA-BEGIN {index}", *code, "# LLVM-MCA-END"]
    report = tool(["llvm-mca", "-mtriple=aarch64", "-mcpu=cortex-a53", f"-iterations={ROUNDS}",
                   "-instruction-info=false", "-resource-pressure=false"], "target:\n" + "\n".join(regions) + "\n")
    return [int(total) / ROUNDS for total in re.findall(r"Total Cycles:\s+(\d+)", report)]


def cycles(lines):
    """Cycles and instructions of the lines `block RUNS WORD...`."""
    counted = [(int(line.split()[1]), line.split()[2:]) for line in lines]
    counted = [(runs, words) for runs, words in counted if runs]
    each = modelled([words for _, words in counted])
    if len(each) != len(counted):
        raise ValueError(f"llvm-mca modelled {len(each)} blocks of {len(counted)}")
    return (sum(runs * time for (runs, _), time in zip(counted, each)),
            sum(runs * len(words) for runs, words in counted))
