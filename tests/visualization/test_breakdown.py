"""The picture of a breakdown exists and shows bars."""

import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from adaptsign_hf.metrics.breakdown import break_down
from adaptsign_hf.visualization.breakdown import BAR_COLOUR, draw_breakdown


@pytest.fixture
def breakdown():
    references = [["RAIN", "NORTH"], ["SUN"]]
    return break_down(references, [["RAIN"], ["MOON"]], ["anna", "bert"], [40, 80], Counter(["RAIN"] * 9))


def test_bars_are_drawn_where_there_are_errors(breakdown, tmp_path):
    draw_breakdown(breakdown, tmp_path / "picture.png", "test")
    pixels = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    colour = [int(BAR_COLOUR[start : start + 2], 16) for start in (1, 3, 5)]
    third = pixels.shape[1] // 3
    for panel in range(3):
        part = pixels[:, panel * third : (panel + 1) * third]
        assert (part == colour).all(axis=-1).sum() > 500


def test_without_matplotlib_the_extra_is_named(breakdown, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ValueError, match=r"adaptsign-hf\[demo\]"):
        draw_breakdown(breakdown, tmp_path / "picture.png", "test")
