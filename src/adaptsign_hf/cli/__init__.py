"""The `adaptsign` command."""

from adaptsign_hf.cli.application import app, main

__all__ = ["app", "main"]
