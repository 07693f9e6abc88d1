"""`adaptsign env`: what a bug report needs to say."""

import typer

PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "evaluate",
    "safetensors",
    "tokenizers",
    "av",
    "numpy",
    "pillow",
)


def env() -> None:
    """Print versions of this package and what it stands on, to paste into a bug report."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from adaptsign_hf.inference.loading import default_device
    from adaptsign_hf.version import __version__

    typer.echo(f"adaptsign_hf {__version__}")
    typer.echo(f"python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    typer.echo(f"device {default_device()}, CUDA {torch.version.cuda or 'none'}")
    for package in PACKAGES:
        try:
            typer.echo(f"{package} {version(package)}")
        except PackageNotFoundError:
            typer.echo(f"{package} not installed")
