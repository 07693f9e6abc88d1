"""`adaptsign prepare`: resize a benchmark once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from adaptsign_hf.cli.options import BenchmarkArgument, QuietOption, SourceArgument, StrictOption


def prepare(
    name: BenchmarkArgument,
    source: SourceArgument,
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write to: empty, or that of a run to go on with.")
    ],
    format: Annotated[
        Literal["parquet", "folder"],
        typer.Option(help="parquet: shards; folder: a folder of images a clip, beside metadata.csv."),
    ] = "parquet",
    size: Annotated[int, typer.Option(min=1, help="Side of a frame, in pixels.")] = 256,
    lossless: Annotated[bool, typer.Option("--lossless", help="PNG instead of JPEG: several times as large.")] = False,
    num_workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode, resize and encode; one a core by default.")
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="REPO", help="Upload OUT as this dataset (user/name), private, if its licence allows."),
    ] = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """
    Resize a benchmark, or a folder of your own, once; train from OUT with `--dataset prepared --data_dir OUT`.

    A run that was stopped goes on where it was when it is started again.
    """
    from adaptsign_hf.data.prepared.preparing import prepare_benchmark

    if push_to_hub is not None:
        from adaptsign_hf.data.prepared.publishing import CARD, check_destination, check_redistribution, push_prepared

        check_redistribution(name, source)
        check_destination(push_to_hub)
    prepared = prepare_benchmark(name, source, output, size, format, lossless, num_workers, strict=strict, quiet=quiet)
    counts = ", ".join(f"{count} {split}" for split, count in prepared.clips.items())
    typer.echo(f"{output}: {counts} clips; {len(prepared.left_out)} left out")
    if push_to_hub is not None:
        from adaptsign_hf.hub.cards import render_dataset_card

        if not (output / CARD).exists():  # one that somebody wrote knows more
            render_dataset_card(push_to_hub, output).save(output / CARD)
        typer.echo(push_prepared(output, push_to_hub))
