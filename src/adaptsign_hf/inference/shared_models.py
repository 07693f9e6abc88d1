"""Several models at once; adapters of the same CLIP have it once in memory."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import CLIPVisionModel

from adaptsign_hf.inference.loading import default_device, load_model
from adaptsign_hf.modeling.adapters_adaptsign import find_adapter, named_clip
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor


def parse_models(text: str) -> dict[str, str]:
    """
    Read a list of models from an environment variable or a command line.

    Args:
        text: `name=path`, several separated by commas. A path alone is its own name.

    Returns:
        Names to paths, in order.

    Raises:
        ValueError: If a name or a path is empty, a name comes twice, or there is none.
    """
    models: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, separator, path = entry.partition("=")
        name, path = name.strip(), path.strip() if separator else name.strip()
        if not name or not path:
            raise ValueError(f"Reading the list of models {text!r}: {entry!r} is not name=path.")
        if name in models:
            raise ValueError(f"Reading the list of models {text!r}: the name {name!r} comes twice.")
        models[name] = path
    if not models:
        raise ValueError(f"Reading the list of models {text!r}: there is none in it. Give name=path,name=path.")
    return models


def load_models(
    models: Mapping[str, str | Path], device: str | torch.device | None = None
) -> dict[str, tuple[AdaptSignForCTC, AdaptSignProcessor]]:
    """
    Load models; of adapters that name the same CLIP, the later ones compute with the tensors of the first one's.

    Args:
        models: Names to directories or names on the Hub; full checkpoints or adapters, in any mixture.
        device: Where to put them; the machine's accelerator by default.

    Returns:
        Names to models, ready to recognise, with their processors, in the same order.

    Raises:
        ValueError: As `load_model`, or if adapters do not belong to the CLIP that they name.
    """
    device = device or default_device()
    clips: dict[str, CLIPVisionModel] = {}
    loaded = {}
    for name, path in models.items():
        clip = shared_clip_name(path)
        if clip is not None and clip in clips:
            model = AdaptSignForCTC.from_pretrained(path, clip=clips[clip]).eval()
            loaded[name] = (model, AdaptSignProcessor.from_pretrained(path))
            continue
        loaded[name] = load_model(path, device)
        if clip is not None:
            clips[clip] = loaded[name][0].model.vision_model
    return loaded


def shared_clip_name(path: str | Path) -> str | None:
    """Return the CLIP that an adapter names, a directory by its real path; None for what is no adapter alone."""
    clip = named_clip(path, {}) if find_adapter(path, {}) is not None else None
    return os.path.realpath(clip) if clip is not None and os.path.isdir(clip) else clip
