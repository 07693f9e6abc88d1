"""`adaptsign doctor`: check a copy of a benchmark before anything is trained on it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from adaptsign_hf.cli.options import BenchmarkArgument, QuietOption, SourceArgument

if TYPE_CHECKING:
    from adaptsign_hf.data.inspection import Finding, SplitSummary

SHOWN = 10  # clips of a kind; the JSON has all
TABLE_WIDTH = 120  # outside a terminal


def doctor(
    name: BenchmarkArgument,
    source: SourceArgument,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all findings here.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Only count frames; open no image, decode no video.")] = False,
    num_workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that open clips; one a core by default.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """
    Check a benchmark, or a folder of your own, before any training.

    Exit status 1 if something was found that makes training or scoring wrong.
    """
    from adaptsign_hf.data.inspection import inspect_benchmark

    if json_file and not json_file.parent.is_dir():
        raise ValueError(f"Writing {json_file}: there is no folder {json_file.parent}.")
    inspection = inspect_benchmark(name, source, fast, num_workers, quiet)
    if json_file:
        json_file.write_text(json.dumps(asdict(inspection), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print_splits(inspection.splits)
    errors, warnings = inspection.of_severity("error"), inspection.of_severity("warning")
    print_findings("errors", errors)
    print_findings("warnings", warnings)
    unseen = "; images and videos were not opened (--fast)" if fast else ""
    typer.echo(f"\n{name}: {len(errors)} errors, {len(warnings)} warnings{unseen}")
    if errors:
        raise typer.Exit(1)


def print_splits(splits: "Sequence[SplitSummary]") -> None:
    """Print one line of numbers a split."""
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("split", no_wrap=True)
    for title in ("clips", "published", "left out", "frames min/median/max", "glosses", "not in train", "signers"):
        table.add_column(title, justify="right", no_wrap=True)
    for split in splits:
        frames = split.frames
        table.add_row(
            split.split,
            str(split.clips),
            "-" if split.published is None else str(split.published),
            str(split.left_out),
            f"{frames.min}/{frames.median}/{frames.max}" if frames else "-",
            str(split.glosses),
            str(len(split.out_of_vocabulary)),
            str(len(split.signers)),
        )
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, TABLE_WIDTH)
    console.print(table)


def print_findings(title: str, findings: "Sequence[Finding]") -> None:
    """Print findings of one severity, and of each kind the first few."""
    from adaptsign_hf.data.inspection import KINDS

    for kind, group in groupby(findings, key=lambda finding: finding.kind):
        found = list(group)
        typer.echo(f"\n{title}: {len(found)} {kind} ({KINDS[kind][1]})")
        for finding in found[:SHOWN]:
            place = " ".join(part for part in (finding.split, finding.clip) if part)
            typer.echo(f"  {place}: {finding.message}" if place else f"  {finding.message}")
        if len(found) > SHOWN:
            typer.echo(f"  and {len(found) - SHOWN} more, which --json FILE lists")
