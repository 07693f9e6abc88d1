"""Random changes of training clips, the same for all frames of a clip (paper: implementation details)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import EllipsisType

import torch


@dataclass(frozen=True)
class AugmentationConfig:
    """
    How training clips are varied. The defaults are the paper's.

    Attributes:
        flip_probability: Chance of a mirrored clip; signs mean the same with either hand leading.
        temporal_rescale: Greatest change of a clip's length, as a fraction of it.
        min_frames: A clip is not made shorter than this, nor than its glosses need.
        max_frames: A clip is not made longer than this.
    """

    flip_probability: float = field(default=0.5, metadata={"help": "Chance of a mirrored clip."})
    temporal_rescale: float = field(default=0.2, metadata={"help": "Greatest change of a clip's length (fraction)."})
    min_frames: int = field(default=32, metadata={"help": "A clip is not made shorter than this."})
    max_frames: int = field(default=230, metadata={"help": "A clip is not made longer than this."})

    def __post_init__(self):
        if not 0 <= self.flip_probability <= 1:
            raise ValueError(f"flip_probability is {self.flip_probability}: it must lie between 0 and 1.")
        if not 0 <= self.temporal_rescale < 1:
            raise ValueError(f"temporal_rescale is {self.temporal_rescale}: it must lie between 0 and 1.")
        if not 1 <= self.min_frames <= self.max_frames:
            raise ValueError(
                f"min_frames is {self.min_frames} and max_frames {self.max_frames}: expected 1 <= min <= max."
            )


def augment(
    frames: torch.Tensor | Sequence[torch.Tensor],
    crop_size: tuple[int, int],
    config: AugmentationConfig,
    generator: torch.Generator,
    required_frames: int = 1,
) -> torch.Tensor:
    """
    Rescale a clip in time, crop it and mirror it, at random.

    Args:
        frames: uint8 (frames, 3, height, width), or as many of (3, height, width).
        crop_size: Height and width of the crop, in pixels.
        config: How much.
        generator: Source of all randomness.
        required_frames: Frames that the clip's glosses need.

    Returns:
        uint8 (other number of frames, 3, crop height, crop width).
    """
    times = rescale_in_time(torch.arange(len(frames)), config, generator, required_frames).tolist()
    chosen = {time: frames[time] for time in dict.fromkeys(times)}  # each once: it may be decoded only now
    rectangle = draw_rectangle(tuple(chosen[0].shape[-2:]), crop_size, generator)
    cropped = stack_frames([chosen[time][rectangle] for time in times])
    return cropped.flip(-1) if torch.rand((), generator=generator) < config.flip_probability else cropped


def stack_frames(frames: Sequence[torch.Tensor]) -> torch.Tensor:
    """
    Put frames into one tensor whose memory is in their order, for another order takes four times as long to copy.

    Args:
        frames: (3, height, width) each; in memory the colours may come first, or last as decoders leave them.

    Returns:
        (frames, 3, height, width).
    """
    if frames[0].stride(0) != 1:
        return torch.stack(list(frames))
    return torch.stack([frame.permute(1, 2, 0) for frame in frames]).permute(0, 3, 1, 2)


def rescale_in_time(
    frames: torch.Tensor, config: AugmentationConfig, generator: torch.Generator, required_frames: int
) -> torch.Tensor:
    """Change the number of frames by up to ±`temporal_rescale`, by repeating or leaving out evenly spaced ones."""
    num_frames = len(frames)
    change = config.temporal_rescale * (2 * torch.rand((), generator=generator).item() - 1)
    target = round(num_frames * (1 + change))
    target = max(min(max(target, config.min_frames), config.max_frames), required_frames)
    return frames[torch.linspace(0, num_frames - 1, target).round().long()]


def draw_rectangle(
    frame_size: tuple[int, int], crop_size: tuple[int, int], generator: torch.Generator
) -> tuple[EllipsisType, slice, slice]:
    """Draw a rectangle of `crop_size` inside `frame_size`, both height and width in pixels; index frames with it."""
    top = int(torch.randint(frame_size[0] - crop_size[0] + 1, (), generator=generator))
    left = int(torch.randint(frame_size[1] - crop_size[1] + 1, (), generator=generator))
    return ..., slice(top, top + crop_size[0]), slice(left, left + crop_size[1])
