"""The picture of where a model fails: error rates by frequency in training, by signer and by length."""

from collections.abc import Sequence
from pathlib import Path

from adaptsign_hf.metrics.breakdown import Breakdown, GroupErrors
from adaptsign_hf.visualization.figure import new_figure

BAR_COLOUR = "#3b6ea5"


def draw_breakdown(breakdown: Breakdown, path: Path, title: str) -> None:
    """
    Draw three bar charts side by side; each bar tells its number of glosses.

    Args:
        breakdown: The tables.
        path: The picture, PNG, PDF or SVG by its suffix.
        title: Above all three.

    Raises:
        ValueError: If matplotlib is not installed.
    """
    panels = {
        "by how often training shows the gloss": breakdown.by_frequency,
        "by signer": breakdown.by_signer,
        "by length of the clip": breakdown.by_length,
    }
    tallest = max(len(groups) for groups in panels.values())
    figure = new_figure(15, 1.8 + 0.4 * tallest)
    figure.suptitle(f"{title}: {breakdown.total}")
    for axes, (name, groups) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        draw_bars(axes, name, groups)
        axes.set_ylim(tallest - 0.5, -0.5)  # bars of one thickness in all charts, the first group on top
    figure.savefig(path, dpi=120)


def draw_bars(axes, name: str, groups: Sequence[GroupErrors]) -> None:
    """Draw one chart."""
    bars = axes.barh(range(len(groups)), [100 * group.error_rate for group in groups], color=BAR_COLOUR)
    axes.bar_label(bars, [f" {100 * group.error_rate:.1f} %  ({group.glosses})" for group in groups], fontsize=8)
    axes.set_yticks(range(len(groups)), [group.group for group in groups], fontsize=8)
    axes.margins(x=0.3)
    axes.set_xlim(left=0)
    axes.set_xlabel("errors in % of the glosses signed (their number)")
    axes.set_title(name, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
