"""The command line: results on stdout, talk on stderr; exit status 0, 1 for what went wrong, 2 for wrong usage."""

import logging
import sys
import warnings
from typing import Annotated

import typer

from adaptsign_hf.cli import (
    convert,
    doctor,
    environment,
    evaluate,
    explain,
    language_model,
    predict,
    prepare,
    push,
    synthesize,
)
from adaptsign_hf.version import __version__

app = typer.Typer(
    name="adaptsign",
    help="Read continuous signing: video in, glosses out. Training is `accelerate launch train.py --help`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("explain")(explain.explain)
app.command("doctor")(doctor.doctor)
app.command("prepare")(prepare.prepare)
app.command("convert")(convert.convert)
app.command("push")(push.push)
app.add_typer(language_model.app, name="lm")
app.command("synthesize")(synthesize.synthesize)
app.command("env")(environment.env)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    warnings.showwarning = lambda message, *_: typer.echo(f"warning: {message}", err=True)


def main() -> None:
    """Run the command; a mistake of the user's ends with one line and exit status 1."""
    try:
        app()
    except (ValueError, OSError) as error:
        logging.getLogger(__name__).debug("the mistake in full", exc_info=True)
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
