import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adaptsign_hf.data.augmentation import AugmentationConfig, augment, draw_rectangle, rescale_in_time, stack_frames

UNCHANGED_TIME = {"temporal_rescale": 0.0, "min_frames": 1, "max_frames": 1000}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def places(frames=1, height=9, width=11):
    """Frames whose every pixel tells its frame (first channel), its row and its column."""
    grid = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack(grid, dim=1).to(torch.uint8)


@given(st.integers(1, 100), st.integers(0, 2**32))
def test_defaults_are_the_papers(num_frames, seed):
    result = augment(places(num_frames), (8, 8), AugmentationConfig(), generator(seed))
    assert result.dtype == torch.uint8
    assert result.shape[1:] == (3, 8, 8)
    assert max(32, 0.8 * num_frames - 1) <= len(result) <= max(32, 1.2 * num_frames + 1)


@given(
    num_frames=st.integers(1, 60),
    change=st.floats(0, 0.99),
    limits=st.tuples(st.integers(1, 60), st.integers(1, 60)).map(sorted),
    required=st.integers(1, 80),
    seed=st.integers(0, 2**32),
)
def test_length_stays_within_its_limits(num_frames, change, limits, required, seed):
    config = AugmentationConfig(temporal_rescale=change, min_frames=limits[0], max_frames=limits[1])
    frames = torch.arange(num_frames)
    rescaled = rescale_in_time(frames, config, generator(seed), required)
    assert len(rescaled) >= required
    assert limits[0] <= len(rescaled) <= max(limits[1], required)
    unlimited = num_frames * (1 - change) - 1, num_frames * (1 + change) + 1
    if limits[0] < len(rescaled) < limits[1] and len(rescaled) > required:
        assert unlimited[0] <= len(rescaled) <= unlimited[1]
    assert rescaled.tolist() == sorted(rescaled.tolist())  # time does not run back
    assert rescaled[0] == 0
    assert len(rescaled) == 1 or rescaled[-1] == num_frames - 1


def test_lengths_vary_to_both_sides():
    config = AugmentationConfig(min_frames=1, max_frames=1000)
    lengths = {len(rescale_in_time(torch.arange(100), config, generator(seed), 1)) for seed in range(300)}
    assert 80 <= min(lengths) < 84
    assert 116 < max(lengths) <= 120


def test_rescaling_spreads_evenly():
    config = AugmentationConfig(temporal_rescale=0, min_frames=8, max_frames=8)
    assert rescale_in_time(torch.arange(4), config, generator(), 1).bincount().tolist() == [2, 2, 2, 2]
    assert rescale_in_time(torch.arange(15), config, generator(), 1).tolist() == list(range(0, 15, 2))


@given(st.integers(0, 2**32))
def test_all_frames_get_the_same_crop_and_mirror(seed):
    config = AugmentationConfig(**UNCHANGED_TIME)
    frames = augment(places(5), (4, 6), config, generator(seed))
    assert frames[:, 0].unique(dim=0).shape[0] == 5  # no frame is lost, none is doubled
    for frame in frames:
        torch.testing.assert_close(frame[1:], frames[0, 1:])


@given(st.integers(0, 2**32))
def test_a_crop_is_one_rectangle_of_the_frame(seed):
    rows, columns = places()[draw_rectangle((9, 11), (4, 6), generator(seed))][0, 1:].long()
    assert torch.equal(rows - rows[0, 0], torch.arange(4)[:, None].expand(4, 6))
    assert torch.equal(columns - columns[0, 0], torch.arange(6).expand(4, 6))


def test_crops_reach_every_place():
    crops = [draw_rectangle((5, 6), (4, 4), generator(seed))[1:] for seed in range(200)]
    corners = {(rows.start, columns.start) for rows, columns in crops}
    assert corners == {(row, column) for row in range(2) for column in range(3)}


@pytest.mark.parametrize(("probability", "mirrored"), [(0.0, {False}), (1.0, {True}), (0.5, {False, True})])
def test_mirrored_with_its_probability(probability, mirrored):
    config = AugmentationConfig(flip_probability=probability, **UNCHANGED_TIME)
    seen = set()
    for seed in range(50):
        columns = augment(places(), (9, 11), config, generator(seed))[0, 2, 0].tolist()
        assert columns in (list(range(11)), list(range(10, -1, -1)))
        seen.add(columns[0] == 10)
    assert seen == mirrored


def test_the_generator_decides_alone():
    frames = places(50)
    torch.manual_seed(0)
    first = augment(frames, (8, 8), AugmentationConfig(), generator(3))
    torch.manual_seed(1)
    torch.testing.assert_close(augment(frames, (8, 8), AugmentationConfig(), generator(3)), first)
    others = [augment(frames, (8, 8), AugmentationConfig(), generator(seed)) for seed in range(4, 8)]
    assert not any(torch.equal(other, first) for other in others)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flip_probability", -0.1),
        ("flip_probability", 1.1),
        ("temporal_rescale", -0.1),
        ("temporal_rescale", 1.0),
        ("min_frames", 0),
        ("min_frames", 231),
        ("max_frames", 31),
        ("flip_probability", float("nan")),
    ],
)
def test_wrong_settings_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}|{field} {value}"):
        AugmentationConfig(**{field: value})


@pytest.mark.parametrize("colours_last", [False, True])
def test_frames_are_stacked_in_the_order_of_their_memory(colours_last):
    frames = list(places(5).unbind())
    if colours_last:
        frames = [frame.permute(1, 2, 0).contiguous().permute(2, 0, 1) for frame in frames]
    stacked = stack_frames(frames)
    assert torch.equal(stacked, places(5))
    assert stacked.stride(1) == (1 if colours_last else 99)


class Lazy(list):
    """Frames that count how often each is asked for."""

    def __init__(self, frames):
        super().__init__(frames)
        self.asked = []

    def __getitem__(self, index):
        self.asked.append(index)
        return super().__getitem__(index)


@pytest.mark.parametrize("limits", [(60, 60), (10, 10)])
def test_each_frame_is_asked_for_once_and_only_if_it_is_needed(limits):
    frames = Lazy(places(30).unbind())
    config = AugmentationConfig(temporal_rescale=0.0, min_frames=limits[0], max_frames=limits[1])
    assert len(augment(frames, (8, 8), config, generator())) == limits[0]
    assert sorted(frames.asked) == sorted(set(frames.asked))
    assert len(frames.asked) == min(30, limits[0])
