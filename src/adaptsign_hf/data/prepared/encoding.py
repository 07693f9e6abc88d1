"""Clips to encoded images, with all cores."""

import gc
import io
import os
from collections.abc import Iterator, Sequence

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from adaptsign_hf.data.folder import Clip, LeftOutClip
from adaptsign_hf.data.loading import load_frames
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor

JPEG_QUALITY = 95

EncodedClip = list[bytes] | LeftOutClip


def encode_image(pixels: torch.Tensor, lossless: bool) -> bytes:
    """Encode a frame, uint8 (3, height, width), as PNG if `lossless`, else as JPEG with all of its colour."""
    image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    encoded = io.BytesIO()
    if lossless:
        image.save(encoded, "PNG")
    else:
        image.save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4")
    return encoded.getvalue()


class EncodedClips(Dataset):
    """Each clip as encoded images of `size` x `size` pixels, or the reason why it cannot be read."""

    def __init__(self, clips: Sequence[Clip], size: int, lossless: bool):
        self.clips = clips
        # The model's own: training on prepared clips sees what training on the source does.
        self.video_processor = AdaptSignVideoProcessor(size={"height": size, "width": size})
        self.lossless = lossless

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> EncodedClip:
        frames = load_frames(self.clips[index], self.video_processor)
        if isinstance(frames, LeftOutClip):
            return frames
        return [encode_image(pixels, self.lossless) for pixels in frames]


def encode_clips(
    clips: Sequence[Clip], size: int, lossless: bool, num_workers: int | None = None
) -> Iterator[EncodedClip]:
    """
    Resize and encode clips, in their order.

    Args:
        clips: The clips.
        size: Side of a frame in pixels.
        lossless: PNG instead of JPEG.
        num_workers: Processes beside this one, each with one thread of torch's; one a core by default, 0 for none.
            They end by themselves if this process is killed.

    Returns:
        For each clip its encoded images, or the reason why it cannot be read.
    """
    if num_workers is None:
        num_workers = min(available_cores(), len(clips))
    # Workers start now, before anything else is at work in this process, and without garbage that they might clear
    # away: PyAV's waits for threads that a forked worker does not have.
    gc.collect()
    return iter(
        DataLoader(EncodedClips(clips, size, lossless), batch_size=None, num_workers=num_workers, collate_fn=_as_it_is)
    )


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _as_it_is(clip: EncodedClip) -> EncodedClip:
    return clip
