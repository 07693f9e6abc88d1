"""Whether a clip has room for its glosses: CTC needs one output step a gloss, and a blank between equal neighbours."""

from collections.abc import Sequence
from itertools import pairwise

from adaptsign_hf.data.folder import Clip, LeftOutClip
from adaptsign_hf.modeling.temporal_adaptsign import STRIDE, output_length


def required_steps(glosses: Sequence[str]) -> int:
    """Return the least number of output steps: the glosses, and a blank for each pair of equal neighbours."""
    return len(glosses) + sum(first == second for first, second in pairwise(glosses))


def required_frames(glosses: Sequence[str]) -> int:
    """Return the least number of frames that give `required_steps(glosses)` output steps."""
    return STRIDE * (required_steps(glosses) - 1) + 1


def leave_out_infeasible(clips: Sequence[Clip], num_frames: Sequence[int]) -> tuple[list[int], list[LeftOutClip]]:
    """
    Find the clips that have room for their glosses.

    Args:
        clips: The clips.
        num_frames: Frames of each.

    Returns:
        The indices of the clips with room, and the others; training on those would give an infinite loss.
    """
    kept: list[int] = []
    left_out: list[LeftOutClip] = []
    for index, (clip, frames) in enumerate(zip(clips, num_frames, strict=True)):
        needed, available = required_steps(clip.glosses), output_length(frames)
        if needed <= available:
            kept.append(index)
        else:
            left_out.append(
                LeftOutClip(
                    clip.name,
                    f"its {len(clip.glosses)} glosses need {needed} output steps, but its {frames} frames give only "
                    f"{available} (one for each {STRIDE} frames)",
                    "infeasible",
                    clip.split,
                )
            )
    return kept, left_out
