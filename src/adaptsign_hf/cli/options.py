"""Options that several commands share."""

from typing import Annotated

import typer

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A trained model: a directory, or a name on the Hub.")
]
BenchmarkArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="phoenix2014, phoenix2014-si5, phoenix2014-t, csl-daily, csl, csl-split2, ce-csl, folder, prepared.",
    ),
]
SourceArgument = Annotated[str, typer.Argument(metavar="SRC", help="The copy: a folder.")]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps, ...; this machine's accelerator by default.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Hide progress bars.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Make a clip that cannot be read an error.")]


def silence_loading() -> None:
    """Hide transformers' own progress bars, which are about files of weights, not about videos."""
    from transformers.utils import logging

    logging.disable_progress_bar()
