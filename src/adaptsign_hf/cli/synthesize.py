"""`adaptsign synthesize`: render the synthetic corpus."""

from pathlib import Path
from typing import Annotated

import typer

from adaptsign_hf.cli.options import QuietOption


def synthesize(
    output_dir: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the videos and metadata.csv.")],
    train: Annotated[int, typer.Option(min=1, help="Training sentences.")] = 400,
    dev: Annotated[int, typer.Option(min=0, help="Sentences to choose a model by.")] = 40,
    test: Annotated[int, typer.Option(min=0, help="Test sentences by the training signers.")] = 60,
    test_signer: Annotated[int, typer.Option(min=0, help="Test sentences by signers not seen in training.")] = 60,
    frame_size: Annotated[int, typer.Option(min=16, help="Side of a frame, in pixels.")] = 128,
    fps: Annotated[float, typer.Option(min=1, help="Frames a second.")] = 12.5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same corpus.")] = 0,
    quiet: QuietOption = False,
) -> None:
    """Render a corpus of drawn signers, who perform sentences over 30 invented signs."""
    from adaptsign_hf.data.synthetic import SyntheticCorpusConfig, render_corpus

    config = SyntheticCorpusConfig(
        seed=seed,
        num_train=train,
        num_dev=dev,
        num_test=test,
        num_test_signer=test_signer,
        frame_size=frame_size,
        fps=fps,
    )
    typer.echo(render_corpus(output_dir, config, progress=not quiet))
