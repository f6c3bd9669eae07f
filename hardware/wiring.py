#!/usr/bin/env python3
# SPDX-License-Identifier: CERN-OHL-P-2.0
"""Draws hardware/wiring.svg. Run it after a change: hardware/wiring.py

It stops with an error when a text covers another text or a line. Standard
library only.
"""
import html
import pathlib

WIDTH, HEIGHT = 1640, 1000
GROUND, SIGNAL, POWER, INK = "#222222", "#1d5fa8", "#c0261c", "#222222"
# Width of a character in DejaVu Sans, as a share of its size; a little too wide.
GLYPH = 0.62

# The header: the x of its two columns, and the y of each row of two pins. The
# rows that are used are far apart, the others close together.
ODD, EVEN = 372, 402
ROWS = [110 + 62 * row for row in range(10)] + [704 + 14 * row for row in range(10)]
ODD_NAMES = ["3.3 V", "GPIO 2", "GPIO 3", "GPIO 4", "ground", "GPIO 17", "GPIO 27", "GPIO 22", "3.3 V", "GPIO 10"]
EVEN_NAMES = {
    2: "5 V", 4: "5 V", 6: "ground", 8: "GPIO 14 (TXD)", 10: "GPIO 15 (RXD)", 12: "GPIO 18 (PWM)",
    14: "ground", 16: "GPIO 23", 18: "GPIO 24", 20: "ground",
}

body, texts, lines = [], [], []


