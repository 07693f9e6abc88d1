"""Where the model looks: weights of the aggregation query and affinities of cross-frame attention, as tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from adaptsign_hf.modeling.aggregation_adaptsign import AggregationBlock, cross_frame_affinities
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignCTCOutput, AdaptSignForCTC
from adaptsign_hf.modeling.temporal_adaptsign import FRAMES_IN_FRONT, padded_sources


@dataclass(frozen=True)
class ClipAttention:
    """
    Where a model looks in a clip. Tensors are float32 and on the CPU.

    Attributes:
        query: Weight that the aggregation query gives to each patch, mean over the heads, (frames, layers, rows,
            columns) of the grid of patches.
        class_token: Weight that it gives to the class token, (frames, layers). With `query`'s it makes 1.
        cross_frame: Affinities `sigmoid(c_t·p / √D) - ½` of frame `t`'s class token to the patches `p` of the frames
            around it, (frames, 2·radius + 1, rows, columns); index `j + radius` is the frame `t + j`. Beyond the
            first and the last frame lie copies of these, as in the padded clip that the model reads.
        gate: What the model multiplies the sum of `cross_frame` times the patches by; 0 before training.
    """

    query: torch.Tensor
    class_token: torch.Tensor
    cross_frame: torch.Tensor
    gate: float

    @property
    def mean_query(self) -> torch.Tensor:
        """`query`, mean over the layers, (frames, rows, columns)."""
        return self.query.mean(dim=1)


@torch.inference_mode()
def attend_clip(model: AdaptSignForCTC, pixel_values: torch.Tensor) -> tuple[AdaptSignCTCOutput, ClipAttention]:
    """
    Recognise one clip and note where the model looks; one pass, whose output is that of an ordinary one.

    Besides what recognition needs, memory holds CLIP's last tokens of all frames: at ViT-B/16 as much as the pixels.

    Args:
        model: In evaluation mode.
        pixel_values: Normalised frames, float (frames, 3, height, width).

    Returns:
        The model's output for a batch of this one clip, and where it looked.
    """
    with recorded(model) as recording:
        output = model(pixel_values.unsqueeze(0).to(model.device))
    return output, recording.finish(model)


@dataclass
class Recording:
    """What hooks note while a model reads a clip, chunk by chunk."""

    weights: list[list[torch.Tensor]]  # of each layer, of each chunk: (frames, tokens)
    tokens: list[torch.Tensor] = field(default_factory=list)  # of each chunk: (frames, 1 + patches, width), normalised

    def finish(self, model: AdaptSignForCTC) -> ClipAttention:
        """Put the chunks together."""
        aggregator: Any = model.base_model.aggregator
        vision, radius = model.config.vision, model.config.cross_frame_radius
        assert isinstance(vision.image_size, int)
        assert isinstance(vision.patch_size, int)
        grid = (vision.image_size // vision.patch_size,) * 2
        weights = torch.stack([torch.cat(chunks) for chunks in self.weights], dim=1)
        tokens = torch.cat(self.tokens)
        return ClipAttention(
            query=weights[:, :, 1:].unflatten(-1, grid),
            class_token=weights[:, :, 0],
            cross_frame=affinities_of_frames(tokens, radius).unflatten(-1, grid).float().cpu(),
            gate=aggregator.cross_frame_gate.item(),
        )


@contextmanager
def recorded(model: AdaptSignForCTC) -> Iterator[Recording]:
    """Note what passes through the aggregation of a model, as long as the context lasts."""
    aggregator: Any = model.base_model.aggregator
    recording = Recording(weights=[[] for _ in aggregator.blocks])

    def note_weights(block: AggregationBlock, arguments: tuple[torch.Tensor, torch.Tensor], layer: int) -> None:
        query, tokens = arguments
        weights = block.attention_weights(block.layer_norm1(query), block.layer_norm1(tokens))
        recording.weights[layer].append(weights.mean(dim=1).cpu())

    def note_tokens(norm: nn.Module, arguments: tuple[torch.Tensor], tokens: torch.Tensor) -> None:
        recording.tokens.append(tokens)

    hooks = [aggregator.cross_frame_norm.register_forward_hook(note_tokens)]
    for layer, block in enumerate(aggregator.blocks):
        hooks.append(
            block.register_forward_pre_hook(
                lambda block, arguments, layer=layer: note_weights(block, arguments, layer),
            )
        )
    try:
        yield recording
    finally:
        for hook in hooks:
            hook.remove()


def affinities_of_frames(tokens: torch.Tensor, radius: int) -> torch.Tensor:
    """
    Compute what each frame's class token takes of the patches of the frames around it.

    Args:
        tokens: Of one clip's true frames, normalised, (frames, 1 + patches, width), the class token first.
        radius: Neighbouring frames on each side.

    Returns:
        (frames, 2·radius + 1, patches), zero outside the padded clip.
    """
    num_frames = len(tokens)
    sources = nn.functional.pad(padded_sources([num_frames])[0], (radius, radius), value=-1)
    neighbours = sources.unfold(0, 2 * radius + 1, 1)[FRAMES_IN_FRONT : FRAMES_IN_FRONT + num_frames]
    affinities = tokens.new_zeros(num_frames, 2 * radius + 1, tokens.shape[1] - 1)
    for offset, indices in enumerate(neighbours.T.to(tokens.device)):
        class_tokens, patches = tokens[:, :1], tokens[indices.clamp(min=0), 1:]
        taken = cross_frame_affinities(class_tokens, patches)[:, 0]
        affinities[:, offset] = taken.masked_fill(indices[:, None] < 0, 0)
    return affinities
