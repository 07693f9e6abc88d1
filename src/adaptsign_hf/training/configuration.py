"""Everything that a training run can be told: one dataclass a concern, read from a YAML file and flags."""

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser

from adaptsign_hf.data.augmentation import AugmentationConfig


def _option(default: Any, help: str) -> Any:
    """Declare a field with its default and its one line of `--help`."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class DataConfig:
    """Which videos are read, and how; `help` of each field says what it is."""

    dataset: str = _option("folder", "What data_dir is: folder, prepared, or a benchmark (`adaptsign doctor --help`).")
    data_dir: str = _option("data", "Folder of videos with metadata.csv: file_name,gloss[,signer,split]; or the copy.")
    vocabulary: str = _option("train", "Glosses of train alone, or of all splits, as the authors' weights have them.")
    train_split: str = _option("train", "Split to train on; the vocabulary comes from it.")
    dev_split: str | None = _option("dev", "Split scored after each epoch, to keep the best model; null: the last.")
    test_splits: list[str] = _option(["test"], "Splits scored at the end with the best model.")
    fps: float | None = _option(None, "Frames a second to which videos are resampled; null keeps them as they are.")
    cache_frames: bool = _option(False, "Decode all clips once and keep them in memory (small corpora).")
    num_workers: int = _option(0, "Processes that decode videos, beside each training process.")
    strict: bool = _option(False, "Make a clip that cannot be used an error, instead of leaving it out.")
    render_synthetic: bool = _option(False, "Render the synthetic corpus into data_dir if there is no corpus yet.")
    synthetic_train_clips: int = _option(400, "Training sentences of the synthetic corpus.")

    def __post_init__(self):
        if self.vocabulary not in ("train", "all"):
            raise ValueError(f"vocabulary is {self.vocabulary!r}: expected train or all.")


@dataclass(frozen=True)
class ModelConfig:
    """Where the network starts from, and its sizes; the defaults are the paper's."""

    clip: str | None = _option(None, "CLIP checkpoint to start from: a directory or a name on the Hub.")
    pretrained: str | None = _option(None, "AdaptSign model to go on from; the sizes below are then its own.")
    image_size: int = _option(224, "Side of a frame in pixels, of a random CLIP (neither clip nor pretrained given).")
    patch_size: int = _option(16, "Side of a patch in pixels, of a random CLIP.")
    vision_width: int = _option(768, "Width of a random CLIP.")
    vision_layers: int = _option(12, "Layers of a random CLIP.")
    vision_heads: int = _option(12, "Attention heads of a random CLIP.")
    feature_size: int = _option(512, "Size of a frame's feature, of a random CLIP.")
    position_std: float = _option(0.02, "Spread of the position embeddings of a random CLIP.")
    adapter: str = _option("adaptsign", "What is trained inside CLIP: adaptsign, or lora (PEFT's), to compare with.")
    adapter_reduction: int = _option(4, "Width of CLIP over the width of an adapter's bottleneck.")
    lora_rank: int = _option(16, "Rank of the matrices of LoRA (lora).")
    num_prefix_tokens: int = _option(8, "Learnable rows beside each layer's keys and values.")
    freeze_query_and_first_prefixes: bool = _option(False, "Leave them as drawn: two faults of the released training.")
    hidden_size: int = _option(1024, "Channels of the convolutions and of the BiLSTM.")
    lstm_dropout: float = _option(0.3, "Dropout between the layers of the BiLSTM.")
    distillation_loss_weight: float = _option(25.0, "Weight of the distillation between the two heads.")


@dataclass(frozen=True)
class OptimizationConfig:
    """How the weights are learnt; the defaults are the paper's."""

    epochs: int = _option(40, "Passes over the training clips.")
    batch_size: int = _option(2, "Clips a step and process.")
    gradient_accumulation_steps: int = _option(1, "Batches whose gradients are added up before a step.")
    learning_rate: float = _option(1e-4, "Greatest learning rate of Adam.")
    weight_decay: float = _option(1e-4, "Weight decay of Adam.")
    schedule: str = _option("step", "step: lower the rate at decay_epochs; cosine: warm up, then fall to zero.")
    decay_epochs: list[int] = _option([20, 30], "Epochs at which the rate is lowered (step).")
    decay_factor: float = _option(0.2, "What the rate is multiplied by then (step).")
    warmup_fraction: float = _option(0.05, "Part of all steps in which the rate rises from zero (cosine).")
    max_gradient_norm: float | None = _option(None, "Longer gradients are shortened to this; null leaves them.")
    mixed_precision: str = _option("no", "no, bf16 or fp16.")
    activation_checkpointing: bool = _option(False, "Recompute CLIP's activations instead of storing them.")

    def __post_init__(self):
        if self.schedule not in ("step", "cosine"):
            raise ValueError(f"schedule is {self.schedule!r}: expected step or cosine.")
        if self.mixed_precision not in ("no", "bf16", "fp16"):
            raise ValueError(f"mixed_precision is {self.mixed_precision!r}: expected no, bf16 or fp16.")
        for name in ("epochs", "batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1.")


