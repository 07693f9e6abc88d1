"""Options that several commands share."""

from typing import Annotated

import typer

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A trained model: a directory, or a name on the Hub.")
]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps, ...; this machine's accelerator by default.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Hide progress bars.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Make a clip that cannot be read an error.")]


def silence_loading() -> None:
    """Hide transformers' own progress bars, which are about files of weights, not about videos."""
    from transformers.utils import logging

    logging.disable_progress_bar()
