"""The pictures of an explanation: they open, show what they should, and no label lies on another."""

import sys

import numpy as np
import pytest
from PIL import Image

from adaptsign_hf.decoding.alignment import RecognizedGloss
from adaptsign_hf.visualization.attention_pictures import draw_attention, draw_cross_frame, gloss_at, liveliest_frames
from adaptsign_hf.visualization.explanation import explain_video
from adaptsign_hf.visualization.timeline import classes_that_matter, draw_timeline, label_lines, step_times


@pytest.fixture
def explanation(reading_model, processor, video):
    return explain_video(reading_model, processor, video)


@pytest.mark.parametrize("draw", [draw_attention, draw_cross_frame, draw_timeline])
@pytest.mark.parametrize("max_frames", [1, 19])
def test_pictures_open(draw, max_frames, reading_model, processor, video, tmp_path):
    explanation = explain_video(reading_model, processor, video, max_frames)
    draw(explanation, processor.video_processor, tmp_path / "picture.png")
    pixels = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 150
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500  # frames, not only lines


@pytest.mark.parametrize("draw", [draw_attention, draw_cross_frame, draw_timeline])
def test_without_matplotlib_the_extra_is_named(draw, explanation, processor, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ValueError, match=r"adaptsign-hf\[demo\]"):
        draw(explanation, processor.video_processor, tmp_path / "picture.png")


def test_the_liveliest_frame_of_each_part_is_shown():
    assert liveliest_frames(np.array([0, 1, 5, 2, 0, 9, 1, 3]), 2) == [2, 5]
    assert liveliest_frames(np.array([0.0, 3.0]), 4) == [0, 1]


def test_recognised_glosses_matter_and_others_only_if_probable(explanation):
    recognized, competitors = classes_that_matter(explanation)
    names = [explanation.glosses[index] for index in recognized]
    assert names == list(dict.fromkeys(sign.gloss for sign in explanation.recognized))
    peaks = explanation.posteriors.amax(dim=0)
    assert not set(competitors) & {0, *recognized}
    assert [peaks[index] for index in competitors] == sorted((peaks[index] for index in competitors), reverse=True)
    for weak in set(range(1, 11)) - {*recognized, *competitors}:
        assert len(competitors) == 4 or peaks[weak] < 0.02


def test_steps_are_four_frames_and_end_with_the_clip(explanation):
    np.testing.assert_allclose(step_times(explanation), np.array([0, 4, 8, 12, 16, 19]) / 12.5)


def test_labels_that_would_touch_take_lines_of_their_own():
    near = [RecognizedGloss("A" * 12, start, start + 0.2, 1.0) for start in (0.0, 0.3, 0.6, 5.0)]
    assert label_lines(near, inches_per_second=1) == [0, 1, 2, 0]
    assert label_lines(near, inches_per_second=100) == [0, 0, 0, 0]
    assert label_lines([], 1) == []


def test_a_frame_is_captioned_with_what_is_signed_then():
    signs = [RecognizedGloss("SUN", 1.0, 2.0, 0.9), RecognizedGloss("RAIN", 2.0, 3.0, 0.9)]
    assert [gloss_at(signs, time) for time in (0.5, 1.0, 2.0, 3.0)] == ["", "SUN", "RAIN", ""]
