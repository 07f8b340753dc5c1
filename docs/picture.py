"""Draws docs/demo.svg from what the demo really printed:

    cargo run --release -- demo 2>&1 | python3 docs/picture.py > docs/demo.svg

The first runs, the last runs and the summary are shown; what lies between is said in one line. Machine paths are
shortened.
"""

import re
import sys
from html import escape

HEAD, TAIL, WIDTH = 9, 5, 150

lines = [re.sub(r"/tmp/rebalanced-demo-\d+", "/tmp/rebalanced-demo", line.rstrip()) for line in sys.stdin]
lines = [line for line in lines if line and not line.startswith(("warning", "    Finished", "     Running", "   Compiling"))]
is_run = re.compile(r"^(Mon|Tue|Wed|Thu|Fri) ")
runs = [line for line in lines if is_run.match(line)]
before = lines[: lines.index(runs[0])]
after = lines[lines.index(runs[-1]) + 1 :]
between = len(runs) - HEAD - TAIL
shown = ["$ cargo run --release -- demo", *before, *runs[:HEAD], f"    ... {between} more runs ...", *runs[-TAIL:], "", *after]

CHAR, LINE = 7.25, 17
height = LINE * len(shown) + 34
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{CHAR * WIDTH + 32:.0f}" height="{height}" role="img">')
print("<title>The demo's terminal</title>")
print('<rect width="100%" height="100%" rx="8" fill="#15191f"/>')
print('<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12" fill="#d5dae1" xml:space="preserve">')
for number, line in enumerate(shown):
    cut = line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
    color = "#8ac28a" if "completed" in cut or cut.startswith("violations none") else "#d5dae1"
    if cut.startswith("$"):
        color = "#ffffff"
    print(f'<text x="16" y="{28 + LINE * number}" fill="{color}">{escape(cut)}</text>')
print("</g></svg>")
