"""Drawing with matplotlib into one SVG that serves light, dark and print, the same bytes for the same picture.

Placeholder colours are replaced by CSS variables of templates/style.css. Fixed ids, no date; text stays text, laid out
with the font that matplotlib bundles. Coordinates are written with matplotlib's six significant digits.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CSS = {  # placeholder → CSS variable, defined in templates/style.css (Okabe-Ito based: safe for colour blindness)
    "#010101": "var(--ink)",
    "#020202": "var(--faint)",
    "#030303": "var(--avail)",
    "#040404": "var(--hard)",
    "#050505": "var(--soft)",
    "#060606": "var(--held)",
    "#070707": "var(--ws)",
    "#080808": "var(--request)",
    "#090909": "var(--death)",
    "#0a0a0a": "var(--event)",
    "#0b0b0b": "var(--paper)",
}
INK, FAINT, AVAIL, HARD, SOFT, HELD, WS, REQUEST, DEATH, EVENT, PAPER = _CSS

_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "density",
    "svg.id": "density",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "path.simplify": True,
    "text.parse_math": False,  # names of VMIs may hold dollars
}

_HASHED = re.compile(r'((?:\bid="|url\(#|href="#))([a-zA-Z][0-9a-f]{10})\b')


def svg_of(
    draw: Callable[[Figure], None], *, size: tuple[float, float], label: str, prefix: str = "d"
) -> str:
    """Return what `draw` puts on a figure of that size (inches) as an `<svg>` element named `label`.

    `prefix`: a letter for ids that must not be those of another picture on the same page.
    """
    mpl.use("svg")
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415 - as below
    from matplotlib.figure import Figure  # noqa: PLC0415 - costs 0.3 s, only when a picture is drawn

    # Glyphs the bundled font lacks are drawn by the reader's browser; matplotlib would warn of each.
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpl.rcdefaults()  # whatever the user's matplotlibrc says
        mpl.rcParams.update(_RC)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        out = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)  # untyped
        # not figure.savefig, which draws a laid-out figure twice
        canvas.print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _themeable(out.getvalue(), label, prefix)


def _themeable(svg: str, label: str, prefix: str) -> str:
    svg = svg[svg.index("<svg") :]
    for placeholder, variable in _CSS.items():
        svg = svg.replace(placeholder, variable)
    svg = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # matplotlib hashes addresses of objects into some ids; numbered by first appearance they are the same every time.
    names: dict[str, str] = {}
    svg = _HASHED.sub(lambda m: m[1] + names.setdefault(m[2], f"{prefix}{len(names)}"), svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}" class="timeline"', 1)
