"""`adaptsign evaluate`: score a model on a folder of labelled videos."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from adaptsign_hf.cli.options import DeviceOption, ModelArgument, QuietOption, StrictOption, silence_loading
from adaptsign_hf.metrics.gloss_wer.protocols import Protocol

if TYPE_CHECKING:
    from adaptsign_hf.inference.evaluation import Evaluation

NUM_CONFUSIONS = 10
# As processing_adaptsign has it, whose import would make `--help` wait for torch.
Decoder = Literal["greedy", "beam", "language_model"]


def evaluate(
    model: ModelArgument,
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder of videos beside metadata.csv, or a copy of a benchmark.")
    ],
    dataset: Annotated[
        str, typer.Option(help="What DATA is: folder, prepared, or a benchmark, as in `doctor`.")
    ] = "folder",
    split: Annotated[str, typer.Option(help="Which clips.")] = "test",
    hypotheses: Annotated[
        Path | None, typer.Option(help="Write each clip's reference and hypothesis to this CSV file.")
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="Score glosses as they are, or cleaned up as is usual for results on one of these benchmarks."
        ),
    ] = "raw",
    collapse_repeats: Annotated[
        bool, typer.Option("--collapse-repeats", help="Score equal neighbours in a hypothesis as one gloss.")
    ] = False,
    ctm: Annotated[Path | None, typer.Option(help="Write the hypotheses, as scored, to this file for sclite.")] = None,
    stm: Annotated[Path | None, typer.Option(help="Write the references, as scored, to this file for sclite.")] = None,
    breakdown: Annotated[
        Path | None,
        typer.Option(help="Write errors by gloss, frequency, signer and length to this folder: CSV and a picture."),
    ] = None,
    decoder: Annotated[
        Decoder | None, typer.Option(help="How logits become glosses; by default as the model's processor is set.")
    ] = None,
    num_beams: Annotated[int | None, typer.Option(min=1, help="Sequences that a search keeps.")] = None,
    language_model: Annotated[
        Path | None, typer.Option(help="Decode with this language model, as `adaptsign lm train` writes it.")
    ] = None,
    language_model_weight: Annotated[float | None, typer.Option(help="Weight of the language model.")] = None,
    gloss_bonus: Annotated[float | None, typer.Option(help="With a language model: for each gloss.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips read at once; the result is the same.")] = 1,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that decode videos, beside this one.")] = 0,
    device: DeviceOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """
    Print the word error rate of MODEL on DATA, with substitutions, deletions, insertions and clip count.

    Below it stand the confusions that cost most.
    """
    from adaptsign_hf.inference.evaluation import evaluate_data
    from adaptsign_hf.inference.loading import load_model
    from adaptsign_hf.metrics.confusions import most_costly_confusions
    from adaptsign_hf.metrics.sclite_files import write_ctm, write_stm

    for path in (hypotheses, ctm, stm):
        if path and not path.parent.is_dir():
            raise ValueError(f"Writing {path}: there is no folder {path.parent}.")
    silence_loading()
    network, processor = load_model(model, device)
    processor.configure_decoding(decoder, num_beams, language_model, language_model_weight, gloss_bonus)
    evaluation = evaluate_data(
        network, processor, data, split, batch_size, num_workers, strict, quiet, protocol, collapse_repeats, dataset
    )
    label = split
    if protocol != "raw":
        label += f", protocol {protocol}"
    if collapse_repeats:
        label += ", repeats collapsed"
    if processor.decoder != "greedy":
        label += f", decoder {processor.decoder}"
    unreadable = f"; {len(evaluation.unreadable)} clips unreadable: deletions" if evaluation.unreadable else ""
    left_out = f"; {len(evaluation.left_out)} clips left out" if evaluation.left_out else ""
    typer.echo(f"{label}: {evaluation.errors}{unreadable}{left_out}")
    references, read = evaluation.scored_references, evaluation.scored_hypotheses
    for confusion in most_costly_confusions(references, read, NUM_CONFUSIONS):
        typer.echo(f"  {confusion}")
    names = [clip.name for clip in evaluation.clips]
    if hypotheses:
        write_hypotheses(hypotheses, evaluation)
    if breakdown:
        write_tables_and_picture(breakdown, evaluation, processor.video_processor.fps, label)
    if ctm:
        write_ctm(ctm, names, read)
    if stm:
        write_stm(stm, names, references, [clip.signer for clip in evaluation.clips])


def write_tables_and_picture(folder: Path, evaluation: "Evaluation", fps: float | None, title: str) -> None:
    """Write where the model fails: four tables and `breakdown.png`."""
    from adaptsign_hf.inference.evaluation import break_down_evaluation
    from adaptsign_hf.metrics.breakdown import write_breakdown
    from adaptsign_hf.visualization.breakdown import draw_breakdown

    tables = break_down_evaluation(evaluation, fps)
    write_breakdown(tables, folder)
    draw_breakdown(tables, folder / "breakdown.png", title)


def write_hypotheses(path: Path, evaluation: "Evaluation") -> None:
    """Write one row a clip: `file_name,reference,hypothesis`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "reference", "hypothesis"])
        for clip, hypothesis in zip(evaluation.clips, evaluation.hypotheses, strict=True):
            writer.writerow([clip.name, " ".join(clip.glosses), hypothesis])
