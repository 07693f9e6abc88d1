"""Loading a trained model with its processor."""

from pathlib import Path

import torch

from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor


def default_device() -> torch.device:
    """Return the machine's accelerator, or the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def load_model(
    name_or_path: str | Path, device: str | torch.device | None = None
) -> tuple[AdaptSignForCTC, AdaptSignProcessor]:
    """
    Load a trained model and its processor, ready to recognise.

    Args:
        name_or_path: A directory written by training, or a name on the Hub.
        device: Where to put the model; the machine's accelerator by default.

    Raises:
        ValueError: If a directory holds no model, or not all of its weights, or there is no such device.
    """
    folder = Path(name_or_path)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ValueError(
            f"Loading a model from {folder}: there is no config.json in it. "
            "Expected a directory that training wrote, such as runs/quickstart/model."
        )
    try:
        target = torch.empty(0, device=device or default_device()).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"Loading a model to the device {device!r}: {error}") from error
    model, report = AdaptSignForCTC.from_pretrained(name_or_path, output_loading_info=True)
    if missing := sorted(report["missing_keys"]):
        # transformers starts them at random with no more than a warning: such a model reads nonsense.
        raise ValueError(
            f"Loading a model from {name_or_path}: {len(missing)} of its weights are missing, {missing[0]} for one. "
            "It was saved by another version of this software, or is not whole: train or convert it anew."
        )
    processor = AdaptSignProcessor.from_pretrained(name_or_path)
    return model.to(target).eval(), processor