@dataclass(frozen=True)
class RunConfig:
    """Where a run is kept, and how it is watched."""

    output_dir: str = _option("runs/adaptsign", "Folder for model/, report.json and checkpoints/.")
    seed: int = _option(0, "Seed of everything random.")
    overwrite_output_dir: bool = _option(False, "Train into a folder that already holds a model.")
    resume_from_checkpoint: bool = _option(False, "Go on from the checkpoint in output_dir.")
    checkpointing_steps: int | None = _option(None, "Steps between checkpoints; null keeps one after each epoch.")
    with_tracking: bool = _option(False, "Log to a tracker.")
    report_to: str = _option("tensorboard", "Which tracker: tensorboard, wandb, ... or all.")
    quiet: bool = _option(False, "Hide progress bars.")


@dataclass(frozen=True)
class TrainingConfig:
    """A complete recipe."""

    data: DataConfig
    augmentation: AugmentationConfig
    model: ModelConfig
    optimization: OptimizationConfig
    run: RunConfig


SECTIONS: tuple[Any, ...] = (DataConfig, AugmentationConfig, ModelConfig, OptimizationConfig, RunConfig)


def parse_training_config(arguments: Sequence[str] | None = None) -> TrainingConfig:
    """
    Read a recipe from `--config FILE.yaml`, where given, and flags, which win.

    Args:
        arguments: Command-line arguments; those of this process by default.

    Raises:
        ValueError: If the file is missing, is not a table of fields, or has an unknown field.
        SystemExit: For wrong flags and `--help`, as argparse does.
    """
    parser = HfArgumentParser(list(SECTIONS), description="Train AdaptSign.", allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE.yaml", help="A complete recipe; flags override its fields.")
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    known.add_argument("--config")
    path = known.parse_known_args(arguments)[0].config
    if path:
        parser.set_defaults(**read_recipe(path))
    *sections, _, unknown = parser.parse_args_into_dataclasses(
        arguments, return_remaining_strings=True, look_for_args_file=False
    )
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return TrainingConfig(*sections)


def read_recipe(path: str | Path) -> dict:
    """
    Read the fields of a YAML recipe.

    Raises:
        ValueError: If the file is missing, is not a table of fields, has an unknown field or a value of a wrong type.
    """
    if not Path(path).is_file():
        raise ValueError(f"Reading the recipe {path}: there is no such file.")
    try:
        recipe = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"Reading the recipe {path}: it is no YAML: {error}") from error
    if not isinstance(recipe, dict):
        raise ValueError(f"Reading the recipe {path}: expected lines such as 'epochs: 40', found {recipe!r}.")
    types = {name: type_ for section in SECTIONS for name, type_ in get_type_hints(section).items()}
    for name, value in recipe.items():
        if name not in types:
            close = difflib.get_close_matches(str(name), types, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(f"Reading the recipe {path}: there is no field {name!r}.{hint}")
        try:
            recipe[name] = _convert(value, types[name])
        except (TypeError, ValueError) as error:
            expected = types[name].__name__ if isinstance(types[name], type) else types[name]
            raise ValueError(f"Reading the recipe {path}: {name} is {value!r}: expected {expected}.") from error
    return recipe


def _convert(value: Any, type_: Any) -> Any:
    """Return a YAML value as the type of its field, or raise."""
    if get_origin(type_) is list:
        if not isinstance(value, list):
            raise TypeError
        return [_convert(item, get_args(type_)[0]) for item in value]
    if get_origin(type_) is UnionType:  # X | None
        return None if value is None else _convert(value, get_args(type_)[0])
    if type_ is float and not isinstance(value, bool):
        return float(value)  # YAML 1.1 reads 1e-4, without a point, as text
    if type(value) is not type_:
        raise TypeError
    return value
