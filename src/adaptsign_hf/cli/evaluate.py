"""`adaptsign evaluate`: score a model on a folder of labelled videos."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adaptsign_hf.cli.options import DeviceOption, ModelArgument, QuietOption, StrictOption, silence_loading

if TYPE_CHECKING:
    from adaptsign_hf.inference.evaluation import Evaluation


def evaluate(
    model: ModelArgument,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of videos beside metadata.csv.")],
    split: Annotated[str, typer.Option(help="Which clips.")] = "test",
    hypotheses: Annotated[
        Path | None, typer.Option(help="Write each clip's reference and hypothesis to this CSV file.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips read at once; the result is the same.")] = 1,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that decode videos, beside this one.")] = 0,
    device: DeviceOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print the word error rate of MODEL on DATA, with substitutions, deletions, insertions and clip count."""
    from adaptsign_hf.inference.evaluation import evaluate_folder
    from adaptsign_hf.inference.loading import load_model

    if hypotheses and not hypotheses.parent.is_dir():
        raise ValueError(f"Writing {hypotheses}: there is no folder {hypotheses.parent}.")
    silence_loading()
    network, processor = load_model(model, device)
    evaluation = evaluate_folder(network, processor, data, split, batch_size, num_workers, strict, quiet)
    if hypotheses:
        write_hypotheses(hypotheses, evaluation)
    left_out = f"; {len(evaluation.left_out)} clips left out" if evaluation.left_out else ""
    typer.echo(f"{split}: {evaluation.errors}{left_out}")


def write_hypotheses(path: Path, evaluation: "Evaluation") -> None:
    """Write one row a clip: `file_name,reference,hypothesis`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "reference", "hypothesis"])
        for clip, hypothesis in zip(evaluation.clips, evaluation.hypotheses, strict=True):
            writer.writerow([clip.name, " ".join(clip.glosses), hypothesis])
