from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptsign_hf.decoding.alignment import (
    MAX_REACH,
    AlignedGloss,
    align_glosses,
    time_aligned_glosses,
    time_glosses,
)
from adaptsign_hf.modeling.tokenization_adaptsign import BLANK_ID, collapse_ctc

GLOSSES = ["RAIN", "SUN", "WIND"]


def spikes(num_steps, *places, probability=0.9, num_classes=4):
    """Log-probabilities that are blank but for (step, id), where the gloss has the given probability."""
    probabilities = torch.full((num_steps, num_classes), 0.01)
    probabilities[:, BLANK_ID] = 1 - 0.01 * (num_classes - 1)
    for step, gloss in places:
        probabilities[step] = (1 - probability) / (num_classes - 1)
        probabilities[step, gloss] = probability
    return probabilities.log()


def score_of(log_probs, path):
    return sum(float(row[label]) for row, label in zip(log_probs, path, strict=True))


def path_of(aligned, num_steps):
    path = [BLANK_ID] * num_steps
    for gloss in aligned:
        path[gloss.first_step : gloss.last_step + 1] = [gloss.id] * (gloss.last_step + 1 - gloss.first_step)
    return path


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_steps=st.integers(1, 6),
    num_classes=st.integers(2, 4),
    sharpness=st.sampled_from([0.0, 1.0, 10.0]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    data=st.data(),
)
def test_the_path_is_the_best_of_all(seed, num_steps, num_classes, sharpness, dtype, data):
    generator = torch.Generator().manual_seed(seed)
    logits = (sharpness * torch.randn(num_steps, num_classes, generator=generator)).to(dtype)
    ids = data.draw(st.lists(st.integers(1, num_classes - 1), min_size=1, max_size=4))
    log_probs = logits.double().log_softmax(-1)
    paths = [path for path in product(range(num_classes), repeat=num_steps) if collapse_ctc(path) == ids]
    if not paths:
        with pytest.raises(ValueError, match="steps"):
            align_glosses(logits, ids)
        return
    aligned = align_glosses(logits, ids)
    path = path_of(aligned, num_steps)
    assert collapse_ctc(path) == ids
    assert [gloss.id for gloss in aligned] == ids
    assert score_of(log_probs, path) == pytest.approx(max(score_of(log_probs, path) for path in paths), abs=1e-9)
    for gloss in aligned:
        steps = range(gloss.first_step, gloss.last_step + 1)
        assert gloss.confidence == pytest.approx(max(float(log_probs[step, gloss.id].exp()) for step in steps))
        assert gloss.first_step - 0.5 <= gloss.middle <= gloss.last_step + 1.5


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_steps=st.integers(1, 40),
    fps=st.sampled_from([5.0, 12.5, 25.0, 29.97, 240.0]),
    cut=st.integers(0, 3),
    data=st.data(),
)
def test_intervals_are_in_order_and_within_the_clip(seed, num_steps, fps, cut, data):
    logits = 20 * torch.randn(num_steps, 4, generator=torch.Generator().manual_seed(seed))
    ids = data.draw(st.lists(st.integers(1, 3), max_size=(num_steps + 1) // 2))
    num_frames = 4 * num_steps - cut
    timed = time_glosses(logits, ids, GLOSSES, fps, num_frames)
    assert [gloss.gloss for gloss in timed] == [GLOSSES[number - 1] for number in ids]
    ends = [0.0, *(gloss.end for gloss in timed)]
    for gloss, end_before, aligned in zip(timed, ends[:-1], align_glosses(logits, ids), strict=True):
        assert end_before <= gloss.start + 1e-9
        assert gloss.start < gloss.end <= num_frames / fps + 1e-9
        assert gloss.start <= 4 * (aligned.first_step + 0.5) / fps + 1e-9
        assert gloss.end >= min(4 * (aligned.last_step + 0.5), num_frames) / fps - 1e-9
        assert 0 <= gloss.confidence <= 1


def test_a_lone_spike_becomes_a_sign_around_it():
    (gloss,) = time_glosses(spikes(50, (20, 2)), [2], GLOSSES, fps=25.0)
    assert gloss.gloss == "SUN"
    assert gloss.confidence == pytest.approx(0.9)
    middle = (4 * 20 + 2) / 25  # between the second and the third of the frames 80…83
    assert gloss.start == pytest.approx(middle - MAX_REACH)
    assert gloss.end == pytest.approx(middle + MAX_REACH)


def test_near_signs_leave_a_third_of_the_way_to_the_movement_between():
    first, second = time_glosses(spikes(30, (10, 1), (13, 3)), [1, 3], GLOSSES, fps=25.0)
    middles = [4 * 10.5 / 25, 4 * 13.5 / 25]
    third = (middles[1] - middles[0]) / 3
    assert [first.end, second.start] == pytest.approx([middles[0] + third, middles[1] - third])


def test_times_follow_the_frame_rate():
    logits = spikes(30, (10, 1), (12, 3))
    slow, fast = (time_glosses(logits, [1, 3], GLOSSES, fps) for fps in (10.0, 20.0))
    assert slow[0].end == pytest.approx(2 * fast[0].end)


def test_the_middle_leans_to_where_the_gloss_rises_below_the_blank():
    logits = spikes(9, (4, 1))
    logits[5] = torch.tensor([0.98, 0.015, 0.0025, 0.0025]).log()
    (leaning,) = align_glosses(logits, [1])
    (straight,) = align_glosses(spikes(9, (4, 1)), [1])
    assert (leaning.first_step, leaning.last_step) == (4, 4)
    assert straight.middle == pytest.approx(4.5)
    assert leaning.middle > 4.6


def test_a_long_run_is_covered_to_its_outer_frames():
    logits = spikes(60, *((step, 1) for step in range(10, 50)))
    (gloss,) = time_glosses(logits, [1], GLOSSES, fps=25.0)
    assert gloss.start == pytest.approx(42 / 25)
    assert gloss.end == pytest.approx(198 / 25)


def test_pieces_of_a_long_video_give_the_times_of_the_whole():
    logits = spikes(60, (10, 1), (25, 2), (33, 2), (50, 3))
    whole = time_glosses(logits, [1, 2, 2, 3], GLOSSES, fps=25.0, num_frames=238)
    pieces = align_glosses(logits[:29], [1, 2]) + [gloss.shifted(29) for gloss in align_glosses(logits[29:], [2, 3])]
    assert time_aligned_glosses(pieces, GLOSSES, 25.0, 238) == whole


def test_logits_and_log_probabilities_give_the_same():
    logits = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    for one, other in zip(align_glosses(logits, [1, 2]), align_glosses(logits.log_softmax(-1), [1, 2]), strict=True):
        assert (one.first_step, one.last_step) == (other.first_step, other.last_step)
        assert one.confidence == pytest.approx(other.confidence, rel=1e-5)


def test_logits_that_need_gradients_and_ids_as_a_tensor():
    logits = spikes(9, (4, 1)).requires_grad_()
    assert align_glosses(logits, torch.tensor([1])) == align_glosses(logits.detach(), [1])


def test_certainty_is_no_problem():
    log_probs = torch.full((5, 4), -torch.inf)
    log_probs[[0, 1, 3, 4], BLANK_ID] = 0.0
    log_probs[2, 3] = 0.0
    assert align_glosses(log_probs, [3]) == [AlignedGloss(3, 2, 2, 2.5, 1.0)]
    with pytest.raises(ValueError, match="probability zero"):
        align_glosses(log_probs, [2])


def test_no_glosses_have_no_times():
    assert align_glosses(spikes(5), []) == []
    assert time_glosses(spikes(5), [], GLOSSES, fps=25.0) == []
    assert time_glosses(torch.zeros(0, 4), [], GLOSSES, fps=25.0) == []


@pytest.mark.parametrize(("ids", "required"), [([1, 2, 3], 3), ([1, 1], 3), ([2, 2, 2], 5)])
def test_too_few_steps(ids, required):
    assert len(align_glosses(spikes(required), ids)) == len(ids)
    with pytest.raises(ValueError, match=f"to {required - 1} steps: they need {required}"):
        align_glosses(spikes(required - 1), ids)


@pytest.mark.parametrize("ids", [[0], [1, 0, 2], [4], [-1]])
def test_ids_that_are_no_glosses(ids):
    with pytest.raises(ValueError, match="glosses have the ids 1…3"):
        align_glosses(spikes(9), ids)


@pytest.mark.parametrize("fps", [None, 0, -25.0, float("nan"), float("inf")])
def test_a_frame_rate_is_needed(fps):
    with pytest.raises(ValueError, match="a positive number is needed"):
        time_glosses(spikes(9, (4, 1)), [1], GLOSSES, fps)


def test_broken_logits():
    with pytest.raises(ValueError, match="NaN"):
        align_glosses(torch.full((5, 4), torch.nan), [1])
    with pytest.raises(ValueError, match="one clip"):
        align_glosses(torch.zeros(1, 5, 4), [1])


def test_a_long_clip_of_many_glosses():
    places = [(5 * index + 2, 1 + index % 3) for index in range(400)]
    aligned = align_glosses(spikes(2000, *places), [gloss for _, gloss in places])
    assert [(gloss.first_step, gloss.id) for gloss in aligned] == places
    assert np.allclose([gloss.middle for gloss in aligned], [step + 0.5 for step, _ in places])
