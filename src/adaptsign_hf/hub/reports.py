"""The report of a training run: what of it may be published, and what the run was trained on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaptsign_hf.data.benchmarks.catalogue import BENCHMARKS
from adaptsign_hf.data.prepared.layout import read_settings

NUMBERS = ("scores", "seconds", "parameters", "clips", "processes", "history")
TEXTS = ("protocol", "decoder", "device", "versions")
# Texts of a recipe that say nothing of a machine or its user. All others, such as paths, stay at home.
RECIPE_TEXTS = (
    "dataset",
    "vocabulary",
    "train_split",
    "dev_split",
    "test_splits",
    "adapter",
    "schedule",
    "decay_epochs",
    "mixed_precision",
)
SCORE = ("wer", "substitutions", "deletions", "insertions", "reference_glosses", "clips")
SYNTHETIC = "adaptsign-synthetic"


@dataclass(frozen=True)
class TrainingData:
    """
    What a run was trained on.

    Attributes:
        name: Of the benchmark; `folder` or `prepared` where no more is known.
        title: In words, to stand in a sentence.
        terms: Why it must not be passed on; empty where nothing is known against it.
    """

    name: str
    title: str
    terms: str = ""


def read_report(path: str | Path) -> dict:
    """
    Read the `report.json` of a run.

    Raises:
        ValueError: If there is no such file, or it is no report of a run.
    """
    doing = f"Reading the report {path}"
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{doing}: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{doing}: it is no JSON ({error}).") from error
    if not isinstance(report, dict) or not all(isinstance(report.get(key), dict) for key in ("scores", "recipe")):
        raise ValueError(f"{doing}: expected what a training run writes, with the tables scores and recipe.")
    for split, score in report["scores"].items():
        missing = [key for key in SCORE if not isinstance(score, dict) or key not in score]
        if missing:
            raise ValueError(f"{doing}: the score of the split {split!r} lacks {missing[0]}.")
    return report


def published_part(report: dict) -> dict:
    """
    Return what of a report may be read by everybody: numbers, and the few texts that are named here.

    Paths, which tell of the user's machine, and the names of clips that were left out are not in it.
    """
    part: dict[str, Any] = {key: only_numbers(report[key]) for key in NUMBERS if key in report}
    part |= {key: report[key] for key in TEXTS if key in report}
    if "left_out" in report:
        part["left_out"] = len(report["left_out"])
    recipe = report["recipe"]
    part["recipe"] = only_numbers(recipe) | {key: recipe[key] for key in RECIPE_TEXTS if key in recipe}
    return part


def only_numbers(value: Any) -> Any:
    """Return tables and lists without their texts; keys stay."""
    if isinstance(value, dict):
        return {key: only_numbers(item) for key, item in value.items() if not isinstance(item, str)}
    if isinstance(value, list):
        return [only_numbers(item) for item in value if not isinstance(item, str)]
    return value


def find_training_data(report: dict) -> TrainingData:
    """
    Tell what a run was trained on, from its recipe and, where they are still there, from the marks of its folder.

    Args:
        report: The whole report: the published part has no paths.
    """
    name = report["recipe"].get("dataset", "folder")  # the only kind there was before reports told
    folder = Path(report["recipe"].get("data_dir") or "")
    if name == "prepared" and (settings := read_settings(folder)) is not None:
        name = settings.benchmark
    if name == "folder" and is_synthetic(folder):
        return TrainingData(SYNTHETIC, "the synthetic corpus of adaptsign_hf (rendered figures, invented signs)")
    if name not in BENCHMARKS:
        raise ValueError(f"The report names the benchmark {name!r}: expected one of {', '.join(BENCHMARKS)}.")
    return TrainingData(name, BENCHMARKS[name].title, BENCHMARKS[name].redistribution)


def is_synthetic(folder: Path) -> bool:
    """Whether a folder is one that `adaptsign synthesize` rendered."""
    try:
        return "renderer_version" in json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
