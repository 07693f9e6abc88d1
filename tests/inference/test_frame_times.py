import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adaptsign_hf.inference.frame_times import FrameTimes


def shown_frames(times, moments):
    """The number of the frame that is shown at each instant."""
    shown = [times.push(torch.tensor(index), moment) for index, moment in enumerate(moments)]
    shown.append(times.finish())
    return [int(frame) for frame, repeats in filter(None, shown) for _ in range(repeats)]


def test_frames_without_a_rate_of_the_model_are_shown_as_they_come():
    assert shown_frames(FrameTimes(None, None, 100), [3.0, 3.5, 9.0]) == [0, 1, 2]
    assert shown_frames(FrameTimes(25, None, 100), [None] * 3) == [0, 1, 2]


@pytest.mark.parametrize(
    ("fps", "model_fps", "expected"),
    [(10, 10, [0, 1, 2, 3]), (10, 5, [0, 2]), (10, 20, [0, 0, 1, 1, 2, 2, 3, 3]), (30, 25, [0, 1, 2, 3])],
)
def test_a_fixed_rate_is_turned_into_another(fps, model_fps, expected):
    assert shown_frames(FrameTimes(fps, model_fps, 100), [None] * 4) == expected


@given(st.lists(st.floats(0.004, 0.5), min_size=1, max_size=20), st.floats(1, 60), st.floats(-1e5, 1e5))
def test_at_each_instant_the_latest_frame_is_shown(intervals, model_fps, start):
    moments = np.cumsum([start, *intervals])
    shown = shown_frames(FrameTimes(None, model_fps, 1000), moments.tolist())
    instants = moments[0] + np.arange(len(shown)) / model_fps
    tolerance = 0.0005 + 1e-6
    for index, instant in zip(shown, instants, strict=True):
        assert moments[index] <= instant + tolerance
        assert index + 1 == len(moments) or moments[index + 1] >= instant - tolerance
    assert abs(len(shown) / model_fps - (moments[-1] + intervals[-1] - moments[0])) <= 1 / model_fps + tolerance


def test_a_long_pause_is_cut_short():
    assert shown_frames(FrameTimes(None, 10, longest_stay=3), [0.0, 100.0, 100.1]) == [0, 0, 0, 1, 2]


def test_frames_a_second_are_known_or_counted():
    assert FrameTimes(30, 25, 9).frames_per_second == 25
    assert FrameTimes(30, None, 9).frames_per_second == 30
    times = FrameTimes(None, None, 9)
    shown_frames(times, [1.0, 1.5, 2.0])
    assert times.frames_per_second == 2


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_told(rate):
    with pytest.raises(ValueError, match="positive"):
        FrameTimes(rate, None, 9)
    with pytest.raises(ValueError, match="positive"):
        FrameTimes(None, rate, 9)


def test_times_that_make_no_sense_are_told():
    frame, times = torch.tensor(0), FrameTimes(None, None, 9)
    with pytest.raises(ValueError, match="fps"):
        times.push(frame, None)
    times.push(frame, 2.0)
    for time in (1.9, float("nan")):
        with pytest.raises(ValueError, match="go back"):
            times.push(frame, time)
