"""Prints the bytes that crates/installation/src/paper/escpos.rs is compared with, as python-escpos makes
them: pip install python-escpos==3.1, then python3 tests/it/paper/python_escpos.py"""

from escpos.constants import RT_STATUS_PAPER
from escpos.printer import Dummy

CALLS = {
    "hw('INIT')": lambda d: d.hw("INIT"),
    "charcode('CP437')": lambda d: d.charcode("CP437"),
    "set(align='center')": lambda d: d.set(align="center"),
    "set(align='left')": lambda d: d.set(align="left"),
    "set(bold=True)": lambda d: d.set(bold=True),
    "set(bold=False)": lambda d: d.set(bold=False),
    "set(custom_size=True, width=2, height=2)": lambda d: d.set(custom_size=True, width=2, height=2),
    "set(custom_size=True, width=1, height=1)": lambda d: d.set(custom_size=True, width=1, height=1),
    "line_spacing(28, divisor=180)": lambda d: d.line_spacing(28, divisor=180),
    "charcode('CP437'), text(…)": lambda d: (d.charcode("CP437"), d.text("Café ─ naïve █\n")),
    "paper_status()": lambda d: d._raw(RT_STATUS_PAPER),
}

for name, call in CALLS.items():
    dummy = Dummy(profile="default")
    call(dummy)
    print(f"{dummy.output.hex(' '):60}{name}")
