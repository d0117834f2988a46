"""Product pictures as SVG text: a drawing of the product line in the product's colours, on the category's ground."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from demo.catalogue import Product
from demo.lines import BRANDS

SIDE = 640
DRAWINGS = Path(__file__).parent / "glyphs.txt"
# Hue (degrees) and saturation of each category's ground, far enough apart to recognise a category at a glance.
GROUNDS = {
    "cameras": (214, 0.42),
    "lenses": (258, 0.4),
    "audio": (292, 0.36),
    "coffee": (24, 0.5),
    "kitchen": (44, 0.62),
    "running": (350, 0.5),
    "outdoor": (138, 0.4),
    "winter": (198, 0.55),
    "skincare": (326, 0.42),
    "stationery": (168, 0.4),
}


def picture(product: Product) -> str:
    """Return a product's picture as an SVG document of one to two kilobytes; equal products have equal pictures."""
    rng = np.random.default_rng([product.id, sum(product.name.encode("utf-8"))])
    base_hue, saturation = GROUNDS[product.line.category]
    hue = (base_hue + rng.uniform(-8, 8)) % 360
    colours = _colours(hue, rng)
    top, bottom = _hex(hue, saturation, 0.93), _hex(hue + 14, saturation, 0.8)
    turn, x, y = rng.uniform(-5, 5), rng.uniform(18, 82), rng.uniform(14, 40)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="{SIDE}" height="{SIDE}" role="img" '
        f"aria-label={quoteattr(product.name)}>"
        f'<defs><linearGradient id="ground{product.id}" x1="0" y1="0" x2="0.3" y2="1">'
        f'<stop offset="0" stop-color="{top}"/>'
        f'<stop offset="1" stop-color="{bottom}"/></linearGradient></defs>'
        f'<rect width="100" height="100" fill="url(#ground{product.id})"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{rng.uniform(22, 34):.1f}" fill="#fff" opacity="0.28"/>'
        f'<circle cx="50" cy="48" r="39" fill="#fff" opacity="0.38"/>'
        f'<ellipse cx="50" cy="84" rx="27" ry="3.2" fill="#000" opacity="0.12"/>'
        f'<g transform="translate(50 48) rotate({turn:.1f}) scale(0.74) translate(-50 -50)" stroke-linejoin="round">'
        f"{drawing(glyphs()[product.line.key], colours)}</g>"
        '<text x="50" y="95" text-anchor="middle" font-family="Helvetica, Arial, sans-serif" '
        'font-size="4.4" letter-spacing="0.9" '
        f'fill="{_hex(hue, 0.45, 0.3)}">{escape(BRANDS[product.brand].upper())}</text></svg>'
    )


@cache
def glyphs() -> dict[str, list[str]]:
    """Return the shapes of each product line's drawing, in the notation that glyphs.txt explains."""
    drawings: dict[str, list[str]] = {}
    shapes: list[str] = []
    for line in DRAWINGS.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            shapes.append(line.strip())
        elif line and not line.startswith("#"):
            shapes = drawings[line] = []
    return drawings


def drawing(shapes: Sequence[str], colours: dict[str, str]) -> str:
    """Return SVG elements for shapes in the notation of glyphs.txt.

    >>> drawing(["c 50 40 9 a"], {"a": "#123456"})
    '<circle cx="50" cy="40" r="9" fill="#123456"/>'
    """
    return "".join(_shape(shape.split(), colours) for shape in shapes)


def _shape(words: list[str], colours: dict[str, str]) -> str:
    kind, *rest = words
    match kind:
        case "r":
            x, y, width, height, radius, colour = rest
            return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="{colours[colour]}"/>'
        case "c":
            x, y, radius, colour = rest
            return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{colours[colour]}"/>'
        case "e":
            x, y, rx, ry, colour = rest
            return f'<ellipse cx="{x}" cy="{y}" rx="{rx}" ry="{ry}" fill="{colours[colour]}"/>'
        case "p":
            return f'<path d="{" ".join(rest[1:])}" fill="{colours[rest[0]]}"/>'
        case "s":
            colour, width, *data = rest
            stroke = f'stroke="{colours[colour]}" stroke-width="{width}" stroke-linecap="round"'
            return f'<path d="{" ".join(data)}" fill="none" {stroke}/>'
    raise ValueError(f"a shape should begin with r, c, e, p or s. Received: {kind!r}.")


def _colours(hue: float, rng: np.random.Generator) -> dict[str, str]:
    """Return the main, dark, light and accent colours; the main hue derives from the ground's hue."""
    main = hue + rng.choice([0, 0, 30, -30, 150, 180, 210])
    return {
        "m": _hex(main, rng.uniform(0.35, 0.62), rng.uniform(0.42, 0.6)),
        "d": _hex(main, 0.3, 0.22),
        "l": _hex(main, 0.25, 0.94),
        "a": _hex(main + rng.choice([150, 180, 200]), 0.72, 0.58),
    }


def _hex(hue: float, saturation: float, lightness: float) -> str:
    channels = colorsys.hls_to_rgb(hue % 360 / 360, lightness, saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)
