"""Checkpoints of a run: written whole or not at all, the newest kept."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from accelerate import Accelerator


@dataclass
class Progress:
    """
    How far a run has come; saved and loaded with its checkpoints.

    Attributes:
        epoch: The epoch in progress, from 0.
        batches: Batches of it that are done, in each process.
        steps: Optimizer steps done in all.
        best_wer: Lowest word error rate on the dev split so far, a fraction.
        history: One row of losses and scores for each epoch that is done.
    """

    epoch: int = 0
    batches: int = 0
    steps: int = 0
    best_wer: float = float("inf")
    history: list[dict] = field(default_factory=list)

    def state_dict(self) -> dict:
        """Return everything, as accelerate saves it."""
        return dict(vars(self))

    def load_state_dict(self, state: dict) -> None:
        """Take everything back."""
        vars(self).update(state)


def save_checkpoint(accelerator: Accelerator, folder: Path, progress: Progress) -> None:
    """Write the state of the run to `folder/step_N`, under another name until it is whole, and drop older ones."""
    final = folder / f"step_{progress.steps:08d}"
    partial = folder / "partial"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        older = [path for path in folder.glob("step_*") if path != final]
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for path in older:
            shutil.rmtree(path)
    accelerator.wait_for_everyone()


def newest_checkpoint(folder: Path) -> Path:
    """
    Find the newest checkpoint of a folder.

    Raises:
        ValueError: If there is none.
    """
    checkpoints = sorted(folder.glob("step_*"))
    if not checkpoints:
        raise ValueError(f"Resuming the run: there is no checkpoint in {folder}. Start it without resuming.")
    return checkpoints[-1]
