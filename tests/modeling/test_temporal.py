"""Length arithmetic, temporal padding, convolutions whose statistics count valid steps only, the BiLSTM."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptsign_hf.modeling.temporal_adaptsign import (
    BidirectionalLSTM,
    ConvolutionBlock,
    TemporalConvolutions,
    clip_lengths,
    length_mask,
    output_length,
    padded_length,
    padded_sources,
)

lengths_of_clips = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def padded_by_definition(frames: list) -> list:
    """The first frame six times in front, the last until the length is 4·ceil(T / 4) + 12."""
    padded = [frames[0]] * 6 + list(frames)
    while len(padded) < 4 * math.ceil(len(frames) / 4) + 12:
        padded.append(frames[-1])
    return padded


@pytest.mark.parametrize(
    ("frames", "steps", "padded"), [(1, 1, 16), (4, 1, 16), (5, 2, 20), (8, 2, 20), (230, 58, 244)]
)
def test_lengths_worked_out_by_hand(frames, steps, padded):
    assert output_length(frames) == steps
    assert padded_length(frames) == padded


@given(lengths_of_clips)
def test_padded_sources_follow_the_definition(lengths):
    sources = padded_sources(lengths)
    longest = max(len(padded_by_definition(range(length))) for length in lengths)
    assert sources.shape == (len(lengths), longest)
    frames = iter(range(sum(lengths)))
    for row, length in zip(sources.tolist(), lengths, strict=True):
        padded = padded_by_definition([next(frames) for _ in range(length)])
        assert len(padded) == padded_length(length)
        assert row == padded + [-1] * (longest - len(padded))


@given(st.integers(1, 500))
def test_the_head_turns_a_padded_clip_into_its_output_length(frames):
    length = padded_length(frames)
    for _ in range(2):
        length = (length - 4) // 2
    assert length == output_length(frames) == math.ceil(frames / 4)


def test_length_mask():
    expected = [[True, False, False], [True, True, True]]
    assert length_mask([1, 3], torch.device("cpu")).tolist() == expected


def test_clip_lengths_counts_true_frames():
    pixels = torch.zeros(2, 4, 3, 2, 2)
    assert clip_lengths(pixels, None) == [4, 4]
    for dtype in (torch.long, torch.bool, torch.float32):
        assert clip_lengths(pixels, torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=dtype)) == [2, 4]


@pytest.mark.parametrize(
    ("shape", "mask", "message"),
    [
        ((4, 3, 8, 8), None, r"shape \(4, 3, 8, 8\).*AdaptSignProcessor"),
        ((2, 0, 3, 8, 8), None, "no frame"),
        ((0, 4, 3, 8, 8), None, "no frame"),
        ((2, 3, 3, 8, 8), [[1, 1, 1]], r"shape \(1, 3\).*must be \(2, 3\)"),
        ((1, 3, 3, 8, 8), [1, 1, 1], r"shape \(3,\).*must be \(1, 3\)"),
        ((2, 3, 3, 8, 8), [[1, 1, 1], [0, 0, 0]], "clip 1 is all zero"),
        ((2, 3, 3, 8, 8), [[1, 0, 1], [1, 1, 1]], "clip 0 is not a run of ones"),
        ((1, 3, 3, 8, 8), [[0, 1, 1]], "clip 0 is not a run of ones"),
    ],
)
def test_clip_lengths_refuses_what_is_no_batch_of_clips(shape, mask, message):
    with pytest.raises(ValueError, match=message):
        clip_lengths(torch.zeros(shape), None if mask is None else torch.tensor(mask))


def valid_steps(tensor: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
    return [row[:length] for row, length in zip(tensor, lengths, strict=True)]


def test_batch_norm_counts_valid_steps_only():
    torch.manual_seed(0)
    block, lengths = ConvolutionBlock(3, 4).train(), [9, 14, 6]
    features = torch.randn(3, 14, 3)
    alone = [block.conv(clip.T.unsqueeze(0))[0].T for clip in valid_steps(features, lengths)]
    together = torch.cat(alone).detach()
    pooled, shorter = block(features, lengths)

    torch.testing.assert_close(block.batch_norm.running_mean, 0.1 * together.mean(dim=0))
    torch.testing.assert_close(block.batch_norm.running_var, 0.9 + 0.1 * together.var(dim=0, unbiased=True))
    assert shorter == [2, 5, 1]
    scale = (together.var(dim=0, unbiased=False) + 1e-5).rsqrt()
    for clip, hidden, length in zip(pooled, alone, shorter, strict=True):
        normalized = ((hidden - together.mean(dim=0)) * scale).relu()
        expected = torch.stack([normalized[2 * i : 2 * i + 2].amax(dim=0) for i in range(length)])
        torch.testing.assert_close(clip[:length], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lengths", [[16, 24, 20], [24, 24, 24]])
def test_filler_changes_neither_outputs_nor_gradients_nor_statistics(lengths):
    torch.manual_seed(0)
    convolutions = TemporalConvolutions(3, 4).train()
    start = {name: tensor.clone() for name, tensor in convolutions.state_dict().items()}
    features = torch.randn(3, 24, 3)
    results = []
    for filler in (0.0, 1000.0):
        convolutions.load_state_dict(start)
        convolutions.zero_grad()
        behind = ~length_mask(lengths, features.device).unsqueeze(-1)
        inputs = features.masked_fill(behind, filler).requires_grad_()
        hidden, steps = convolutions(inputs, lengths)
        torch.cat(valid_steps(hidden, steps)).square().sum().backward()
        gradients = {name: parameter.grad.clone() for name, parameter in convolutions.named_parameters()}
        buffers = {name: buffer.clone() for name, buffer in convolutions.named_buffers()}
        results.append((hidden.detach(), inputs.grad, gradients, buffers))
        assert not inputs.grad.masked_select(behind).any()
    torch.testing.assert_close(results[0], results[1], atol=0, rtol=0)


@settings(deadline=None, max_examples=25)
@given(lengths_of_clips)
def test_convolutions_of_a_clip_do_not_depend_on_its_batch(frame_counts):
    torch.manual_seed(0)
    convolutions = TemporalConvolutions(3, 4).eval()
    lengths = [padded_length(count) for count in frame_counts]
    features = torch.randn(len(lengths), max(lengths), 3)
    hidden, steps = convolutions(features, lengths)
    assert steps == [output_length(count) for count in frame_counts]
    assert hidden.shape == (len(lengths), max(steps), 4)
    for row, clip, length, step in zip(hidden, features, lengths, steps, strict=True):
        alone, _ = convolutions(clip[None, :length], [length])
        torch.testing.assert_close(row[:step], alone[0], atol=1e-6, rtol=1e-5)
        assert not row[step:].any()


@settings(deadline=None, max_examples=25)
@given(lengths_of_clips)
def test_bilstm_of_a_clip_does_not_depend_on_its_batch(steps):
    torch.manual_seed(0)
    bilstm = BidirectionalLSTM(6, num_layers=2, dropout=0.5).eval()
    hidden = torch.randn(len(steps), max(steps), 6)
    states = bilstm(hidden, steps)
    assert states.shape == hidden.shape
    for row, clip, length in zip(states, hidden, steps, strict=True):
        alone, _ = bilstm.lstm(clip[None, :length])
        torch.testing.assert_close(row[:length], alone[0], atol=1e-6, rtol=1e-5)
        assert not row[length:].any()


def test_bilstm_drops_out_between_its_layers_only_and_only_in_training():
    torch.manual_seed(0)
    hidden = torch.randn(1, 5, 8)
    stacked = BidirectionalLSTM(8, num_layers=2, dropout=0.5).train()
    assert not torch.equal(stacked(hidden, [5]), stacked(hidden, [5]))
    single = BidirectionalLSTM(8, num_layers=1, dropout=0.5).train()
    assert torch.equal(single(hidden, [5]), single(hidden, [5]))
    stacked.eval()
    assert torch.equal(stacked(hidden, [5]), stacked(hidden, [5]))