def row(pin):
    """The y of a pin."""
    return ROWS[(pin - 1) // 2]


def add(name, content=None, **attributes):
    fields = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    body.append(f"<{name}{fields}/>" if content is None else f"<{name}{fields}>{content}</{name}>")


def text(x, y, words, size=15, anchor="start", bold=False, colour=INK):
    width = GLYPH * size * len(words) * (1.07 if bold else 1)
    left = x - {"start": 0, "middle": width / 2, "end": width}[anchor]
    texts.append((left, y - 0.78 * size, left + width, y + 0.22 * size, words))
    weight = {"font_weight": "bold"} if bold else {}
    add("text", html.escape(words), x=x, y=y, font_size=size, text_anchor=anchor, fill=colour, **weight)


def wire(*points, colour=SIGNAL, optional=False, width=2.5):
    for (x1, y1), (x2, y2) in zip(points, points[1:]):
        lines.append((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
    dash = {"stroke_dasharray": "9 6"} if optional else {}
    add("polyline", points=" ".join(f"{x},{y}" for x, y in points), fill="none", stroke=colour, stroke_width=width, **dash)


def box(x, y, width, height, fill="#ffffff", stroke=INK, radius=6):
    for x1, y1, x2, y2 in [(x, y, x + width, y), (x, y + height, x + width, y + height),
                           (x, y, x, y + height), (x + width, y, x + width, y + height)]:
        lines.append((x1, y1, x2, y2))
    add("rect", x=x, y=y, width=width, height=height, rx=radius, fill=fill, stroke=stroke, stroke_width=2)


def joint(x, y):
    add("circle", cx=x, cy=y, r=5, fill=INK)


def pin(x, y, used):
    add("circle", cx=x, cy=y, r=7 if y <= ROWS[9] else 4, fill="#f2c94c" if used else "#ffffff", stroke=INK, stroke_width=1.5)


def resistor(x, y, value, upright=False):
    """A resistor whose middle is at (x, y)."""
    if upright:
        box(x - 9, y - 22, 18, 44, radius=0)
        text(x + 18, y + 5, value)
    else:
        box(x - 26, y - 9, 52, 18, radius=0)
        text(x, y - 17, value, anchor="middle")


def ground(x, y):
    for half, down in [(14, 0), (9, 6), (4, 12)]:
        wire((x - half, y + down), (x + half, y + down), colour=GROUND)


def capacitor(x, y, polarised=False):
    wire((x - 17, y - 5), (x + 17, y - 5), colour=INK, width=4)
    wire((x - 17, y + 5), (x + 17, y + 5), colour=INK, width=4)
    if polarised:
        text(x - 22, y - 10, "+", size=18, anchor="end", colour=POWER)


def divider(y, x, terminal):
    """Printer's output at (terminal, y) → 1 kΩ → (x, y) → 2 kΩ → ground."""
    wire((x, y), (x + 54, y), optional=True)
    resistor(x + 80, y, "1 kΩ")
    wire((x + 106, y), (terminal, y), optional=True)
    wire((x, y), (x, y + 22), colour=GROUND, optional=True)
    resistor(x, y + 44, "2 kΩ", upright=True)
    wire((x, y + 66), (x, y + 80), colour=GROUND, optional=True)
    ground(x, y + 80)
    joint(x, y)


def board():
    box(200, 76, 232, 814, fill="#e4f1e6", radius=16)
    box(262, 40, 106, 48, fill="#d9d9d9")
    text(315, 62, "SD card", size=14, anchor="middle")
    text(316, 874, "Raspberry Pi Zero 2 W", size=14, anchor="middle", bold=True)
    box(ODD - 16, ROWS[0] - 6 - 8, 62, ROWS[-1] - ROWS[0] + 28, fill="#f7f7f7", radius=4)
    for number in range(1, 41):
        pin(EVEN if number % 2 == 0 else ODD, row(number), 6 <= number <= 20 and number % 2 == 0)
    for index, name in enumerate(ODD_NAMES):
        text(ODD - 24, ROWS[index] + 5, f"{name} · {2 * index + 1}", size=13, anchor="end")
    for number, name in EVEN_NAMES.items():
        text(442, row(number) - 9, f"{number} · {name}", size=14, bold=6 <= number)
    text(ODD - 24, 772, "pins 21 to 40:", size=13, anchor="end")
    text(ODD - 24, 792, "not used", size=13, anchor="end")
    # The sockets on the long edge opposite the header.
    for y, name in [(190, "HDMI"), (560, "USB"), (724, "PWR")]:
        box(190, y, 16, 46, fill="#d9d9d9", radius=2)
        text(214, y + 28, name, size=13)


def printer(left, right):
    box(left, 180, right - left, 640, fill="#fdf3e3", radius=12)
    text((left + right) / 2, 420, "Printer", size=20, anchor="middle", bold=True)
    text((left + right) / 2, 446, "58 mm, TTL, 5 V", size=14, anchor="middle")
    for y, name in [(row(6), "GND"), (row(8), "RX"), (row(10), "TX"), (760, "BUSY")]:
        add("circle", cx=left, cy=y, r=6, fill="#f2c94c", stroke=INK, stroke_width=1.5)
        text(left + 14, y + 5, name, size=15, bold=True)
    for y, name in [(540, "+5 V"), (640, "GND")]:
        add("circle", cx=right, cy=y, r=6, fill="#f2c94c", stroke=INK, stroke_width=1.5)
        text(right - 14, y + 5, name, size=15, anchor="end", bold=True)


def serial(left):
    wire((EVEN, row(6)), (left, row(6)), colour=GROUND)
    text(760, row(6) - 9, "shared ground: the signal's return", size=14, anchor="middle")
    wire((EVEN, row(8)), (754, row(8)))
    resistor(780, row(8), "1 kΩ")
    wire((806, row(8)), (left, row(8)))
    # The two optional wires.
    wire((EVEN, row(10)), (960, row(10)), optional=True)
    divider(row(10), 960, left)
    text(780, row(10) - 9, "optional: paper status", size=14, anchor="middle")
    # BUSY hops over the wire of the button's ground.
    x, hop = 600, 9
    wire((EVEN, row(18)), (x, row(18)), (x, row(20) - hop), optional=True)
    add("path", d=f"M {x} {row(20) - hop} A {hop} {hop} 0 0 1 {x} {row(20) + hop}", fill="none", stroke=SIGNAL, stroke_width=2.5)
    wire((x, row(20) + hop), (x, 760), (960, 760), optional=True)
    divider(760, 960, left)
    text(760, 751, "optional: BUSY (DTR), high = busy", size=14, anchor="middle")


def light():
    x = 840
    wire((EVEN, row(12)), (694, row(12)))
    resistor(720, row(12), "330 Ω")
    wire((746, row(12)), (x, row(12)), (x, row(12) + 20))
    top = row(12) + 20
    add("polygon", points=f"{x - 14},{top} {x + 14},{top} {x},{top + 22}", fill="#c0261c", stroke=INK, stroke_width=1.5)
    wire((x - 14, top + 22), (x + 14, top + 22), colour=INK, width=3)
    wire((x, top + 22), (x, row(14)), (EVEN, row(14)), colour=GROUND)
    text(x + 24, top + 8, "Light:", size=15, bold=True)
    text(x + 24, top + 27, "LED, red", size=14)
    text(x - 24, top + 16, "long leg up", size=13, anchor="end")


def button():
    x = 860
    wire((EVEN, row(16)), (754, row(16)))
    resistor(780, row(16), "1 kΩ")
    wire((806, row(16)), (x, row(16)), (x, row(16) + 38))
    wire((x, row(20) - 38), (x, row(20)), (EVEN, row(20)), colour=GROUND)
    for y in (row(16) + 38, row(20) - 38):
        add("circle", cx=x, cy=y, r=5, fill="#ffffff", stroke=INK, stroke_width=2)
    wire((x + 14, row(16) + 44), (x + 14, row(20) - 44), colour=INK, width=4)
    wire((x + 14, (row(16) + row(20)) / 2), (x + 32, (row(16) + row(20)) / 2), colour=INK, width=4)
    text(x + 44, 601, "Button:", size=15, bold=True)
    text(x + 44, 620, "normally open", size=14)
    at = 680
    wire((at, row(16)), (at, 601), colour=SIGNAL)
    capacitor(at, 606)
    wire((at, 611), (at, row(20)), colour=GROUND)
    joint(at, row(16))
    joint(at, row(20))
    text(at + 28, 611, "100 nF", size=15)


def supplies(right):
    # The Pi's.
    box(24, 706, 124, 82, fill="#fbe6e4")
    text(86, 734, "Supply 1", size=15, anchor="middle", bold=True)
    text(86, 754, "5 V, 2.5 A", size=14, anchor="middle")
    text(86, 774, "micro-USB", size=14, anchor="middle")
    wire((148, 747), (190, 747), colour=POWER, width=5)
    # The printer's.
    box(1480, 500, 136, 180, fill="#fbe6e4")
    text(1548, 580, "Supply 2", size=15, anchor="middle", bold=True)
    text(1548, 602, "5 V, 4 A", size=14, anchor="middle")
    text(1496, 545, "+", size=18, bold=True)
    text(1496, 645, "−", size=18, bold=True)
    wire((1480, 540), (1446, 540), colour=POWER, width=4)
    box(1390, 530, 56, 20, radius=0)
    wire((1390, 540), (1446, 540), colour=INK, width=1.5)
    text(1418, 518, "fuse T 2.5 A", size=15, anchor="middle")
    wire((1390, 540), (right, 540), colour=POWER, width=4)
    wire((1480, 640), (right, 640), colour=GROUND, width=4)
    at = 1320
    wire((at, 540), (at, 585), colour=POWER)
    capacitor(at, 590, polarised=True)
    wire((at, 595), (at, 640), colour=GROUND)
    joint(at, 540)
    joint(at, 640)
    text(at + 30, 582, "1,000 µF", size=15)
    text(at + 30, 602, "close to", size=13)
    text(at + 30, 619, "the printer", size=13)


def legend():
    y = 920
    wire((200, y), (250, y))
    text(262, y + 5, "signal", size=14)
    wire((360, y), (410, y), colour=GROUND)
    text(422, y + 5, "ground", size=14)
    wire((520, y), (570, y), colour=POWER)
    text(582, y + 5, "5 V", size=14)
    wire((660, y), (710, y), optional=True)
    text(722, y + 5, "optional", size=14)
    ground(850, y - 4)
    text(874, y + 5, "any ground pin; all grounds are joined", size=14)
    text(200, 966, "The two supplies share the ground and nothing else: never join their +5 V. "
                   "The dividers bring the printer's 5 V down to 3.3 V.", size=15)
    text(1616, 966, "drawn by hardware/wiring.py", size=12, anchor="end", colour="#777777")
    text(480, 40, "Torment Nexus: wiring", size=22, bold=True)
    text(480, 66, "the header seen from above, with the SD card at the top; taken from documents, not yet built", size=14)


def covered():
    """What a text covers: (text, what)."""
    for index, (left, top, right, bottom, words) in enumerate(texts):
        for x1, y1, x2, y2 in lines:
            if left < x2 and x1 < right and top < y2 and y1 < bottom:
                yield words, f"a line at {x1:.0f},{y1:.0f} to {x2:.0f},{y2:.0f}"
            # A line that has no width or height of its own.
            elif (x1 == x2 and left < x1 < right and top < y2 and y1 < bottom) or (
                y1 == y2 and top < y1 < bottom and left < x2 and x1 < right
            ):
                yield words, f"a line at {x1:.0f},{y1:.0f} to {x2:.0f},{y2:.0f}"
        for left2, top2, right2, bottom2, words2 in texts[index + 1:]:
            if left < right2 and left2 < right and top < bottom2 and top2 < bottom:
                yield words, f"the text {words2!r}"
        if left < 0 or right > WIDTH:
            yield words, "the edge"


def drawing():
    """The whole picture."""
    left, right = 1130, 1280
    board()
    printer(left, right)
    serial(left)
    light()
    button()
    supplies(right)
    legend()
    wrong = [f"wiring.py: {words!r} covers {what}" for words, what in covered()]
    if wrong:
        raise SystemExit("\n".join(wrong))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="DejaVu Sans, Verdana, Arial, sans-serif">\n'
        "<!-- Made by hardware/wiring.py: edit that file. SPDX-License-Identifier: CERN-OHL-P-2.0 -->\n"
        "<title>Torment Nexus: wiring</title>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
    )
    return head + "\n".join(body) + "\n</svg>\n"


if __name__ == "__main__":
    pathlib.Path(__file__).with_name("wiring.svg").write_text(drawing(), encoding="utf-8")
    print(f"wiring.svg: {len(texts)} texts, none covered")
