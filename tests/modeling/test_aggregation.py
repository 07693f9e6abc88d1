"""Aggregation and cross-frame attention, against the plain forms they were folded from."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptsign_hf.modeling.aggregation_adaptsign import AdaptSignAggregator, AggregationBlock, CrossFrameProducts

WIDTH, HEADS, PATCHES = 12, 3, 4


def layer_norm(x: torch.Tensor, module: torch.nn.LayerNorm) -> torch.Tensor:
    x = x - x.mean(dim=-1, keepdim=True)
    return x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * module.weight + module.bias


def linear(x: torch.Tensor, module: torch.nn.Linear) -> torch.Tensor:
    return x @ module.weight.T + (0 if module.bias is None else module.bias)


def attention_by_projecting_all_tokens(block: AggregationBlock, query: torch.Tensor, tokens: torch.Tensor):
    """Multi-head attention of one frame: query (width,), tokens (tokens, width); all keys and values are projected."""
    q, k, v = linear(query, block.q_proj), linear(tokens, block.k_proj), linear(tokens, block.v_proj)
    size = WIDTH // HEADS
    heads = []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        weights = (k[:, part] @ q[part] / math.sqrt(size)).softmax(dim=0)
        heads.append(weights @ v[:, part])
    return linear(torch.cat(heads), block.out_proj)


@pytest.fixture
def block() -> AggregationBlock:
    torch.manual_seed(0)
    block = AggregationBlock(WIDTH, HEADS, 1e-5)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(std=0.5)
    return block


def test_folded_attention_equals_projecting_all_tokens(block):
    query, tokens = torch.randn(5, WIDTH), torch.randn(5, PATCHES + 1, WIDTH)
    expected = torch.stack(
        [attention_by_projecting_all_tokens(block, q, x) for q, x in zip(query, tokens, strict=True)]
    )
    torch.testing.assert_close(block.attend(query, tokens), expected, atol=1e-5, rtol=1e-5)


def test_folded_attention_has_the_gradients_of_the_plain_form(block):
    query, tokens = torch.randn(2, WIDTH), torch.randn(2, PATCHES + 1, WIDTH)
    plain = torch.stack([attention_by_projecting_all_tokens(block, q, x) for q, x in zip(query, tokens, strict=True)])
    names = [name for name, _ in block.named_parameters() if "_proj" in name]
    parameters = [block.get_parameter(name) for name in names]
    expected = torch.autograd.grad(plain.square().sum(), parameters)
    actual = torch.autograd.grad(block.attend(query, tokens).square().sum(), parameters)
    for name, gradient, reference in zip(names, actual, expected, strict=True):
        torch.testing.assert_close(gradient, reference, atol=1e-4, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}")


def test_block_adds_attention_and_mlp_to_the_query(block):
    query, tokens = torch.randn(3, WIDTH), 3 + 2 * torch.randn(3, PATCHES + 1, WIDTH)
    for q, x, actual in zip(query, tokens, block(query, tokens), strict=True):
        q = q + attention_by_projecting_all_tokens(
            block, layer_norm(q, block.layer_norm1), layer_norm(x, block.layer_norm1)
        )
        hidden = linear(layer_norm(q, block.layer_norm2), block.fc1)
        q = q + linear(hidden * (1.702 * hidden).sigmoid(), block.fc2)
        torch.testing.assert_close(actual, q, atol=1e-5, rtol=1e-5)


def padding_of(num_frames: int) -> list[int]:
    """The true frame behind each frame of a padded clip."""
    padded = [0] * 6 + list(range(num_frames))
    return padded + [num_frames - 1] * (4 * math.ceil(num_frames / 4) + 12 - len(padded))


def cross_frame_by_loops(clip: torch.Tensor, radius: int) -> torch.Tensor:
    """z_t of every frame of a padded clip (padded frames, 1 + patches, width); zeros outside it."""
    received = torch.zeros(len(clip), WIDTH)
    for t in range(len(clip)):
        for s in range(t - radius, t + radius + 1):
            if 0 <= s < len(clip):
                for patch in clip[s, 1:]:
                    weight = torch.sigmoid(clip[t, 0] @ patch / math.sqrt(WIDTH)) - 0.5
                    received[t] += weight * patch
    return received


def products_in_chunks(hidden_states: torch.Tensor, sizes: list[int], radius: int) -> torch.Tensor:
    cross_frame = CrossFrameProducts(radius)
    products = [cross_frame.push(chunk) for chunk in hidden_states.split(sizes)]
    return torch.cat([*products, cross_frame.finish()])


def aggregator_of(radius: int) -> AdaptSignAggregator:
    torch.manual_seed(0)
    aggregator = AdaptSignAggregator(WIDTH, 2, HEADS, 7, radius)
    with torch.no_grad():
        for parameter in aggregator.parameters():
            parameter.normal_(std=0.5)
    return aggregator


def sources_of(lengths: list[int]) -> torch.Tensor:
    paddings = [padding_of(length) for length in lengths]
    longest, start, rows = max(map(len, paddings)), 0, []
    for length, padding in zip(lengths, paddings, strict=True):
        rows.append([start + source for source in padding] + [-1] * (longest - len(padding)))
        start += length
    return torch.tensor(rows)


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
@pytest.mark.parametrize("num_frames", [1, 2, 3, 5, 9])
def test_cross_frame_attention_equals_loops_over_the_padded_clip(num_frames, radius):
    torch.manual_seed(num_frames)
    hidden_states = torch.randn(num_frames, 1 + PATCHES, WIDTH)
    expected = cross_frame_by_loops(hidden_states[padding_of(num_frames)], radius)
    products = products_in_chunks(hidden_states, [num_frames], radius)
    received = aggregator_of(radius).gather_neighbours(products, sources_of([num_frames]))
    torch.testing.assert_close(received[0], expected, atol=1e-5, rtol=1e-5)


@st.composite
def chunked_clips(draw):
    """Lengths of clips laid end to end, and sizes of chunks that cut them anywhere."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    remaining, sizes = sum(lengths), []
    while remaining:
        sizes.append(draw(st.integers(1, remaining)))
        remaining -= sizes[-1]
    return lengths, sizes


