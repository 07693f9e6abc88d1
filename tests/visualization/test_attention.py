"""What is drawn is what the model used: weights and affinities against computations by hand."""

import math

import pytest
import torch

from adaptsign_hf.modeling.aggregation_adaptsign import CrossFrameProducts
from adaptsign_hf.modeling.temporal_adaptsign import padded_sources
from adaptsign_hf.visualization.attention import attend_clip


@pytest.fixture
def clip():
    torch.manual_seed(3)
    return torch.randn(7, 3, 32, 32)


@torch.no_grad()
def tokens_of_layers(model, clip):
    """The output of each layer of CLIP, (frames, tokens, width)."""
    vision = model.model.vision_model
    hidden = vision.pre_layrnorm(vision.embeddings(clip))
    for layer in vision.encoder.layers:
        hidden = layer(hidden, None)
        yield hidden


def weights_by_hand(block, query, tokens):
    """Weights of one frame, mean over heads: query (width,), tokens (tokens, width)."""
    query, tokens = block.layer_norm1(query), block.layer_norm1(tokens)
    queries, keys = block.q_proj(query), tokens @ block.k_proj.weight.T
    size = len(query) // block.num_heads
    heads = [slice(start, start + size) for start in range(0, len(query), size)]
    return torch.stack([(keys[:, part] @ queries[part] / math.sqrt(size)).softmax(0) for part in heads]).mean(0)


@torch.no_grad()
@pytest.mark.parametrize("chunk_size", [2, 64])
def test_weights_are_those_of_each_block(tiny_model, clip, chunk_size):
    tiny_model.config.frame_chunk_size = chunk_size
    attention = attend_clip(tiny_model, clip)[1]
    assert attention.query.shape == (7, 2, 2, 2)
    aggregator = tiny_model.model.aggregator
    query = aggregator.initial_query(len(clip))
    for layer, (block, tokens) in enumerate(
        zip(aggregator.blocks, tokens_of_layers(tiny_model, clip), strict=True),
    ):
        expected = torch.stack([weights_by_hand(block, q, x) for q, x in zip(query, tokens, strict=True)])
        torch.testing.assert_close(attention.class_token[:, layer], expected[:, 0])
        torch.testing.assert_close(attention.query[:, layer].flatten(1), expected[:, 1:])
        query = block(query, tokens)
    sums = attention.query.sum(dim=(2, 3)) + attention.class_token
    torch.testing.assert_close(sums, torch.ones(7, 2))
    torch.testing.assert_close(attention.mean_query, attention.query.sum(dim=1) / 2)


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 2, 7])
def test_affinities_give_what_cross_frame_attention_adds(tiny_model, clip, num_frames):
    clip = clip[:num_frames]
    attention = attend_clip(tiny_model, clip)[1]
    aggregator = tiny_model.model.aggregator
    *_, last = tokens_of_layers(tiny_model, clip)
    tokens = aggregator.cross_frame_norm(last)
    products = CrossFrameProducts(2)
    complete = torch.cat([products.push(tokens), products.finish()])
    expected = aggregator.gather_neighbours(complete, padded_sources([num_frames]))[0, 6 : 6 + num_frames]
    received = torch.zeros_like(expected)
    for t in range(num_frames):
        for offset in range(5):
            neighbour = min(max(t + offset - 2, 0), num_frames - 1)
            received[t] += attention.cross_frame[t, offset].flatten() @ tokens[neighbour, 1:]
    torch.testing.assert_close(received, expected, atol=1e-5, rtol=1e-5)
    assert attention.cross_frame.abs().max() < 0.5
    assert attention.gate == pytest.approx(0.7)


def test_rows_and_columns_are_those_of_the_picture(tiny_model):
    """A frame that changes in its lower left patch changes the affinities of no other one much."""
    clip = torch.zeros(3, 3, 32, 32)
    tiny_model.model.vision_model.encoder.layers = tiny_model.model.vision_model.encoder.layers[:0]
    tiny_model.model.aggregator.blocks = tiny_model.model.aggregator.blocks[:1]
    tiny_model.model.vision_model.encoder.layers.append(KeepTokens())
    changed = clip.clone()
    changed[:, :, 16:, :16] = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    before, after = (attend_clip(tiny_model, pixels)[1].cross_frame for pixels in (clip, changed))
    moved = (after - before).abs()[1].amax(dim=0)
    assert moved[1, 0] > 1e-3
    moved[1, 0] = 0
    assert moved.max() < 1e-5


class KeepTokens(torch.nn.Module):
    def forward(self, hidden_states, attention_mask):
        return hidden_states


def test_watching_changes_nothing_and_leaves_nothing_behind(tiny_model, clip):
    with torch.no_grad():
        plain = tiny_model(clip.unsqueeze(0)).logits
        watched = attend_clip(tiny_model, clip)[0].logits
    assert torch.equal(plain, watched)
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in tiny_model.model.aggregator.modules()
    )
