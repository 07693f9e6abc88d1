"""`adaptsign convert`: the weights that AdaptSign's authors released, as a directory of transformers or PEFT."""

from pathlib import Path
from typing import Annotated

import typer


def convert(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT.pt", help="A released checkpoint.")],
    output_dir: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder for the converted model.")],
    glosses: Annotated[
        Path,
        typer.Option(help="Its vocabulary: gloss_dict.npy as released, JSON ({gloss: id}), or one gloss a line."),
    ],
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="Leave CLIP out: write a PEFT directory of what was trained.")
    ] = False,
    clip: Annotated[
        str | None,
        typer.Option(help="With --adapter-only, the CLIP it belongs to: a directory, or a name on the Hub."),
    ] = None,
) -> None:
    """Convert a checkpoint that AdaptSign's authors released."""
    if clip is not None and not adapter_only:
        raise typer.BadParameter("it goes with --adapter-only; a whole model holds its CLIP.", param_hint="--clip")

    from adaptsign_hf.cli.options import silence_loading
    from adaptsign_hf.hub.conversion import convert_checkpoint

    silence_loading()
    model = convert_checkpoint(checkpoint, glosses, output_dir, adapter_only, clip)
    vision = model.config.vision
    typer.echo(
        f"{output_dir}: {vision.num_hidden_layers} layers of width {vision.hidden_size}, patches of "
        f"{vision.patch_size} in {vision.image_size} pixels, {model.config.vocab_size - 1} glosses"
    )
