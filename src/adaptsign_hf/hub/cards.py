"""Cards of models and datasets, filled from what was measured, and from nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData

from adaptsign_hf.data.benchmarks.catalogue import BENCHMARKS, read_benchmark
from adaptsign_hf.data.folder import Clip
from adaptsign_hf.data.prepared.layout import read_settings
from adaptsign_hf.hub.reports import TrainingData
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig

TEMPLATES = Path(__file__).parent / "templates"  # a link to hub_cards/, as modeling is one to modeling/
TAGS = ["sign-language-recognition", "adaptsign"]
TASK = "video-classification"  # the Hub has no task that is closer
# What is signed in the benchmarks, as ISO 639-3 has it.
SIGN_LANGUAGES = {
    "phoenix2014": "gsg",
    "phoenix2014-si5": "gsg",
    "phoenix2014-t": "gsg",
    "csl-daily": "csl",
    "csl": "csl",
    "csl-split2": "csl",
    "ce-csl": "csl",
}


@dataclass(frozen=True)
class Declaration:
    """
    What the publisher of a model says of it, and no file tells.

    Attributes:
        license: As the Hub names it, such as `cc-by-nc-4.0`; None leaves it open.
        language: ISO 639-3 code of the sign language, such as `gsg`; None for that of the benchmark.
        datasets: On the Hub, that it was trained on.
        base_model: On the Hub, that it started from, or belongs to; None for what its files say.
    """

    license: str | None = None
    language: str | None = None
    datasets: Sequence[str] = ()
    base_model: str | None = None


def render_model_card(
    repo_id: str,
    config: AdaptSignConfig,
    fps: float | None,
    declaration: Declaration,
    is_adapter: bool = False,
    report: dict | None = None,
    data: TrainingData | None = None,
    random_clip: bool = False,
) -> ModelCard:
    """
    Fill the card of a model.

    Args:
        repo_id: `user/name`.
        config: Of the model.
        fps: Frames a second at which it reads videos; None if as they are.
        declaration: What the publisher says.
        is_adapter: Whether the repository holds no CLIP.
        report: The published part of the run's report; without it, or without scores in it, the card has none.
        data: What the run was trained on.
        random_clip: Whether it started from a CLIP that nobody trained.
    """
    report = report or {}
    name = repo_id.partition("/")[2] or repo_id
    results = evaluation_results(report, data, declaration.datasets)
    metadata = ModelCardData(
        license=declaration.license,
        library_name="peft" if is_adapter else "transformers",
        base_model=declaration.base_model,
        base_model_relation="adapter" if is_adapter and declaration.base_model else None,
        pipeline_tag=TASK,
        language=declaration.language or (SIGN_LANGUAGES.get(data.name) if data else None),
        datasets=list(declaration.datasets) or None,
        metrics=["wer"],
        tags=TAGS,
        model_name=name if results else None,  # of the model-index
        eval_results=results or None,
    )
    template = "adapter.md" if is_adapter else "model.md"
    return ModelCard.from_template(
        metadata,
        template_str=read_template(template) + read_template("measured_and_meant.md"),
        repo_id=repo_id,
        name=name,
        num_glosses=config.vocab_size - 1,
        image_size=config.vision.image_size,
        fps=fps,
        random_clip=random_clip,
        report=report,
        recipe=report.get("recipe", {}),
        scores=report.get("scores", {}),
        data_title=data.title if data else "",
        data_terms=data.terms if data else "",
    )


def evaluation_results(report: dict, data: TrainingData | None, datasets: Sequence[str]) -> list[EvalResult]:
    """
    Return the scores of a report in the form of the Hub's `model-index`, the numbers as they stand in the report.

    Args:
        report: The published part of a report, or an empty table.
        data: What was scored.
        datasets: The Hub's names of it. Of several, nobody knows which is meant.
    """
    if data is None:
        return []
    circumstances = {key: report[key] for key in ("protocol", "decoder") if key in report}
    return [
        EvalResult(
            task_type=TASK,
            task_name="Continuous sign language recognition",
            dataset_type=datasets[0] if len(datasets) == 1 else data.name,
            dataset_name=data.title,
            dataset_split=split,
            metric_type="wer",
            metric_name="Word error rate over glosses, as a fraction",
            metric_value=score["wer"],
            metric_args=circumstances | {key: number for key, number in score.items() if key != "wer"},
        )
        for split, score in report.get("scores", {}).items()
    ]


def render_dataset_card(
    repo_id: str, folder: str | Path, license: str | None = None, language: str | None = None
) -> DatasetCard:
    """
    Fill the card of a folder that `adaptsign prepare` wrote, with what is counted in it.

    Args:
        repo_id: `user/name`.
        folder: The prepared folder.
        license: As the Hub names it; None leaves it open.
        language: ISO 639-3 code of the sign language.

    Raises:
        ValueError: If the folder is not a prepared one, or its preparation has not ended.
    """
    settings = read_settings(Path(folder))
    if settings is None:
        raise ValueError(f"Writing the card of {folder}: this is no folder that `adaptsign prepare` wrote.")
    clips, left_out = read_benchmark("prepared", folder)
    name = repo_id.partition("/")[2] or repo_id
    metadata = DatasetCardData(
        license=license,
        language=language or SIGN_LANGUAGES.get(settings.benchmark),
        task_categories=[TASK],
        pretty_name=name,
        tags=TAGS,
    )
    return DatasetCard.from_template(
        metadata,
        template_str=read_template("dataset.md"),
        repo_id=repo_id,
        name=name,
        title=BENCHMARKS[settings.benchmark].title,
        size=settings.size,
        lossless=settings.lossless,
        splits=[count_split(split, clips) for split in dict.fromkeys(clip.split for clip in clips)],
        left_out=len(left_out),
    )


def count_split(split: str, clips: Sequence[Clip]) -> dict:
    """Count clips, glosses and signers of a split."""
    own = [clip for clip in clips if clip.split == split]
    return {
        "split": split,
        "clips": len(own),
        "glosses": sum(len(clip.glosses) for clip in own),
        "vocabulary": len({gloss for clip in own for gloss in clip.glosses}),
        "signers": len({clip.signer for clip in own if clip.signer}),
    }


def read_template(name: str) -> str:
    """Return a template of `hub_cards/`."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
