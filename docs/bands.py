"""Draws docs/bands.svg, the picture of bands and destinations in docs/strategies.md:

    python3 docs/bands.py > docs/bands.svg

The numbers are those of the worked examples there.
"""

WIDTH, LEFT, RIGHT, ROW = 760, 120, 40, 92

# Name, first and last percent of the axis, below, target, above, what is shown at which percent.
BANDS = [
    ("SPY, 60%", 50, 72, 56, 60, 66, [(55.9, "55.9% trades"), (66, "66% holds"), (68.5, "68.5% trades")]),
    ("KO, 4%", 1.5, 6.5, 3, 4, 5, [(2.6, "2.6% trades"), (4.6, "4.6% holds"), (5.6, "5.6% trades")]),
]
# Where SPY at 70% goes.
WAYS = [("target", 60), ("halfway", 65), ("band_edge", 66)]

height = ROW * len(BANDS) + 46 * len(WAYS) + 120
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" role="img">')
print("<title>Bands: what holds, what trades, and where it goes</title>")
print('<rect width="100%" height="100%" fill="#ffffff"/>')
print('<g font-family="system-ui, sans-serif" font-size="13" fill="#1c2430">')


def place(percent, first, last):
    return LEFT + (percent - first) / (last - first) * (WIDTH - LEFT - RIGHT)


def words(x, y, text, color="#1c2430", anchor="middle"):
    print(f'<text x="{x:.1f}" y="{y}" fill="{color}" text-anchor="{anchor}">{text}</text>')


def axis(y, name, first, last, below, target, above):
    words(16, y + 5, name, anchor="start")
    print(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#9aa5b1"/>')
    start, end, middle = (place(percent, first, last) for percent in (below, above, target))
    print(f'<rect x="{start:.1f}" y="{y - 11}" width="{end - start:.1f}" height="22" fill="#cfe6d4"/>')
    print(f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{y - 15}" y2="{y + 15}" stroke="#1c2430" stroke-width="2"/>')
    for percent in (below, target, above):
        words(place(percent, first, last), y + 31, f"{percent}%", "#5b6775")


y = 56
words(16, 24, "On the edge is inside: green holds, strictly outside trades. The line is the target.", anchor="start")
for name, first, last, below, target, above, shown in BANDS:
    axis(y, name, first, last, below, target, above)
    for percent, text in shown:
        color = "#2f7d45" if "holds" in text else "#b3432f"
        print(f'<circle cx="{place(percent, first, last):.1f}" cy="{y}" r="5" fill="{color}"/>')
        words(place(percent, first, last), y - 19, text, color)
    y += ROW
name, first, last, below, target, above, _ = BANDS[0]
words(16, y - 6, "SPY stands at 70%: where each destination takes it.", anchor="start")
y += 30
for way, goal in WAYS:
    axis(y, way, first, last, below, target, above) if way == WAYS[-1][0] else words(16, y + 5, way, anchor="start")
    start, end = place(70, first, last), place(goal, first, last)
    print(f'<line x1="{start:.1f}" x2="{end + 9:.1f}" y1="{y}" y2="{y}" stroke="#3566a8" stroke-width="3"/>')
    print(f'<path d="M {end:.1f} {y} l 10 -6 v 12 z" fill="#3566a8"/>')
    print(f'<circle cx="{start:.1f}" cy="{y}" r="5" fill="#b3432f"/>')
    words(start + 22, y + 5, "70%", "#b3432f", "start")
    if way != WAYS[-1][0]:
        words(end - 8, y + 5, f"{goal}%", "#3566a8", "end")
    y += 46
print("</g></svg>")
