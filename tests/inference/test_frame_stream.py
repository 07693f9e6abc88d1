import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptsign_hf.inference.frame_stream import FrameFeatureStream, StepStream
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC

quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
chunk_sizes = st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(lambda sizes: 1 <= sum(sizes) <= 40)


def random_frames(number: int) -> torch.Tensor:
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(number))


def stream_all(stream: FrameFeatureStream | StepStream, frames: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    return torch.cat([*(stream.push(chunk) for chunk in frames.split(sizes)), stream.finish()])


@quickly
@given(sizes=chunk_sizes, largest_chunk=st.integers(1, 6))
def test_features_and_steps_are_those_of_the_whole_clip(tiny_model, sizes, largest_chunk):
    frames = random_frames(sum(sizes))
    with torch.no_grad():
        features = tiny_model.model(frames[None]).padded_hidden_state
        steps = tiny_model.convolutions(features, [features.shape[1]])[0][0]
    tiny_model.model.config.frame_chunk_size = largest_chunk
    torch.testing.assert_close(
        stream_all(FrameFeatureStream(tiny_model.model), frames, sizes), features[0], rtol=0, atol=1e-5
    )
    torch.testing.assert_close(stream_all(StepStream(tiny_model), frames, sizes), steps, rtol=0, atol=1e-5)


@pytest.mark.parametrize("radius", [0, 1, 3, 8])
@pytest.mark.parametrize("number", [1, 4, 13])
def test_it_holds_for_any_reach_of_cross_frame_attention(tiny_model, radius, number):
    tiny_model.config.cross_frame_radius = tiny_model.model.aggregator.radius = radius
    frames = random_frames(number)
    with torch.no_grad():
        expected = tiny_model.model(frames[None]).padded_hidden_state[0]
    got = stream_all(FrameFeatureStream(tiny_model.model), frames, [1] * number)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@quickly
@given(repeats=st.lists(st.integers(1, 7), min_size=1, max_size=12), size=st.integers(1, 5))
def test_a_frame_shown_several_times_is_read_once(tiny_model, repeats, size):
    frames = random_frames(len(repeats))
    with torch.no_grad():
        expected = tiny_model.model(frames.repeat_interleave(torch.tensor(repeats), dim=0)[None])
    read = []
    read_layers = tiny_model.model.read_layers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_model.model, "read_layers", lambda chunk: read.append(len(chunk)) or read_layers(chunk))
        stream = FrameFeatureStream(tiny_model.model)
        parts = [
            stream.push(frames[start : start + size], repeats[start : start + size])
            for start in range(0, len(frames), size)
        ]
        parts.append(stream.finish())
    torch.testing.assert_close(torch.cat(parts), expected.padded_hidden_state[0], rtol=0, atol=1e-5)
    assert sum(read) == len(frames)
    assert stream.num_frames == sum(repeats)


def test_features_and_steps_come_as_soon_as_they_can(tiny_model):
    features, steps = FrameFeatureStream(tiny_model.model), StepStream(tiny_model)
    num_features, num_steps = 0, 0
    for index, frame in enumerate(random_frames(30)):
        num_features += len(features.push(frame[None]))
        num_steps += len(steps.push(frame[None]))
        assert num_features == 6 + index + 1 - 2
        assert num_steps == max((index - 11) // 4 + 1, 0)  # step k with frame 4k + 11


def held_numbers(thing: object) -> int:
    """Numbers in the tensors and lists that an object and its parts hold; the model is not theirs."""
    if isinstance(thing, torch.Tensor):
        return thing.untyped_storage().nbytes() // thing.element_size()
    if isinstance(thing, list):
        return len(thing)
    if isinstance(thing, torch.nn.Module) or not hasattr(thing, "__dict__"):
        return 0
    return sum(held_numbers(part) for part in vars(thing).values())


def test_what_it_holds_does_not_grow(tiny_model):
    stream = StepStream(tiny_model)
    sizes = []
    for _ in range(12):
        stream.push(random_frames(16))
        sizes.append(held_numbers(stream))
    assert sizes[1] > 0
    assert set(sizes[1:]) == {sizes[1]}


def test_no_gradients_are_kept(tiny_model):
    stream = StepStream(tiny_model)
    stream.push(random_frames(9))
    assert not stream.finish().requires_grad


def test_misuse_is_told(tiny_model: AdaptSignForCTC):
    stream = StepStream(tiny_model)
    with pytest.raises(ValueError, match=r"\(3, 32, 32\)"):
        stream.push(random_frames(1)[0])
    with pytest.raises(ValueError, match=r"2 frames .* repeats \[1\]"):
        stream.push(random_frames(2), [1])
    with pytest.raises(ValueError, match=r"repeats \[1, 0\]"):
        stream.push(random_frames(2), [1, 0])
    with pytest.raises(ValueError, match="without a frame"):
        stream.finish()
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        StepStream(tiny_model.train())
