"""`adaptsign explain`: pictures of what a model sees in a video."""

from pathlib import Path
from typing import Annotated

import typer

from adaptsign_hf.cli.options import DeviceOption, ModelArgument, QuietOption, silence_loading


def explain(
    model: ModelArgument,
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file, or a folder of numbered images.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the pictures; made if it is missing.")],
    max_frames: Annotated[
        int, typer.Option(min=1, help="Of a longer video, explain only so many frames from its start.")
    ] = 500,
    device: DeviceOption = None,
    quiet: QuietOption = False,
) -> None:
    """
    Draw where MODEL looks in VIDEO, and how sure it is of each gloss at each moment.

    Writes attention.png and overlay.mp4 (the aggregation query), cross_frame.png (attention to neighbouring frames)
    and timeline.png (probabilities of glosses) to OUT, and prints their paths.
    """
    from adaptsign_hf.inference.loading import load_model
    from adaptsign_hf.visualization.attention_pictures import draw_attention, draw_cross_frame
    from adaptsign_hf.visualization.explanation import explain_video
    from adaptsign_hf.visualization.overlay import write_overlay
    from adaptsign_hf.visualization.timeline import draw_timeline

    if output.exists() and not output.is_dir():
        raise ValueError(f"Writing pictures to {output}: it is a file. Name a folder.")
    silence_loading()
    network, processor = load_model(model, device)
    explanation = explain_video(network, processor, video, max_frames)
    output.mkdir(parents=True, exist_ok=True)
    for draw, name in (
        (draw_attention, "attention.png"),
        (draw_cross_frame, "cross_frame.png"),
        (draw_timeline, "timeline.png"),
    ):
        draw(explanation, processor.video_processor, output / name)
        typer.echo(output / name)
    write_overlay(explanation, processor.video_processor, output / "overlay.mp4", quiet)
    typer.echo(output / "overlay.mp4")
