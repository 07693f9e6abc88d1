"""Starting an AdaptSign network from a CLIP checkpoint."""

from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionModelWithProjection

from .configuration_adaptsign import AdaptSignConfig

PROJECTION = "visual_projection.weight"


class ClipImageEncoder(CLIPVisionModelWithProjection):
    """CLIP's image encoder, read without a word about the text encoder that a full checkpoint holds too."""

    _keys_to_ignore_on_load_unexpected = [r"^text_", r"^logit_scale$"]  # noqa: RUF012 - transformers' own form


def start_from_clip(model_class: type, name_or_path: str | Path, config: AdaptSignConfig | None, fields: dict) -> Any:
    """
    Build a `model_class` around the image encoder of a CLIP checkpoint; see `AdaptSignForCTC.from_clip`.

    Args:
        model_class: `AdaptSignForCTC`.
        name_or_path: A directory or a name on the Hub.
        config: Sizes of the rest, or None.
        fields: Fields of `AdaptSignConfig` instead of a `config`.

    Raises:
        ValueError: If both `config` and `fields` are given, or the checkpoint has no CLIP image encoder.
    """
    if config is not None and fields:
        raise ValueError(f"from_clip got a config and the fields {sorted(fields)}: give one or the other.")
    loaded: Any = ClipImageEncoder.from_pretrained(
        name_or_path, output_loading_info=True, ignore_mismatched_sizes=True
    )
    clip, info = loaded
    absent = set(info["missing_keys"]) - {PROJECTION} | {name for name, *_ in info["mismatched_keys"]}
    if absent:
        raise ValueError(
            f"{name_or_path} is not a CLIP checkpoint with an image encoder: {len(absent)} of its tensors are "
            f"missing or of another size than its configuration says, such as {min(absent)}."
        )
    vision_config = clip.config.to_dict()
    config = AdaptSignConfig(**fields) if config is None else config
    config = AdaptSignConfig(**{**config.to_diff_dict(), "vision_config": vision_config})
    model = model_class(config)
    copy_clip_weights(clip, model, with_projection=PROJECTION not in info["missing_keys"])
    return model


@torch.no_grad()
def copy_clip_weights(clip: CLIPVisionModelWithProjection, model: Any, with_projection: bool) -> None:
    """Copy CLIP's image encoder into the frozen part, and its last two steps into their trained counterparts."""
    vision_model, aggregator = model.base_model.vision_model, model.base_model.aggregator
    targets = {name.replace(".base_layer.", "."): value for name, value in vision_model.state_dict().items()}
    for name, value in clip.vision_model.state_dict().items():
        targets[name].copy_(value)
    aggregator.class_norm.load_state_dict(clip.vision_model.post_layernorm.state_dict())
    if with_projection:
        aggregator.projection.weight.copy_(clip.visual_projection.weight)


__all__ = ["start_from_clip"]