@settings(deadline=None, max_examples=25)
@given(chunked_clips())
def test_neither_chunks_nor_neighbouring_clips_change_cross_frame_attention(case):
    lengths, sizes = case
    torch.manual_seed(0)
    hidden_states = torch.randn(sum(lengths), 1 + PATCHES, WIDTH)
    received = aggregator_of(2).gather_neighbours(products_in_chunks(hidden_states, sizes, 2), sources_of(lengths))
    for row, clip, length in zip(received, hidden_states.split(lengths), lengths, strict=True):
        expected = cross_frame_by_loops(clip[padding_of(length)], 2)
        torch.testing.assert_close(row[: len(expected)], expected, atol=1e-5, rtol=1e-5)
        assert not row[len(expected) :].any()


def test_products_come_as_soon_as_the_frames_around_them_are_known():
    cross_frame = CrossFrameProducts(2)
    counts = [len(cross_frame.push(torch.randn(1, 1 + PATCHES, WIDTH))) for _ in range(5)]
    assert counts == [0, 0, 1, 1, 1]
    assert cross_frame.finish().shape == (2, 5, WIDTH)


def test_frame_features_follow_the_formula_and_are_zero_outside_a_clip():
    aggregator = aggregator_of(1)
    lengths = [2, 6]
    hidden_states, queries = torch.randn(8, 1 + PATCHES, WIDTH), torch.randn(8, WIDTH)
    sources = sources_of(lengths)
    products = products_in_chunks(hidden_states, [8], 1)
    features = aggregator.frame_features(hidden_states[:, 0], queries, products, sources)
    starts = [0, 2]
    for row, start, length in zip(features, starts, lengths, strict=True):
        padding = [start + source for source in padding_of(length)]
        received = cross_frame_by_loops(hidden_states[padding], 1)
        moved = hidden_states[padding, 0] + aggregator.cross_frame_gate * received
        mixed = aggregator.mix_weights[0] * layer_norm(moved, aggregator.class_norm)
        mixed = mixed + aggregator.mix_weights[1] * layer_norm(queries[padding], aggregator.query_norm)
        expected = mixed @ aggregator.projection.weight.T
        torch.testing.assert_close(row[: len(padding)], expected, atol=1e-4, rtol=1e-4)
        assert not row[len(padding) :].any()


def test_every_frame_starts_from_the_same_query():
    aggregator = aggregator_of(2)
    assert torch.equal(aggregator.initial_query(3), torch.stack([aggregator.query] * 3))
