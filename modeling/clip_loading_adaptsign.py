"""Starting an AdaptSign network from CLIP: its weights copied from a checkpoint, or shared with a CLIP in memory."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import CLIPVisionModel, CLIPVisionModelWithProjection

from .configuration_adaptsign import AdaptSignConfig

PROJECTION = "visual_projection.weight"


class ClipImageEncoder(CLIPVisionModelWithProjection):
    """CLIP's image encoder, read without a word about the text encoder that a full checkpoint holds too."""

    _keys_to_ignore_on_load_unexpected = [r"^text_", r"^logit_scale$"]  # noqa: RUF012 - transformers' own form


def start_from_clip(model_class: type, clip: Any, config: AdaptSignConfig | None, fields: dict) -> Any:
    """
    Build a `model_class` around the image encoder of CLIP; see `AdaptSignForCTC.from_clip`.

    Args:
        model_class: `AdaptSignForCTC`.
        clip: A directory, a name on the Hub, or a `CLIPVisionModel` whose tensors are shared.
        config: Sizes of the rest, or None.
        fields: Fields of `AdaptSignConfig` instead of a `config`.

    Raises:
        ValueError: If both `config` and `fields` are given, or the checkpoint has no CLIP image encoder.
    """
    if config is not None and fields:
        raise ValueError(f"from_clip got a config and the fields {sorted(fields)}: give one or the other.")
    vision_model, projection = (clip, None) if isinstance(clip, CLIPVisionModel) else read_clip(clip)
    config = AdaptSignConfig(**fields) if config is None else config
    model = model_class(AdaptSignConfig(**{**config.to_diff_dict(), "vision_config": vision_model.config.to_dict()}))
    model.to(device=vision_model.device, dtype=vision_model.dtype)
    share_clip(model, vision_model)
    with torch.no_grad():
        model.base_model.aggregator.class_norm.load_state_dict(vision_model.post_layernorm.state_dict())
        if projection is not None:
            model.base_model.aggregator.projection.weight.copy_(projection)
    return model


def read_clip(name_or_path: str | Path) -> tuple[CLIPVisionModel, torch.Tensor | None]:
    """
    Read the image encoder and, where there is one, the projection of a CLIP checkpoint.

    Raises:
        ValueError: If the checkpoint has no CLIP image encoder.
    """
    loaded: Any = ClipImageEncoder.from_pretrained(
        name_or_path, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
    )
    clip, info = loaded
    absent = set(info["missing_keys"]) - {PROJECTION} | {name for name, *_ in info["mismatched_keys"]}
    if absent:
        raise ValueError(
            f"{name_or_path} is not a CLIP checkpoint with an image encoder: {len(absent)} of its tensors are "
            f"missing or of another size than its configuration says, such as {min(absent)}."
        )
    projection = None if PROJECTION in info["missing_keys"] else clip.visual_projection.weight
    return clip.vision_model, projection


def clip_tensors(vision_model: nn.Module) -> dict[str, nn.Parameter]:
    """Return CLIP's own parameters, by the names they have without adapters."""
    named = vision_model.named_parameters()
    return {name.replace(".base_layer.", "."): value for name, value in named if ".default" not in name}


def share_clip(model: Any, vision_model: CLIPVisionModel) -> None:
    """
    Make a model use the very parameters of a CLIP in memory, frozen, instead of its own: one backbone, many models.

    Training one of them leaves the others as they are. Moving or converting one (`.to`, `.half`) moves or converts the
    CLIP of all, and only its own other tensors: the others then refuse to compute until they follow. What a conversion
    to a lower precision rounds in CLIP stays rounded for all, also after converting back.

    Args:
        model: An `AdaptSignForCTC` or `AdaptSignModel`, with or without adapters.
        vision_model: A CLIP of the same sizes, bare or with adapters, such as `other.base_model.vision_model`.

    Raises:
        ValueError: If the sizes of the two differ.
    """
    shared, own = clip_tensors(vision_model), model.base_model.vision_model
    for name, parameter in list(own.named_parameters()):
        clip_name = name.replace(".base_layer.", ".")
        if clip_name not in shared:
            continue  # an adapter
        if shared[clip_name].shape != parameter.shape:
            raise ValueError(
                f"Sharing a CLIP: its {clip_name} has shape {tuple(shared[clip_name].shape)}, but this model's has "
                f"{tuple(parameter.shape)}: they must be of the same architecture."
            )
        module, _, leaf = name.rpartition(".")
        setattr(own.get_submodule(module), leaf, shared[clip_name].requires_grad_(False))


__all__ = ["clip_tensors", "read_clip", "share_clip", "start_from_clip"]
