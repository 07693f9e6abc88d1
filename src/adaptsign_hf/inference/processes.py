"""Sharing work between the processes that `accelerate launch` or `torchrun` has started, on one machine or several."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch

from adaptsign_hf.inference.loading import default_device

if TYPE_CHECKING:
    from accelerate import PartialState

Item = TypeVar("Item")

PATIENCE = timedelta(days=30)  # of a process whose share is done, while others still work on theirs


def count_processes() -> int:
    """Return how many processes the launcher has started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join_processes(device: str | None) -> "PartialState":
    """
    Meet the other processes.

    Args:
        device: Where models will be; None for an accelerator of its own for each process.

    Raises:
        ValueError: If accelerate is not installed.
    """
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise ValueError(
            f'Sharing work between processes needs accelerate: pip install "adaptsign-hf[train]" ({error}).'
        ) from error
    on_cpu = torch.device(device or default_device()).type == "cpu"
    return PartialState(cpu=on_cpu, timeout=PATIENCE)


def share_of_process(state: "PartialState", find_work: Callable[[], list[Item]]) -> list[Item]:
    """
    Split work between the processes.

    Args:
        state: Of this process.
        find_work: Called in the first process alone: what is left to do changes as soon as one has begun.

    Returns:
        The share of this process. Each item is in one share.
    """
    from accelerate.utils import broadcast_object_list

    work = broadcast_object_list([find_work() if state.is_main_process else None])[0]
    assert work is not None
    with state.split_between_processes(work) as share:
        return list(share)


def sum_over_processes(number: int) -> int:
    """Return the sum of all processes' numbers; waits for all, for a launcher ends them when the first one fails."""
    from accelerate.utils import gather_object

    return sum(gather_object([number]))
