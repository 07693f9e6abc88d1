"""What all pictures share: a figure that leaves matplotlib's global state alone, and fonts for glosses."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

MISSING = "Drawing needs matplotlib: pip install 'adaptsign-hf[demo]'."
# matplotlib's own font has Latin, Greek and Cyrillic; glosses of the Chinese benchmarks need one of these.
FONTS_WITH_CHINESE = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei")


def new_figure(width: float, height: float) -> "Figure":
    """
    Return an empty figure that lays out its parts without overlap.

    Args:
        width: Inches.
        height: Inches.

    Raises:
        ValueError: If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError(MISSING) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def colormap(name: str) -> "Colormap":
    """
    Return one of matplotlib's colour maps.

    Raises:
        ValueError: If matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
    except ImportError as error:
        raise ValueError(MISSING) from error
    return colormaps[name]


def gloss_fonts() -> list[str]:
    """Return the fonts to write glosses with: matplotlib's own, and where it lacks a character one with Chinese."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in FONTS_WITH_CHINESE if name in installed)]
