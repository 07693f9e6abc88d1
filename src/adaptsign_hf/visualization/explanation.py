"""One video explained: what a model reads in it, how sure it is at each moment, and where it looks."""

import logging
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from adaptsign_hf.decoding.alignment import RecognizedGloss, time_glosses
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.tokenization_adaptsign import BLANK, collapse_ctc
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor
from adaptsign_hf.modeling.video_reading_adaptsign import probe_video
from adaptsign_hf.visualization.attention import ClipAttention, attend_clip

logger = logging.getLogger(__name__)

MAX_FRAMES = 500  # 20 s at 25 frames a second; at ViT-B/16 about 1.5 GB of pixels and tokens
# Of folders of images, which have no times; PHOENIX-2014's rate.
ASSUMED_FPS = 25.0


@dataclass(frozen=True)
class Explanation:
    """
    What a model makes of a video, or of its beginning.

    Attributes:
        video: Its path.
        fps: Frames a second that the model read.
        attention: Where it looked.
        posteriors: Probability of each class at each step, float32 (steps, classes); a step is 4 frames.
        glosses: Names of the classes, the blank first.
        recognized: The recognised glosses with their times.
        motion: How much of the picture changes from the frame before to each frame, float32 (frames,).
        is_cut: Whether the video goes on after the explained frames.
    """

    video: Path
    fps: float
    attention: ClipAttention
    posteriors: torch.Tensor
    glosses: list[str]
    recognized: list[RecognizedGloss]
    motion: torch.Tensor
    is_cut: bool

    @property
    def num_frames(self) -> int:
        """Number of explained frames."""
        return len(self.motion)

    @property
    def title(self) -> str:
        """Name of the video, and how much of it is explained."""
        return self.video.name + (f", its first {self.num_frames / self.fps:.1f} s" if self.is_cut else "")


@torch.inference_mode()
def explain_video(
    model: AdaptSignForCTC, processor: AdaptSignProcessor, video: str | Path, max_frames: int = MAX_FRAMES
) -> Explanation:
    """
    Recognise a video and note where the model looks.

    Args:
        model: In evaluation mode.
        processor: Its processor.
        video: A video file or a folder of numbered images.
        max_frames: Of a longer video only so many frames are read, from the first: what bounds memory and time.

    Returns:
        What there is to draw.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        VideoReadError: If no frame of it can be read.
        ValueError: If `max_frames` is less than 1.
    """
    if max_frames < 1:
        raise ValueError(f"Explaining {video}: max_frames is {max_frames}, but at least 1 frame must be read.")
    frames, is_cut = read_beginning(processor.video_processor, video, max_frames)
    pixel_values = processor.video_processor.crop_and_normalize(frames)
    fps = processor.video_processor.fps or probe_video(video).fps or ASSUMED_FPS
    output, attention = attend_clip(model, pixel_values)
    assert output.logits is not None
    logits = output.logits[0].float().cpu()
    ids = collapse_ctc(logits.argmax(dim=-1).tolist())
    vocabulary = processor.tokenizer.glosses
    return Explanation(
        video=Path(video),
        fps=fps,
        attention=attention,
        posteriors=logits.softmax(dim=-1),
        glosses=[BLANK, *vocabulary],
        recognized=time_glosses(logits, ids, vocabulary, fps, len(frames)),
        motion=measure_motion(pixel_values),
        is_cut=is_cut,
    )


def read_beginning(
    video_processor: AdaptSignVideoProcessor, video: str | Path, max_frames: int
) -> tuple[torch.Tensor, bool]:
    """
    Read the first frames of a video as the model gets them, before the crop.

    Args:
        video_processor: Gives frame rate and size.
        video: A video file or a folder of images.
        max_frames: How many at most.

    Returns:
        uint8 (frames, 3, height, width), and whether the video goes on.

    Raises:
        FileNotFoundError, VideoReadError: As `iter_video_frames` does.
    """
    stream = video_processor.iter_video_frames(video)
    frames = list(islice(stream, max_frames))
    is_cut = next(stream, None) is not None
    if is_cut:
        logger.info("%s is long: only its first %d frames are explained", video, max_frames)
    return torch.stack(frames), is_cut


def measure_motion(pixel_values: torch.Tensor) -> torch.Tensor:
    """Return how much of the picture changes from the frame before to each frame, (frames,); 0 for the first."""
    changes = (pixel_values[1:] - pixel_values[:-1]).abs().mean(dim=(1, 2, 3))
    return torch.cat([changes.new_zeros(1), changes])
