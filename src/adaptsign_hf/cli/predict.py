"""`adaptsign predict`: read videos."""

from pathlib import Path
from typing import Annotated

import typer

from adaptsign_hf.cli.options import DeviceOption, ModelArgument, QuietOption, StrictOption, silence_loading


def predict(
    model: ModelArgument,
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO...", help="Video files, or folders of numbered images.")
    ],
    device: DeviceOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print the glosses signed in each VIDEO: its path, a tab, the glosses."""
    from tqdm.auto import tqdm

    from adaptsign_hf.inference.loading import load_model
    from adaptsign_hf.inference.recognition import recognize_video

    silence_loading()
    network, processor = load_model(model, device)
    num_failed = 0
    for video in tqdm(videos, "recognising", disable=quiet or len(videos) == 1 or None, unit="video", leave=False):
        try:
            glosses = recognize_video(network, processor, video)
        except (ValueError, OSError) as error:
            if strict:
                raise
            num_failed += 1
            tqdm.write(f"error: {error}", file=typer.get_text_stream("stderr"))
        else:
            tqdm.write(f"{video}\t{glosses}", file=typer.get_text_stream("stdout"))
    if num_failed:
        typer.echo(f"{num_failed} of {len(videos)} videos could not be read", err=True)
        raise typer.Exit(1)
