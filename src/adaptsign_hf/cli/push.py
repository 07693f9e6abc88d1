"""`adaptsign push`: a model on the Hub, with a card that tells what was measured."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer


def push(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A directory that training or convert wrote, such as runs/x/model.")
    ],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Where to on the Hub: user/name.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the folder that would be pushed, and push nothing.")
    ] = False,
    output_dir: Annotated[
        Path | None, typer.Option(help="With --dry-run, the folder to write; MODEL with _hub at its end by default.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Let nobody else see the repository.")] = False,
    license: Annotated[
        str | None, typer.Option(help="Of the weights, as the Hub names it: cc-by-nc-4.0, ...; open by default.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Code of the sign language: gsg, csl, ase, ...; a benchmark's by default.")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Dataset on the Hub that it was trained on; may be given again.")
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(help="CLIP on the Hub that it started from, where the run had a folder of it.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Report of its training run; report.json beside MODEL by default.")
    ] = None,
) -> None:
    """
    Push MODEL to the Hub, with the code that loads it and a card of what its run measured.

    No checkpoints, videos, names of signers or clips, and no paths of this machine go along.
    """
    if output_dir is not None and not dry_run:
        raise typer.BadParameter("it goes with --dry-run.", param_hint="--output-dir")

    from adaptsign_hf.data.prepared.publishing import check_destination
    from adaptsign_hf.hub.cards import Declaration
    from adaptsign_hf.hub.publishing import push_model, stage_model

    declaration = Declaration(license, language, dataset or (), base_model)
    if dry_run:
        folder = output_dir or model.with_name(f"{model.resolve().name}_hub")
        stage_model(model, folder, repo, declaration, report)
        typer.echo(f"{folder}: what would be pushed to {repo}")
        list_files(folder)
        return
    check_destination(repo)
    with tempfile.TemporaryDirectory() as temporary:
        folder = stage_model(model, temporary, repo, declaration, report)
        list_files(folder)
        typer.echo(push_model(folder, repo, private))


def list_files(folder: Path) -> None:
    """Print each file with its size in bytes."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        typer.echo(f"{path.stat().st_size:>14,}  {path.relative_to(folder)}")
