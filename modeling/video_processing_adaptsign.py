"""Videos to pixel values: decode, squash to 256x256, crop to 224x224, scale to -1…1, pad."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, PILImageResampling, SizeDict
from transformers.video_processing_utils import BaseVideoProcessor

from .video_reading_adaptsign import iter_frames

# A path; frames of shape (T, H, W, 3), (T, 3, H, W) or, grey, (T, H, W); a list of images, (H, W, 3) or (H, W).
Video: TypeAlias = str | Path | np.ndarray | torch.Tensor | Sequence[Image.Image | np.ndarray | torch.Tensor]


class AdaptSignVideoProcessor(BaseVideoProcessor):
    """Prepares videos for AdaptSign, as the paper does: frames squashed to 256x256, cropped to 224x224, x/127.5 − 1.

    The aspect ratio is not kept. Clips of a batch may differ in length and size. Full-size frames are resized one by
    one as they are decoded, so a long video never sits in memory at its full size.

    Attributes:
        size: Height and width, in pixels, to which frames are resized.
        crop_size: Height and width, in pixels, of the centre crop.
        fps: Frames a second at which video files are read, by presentation time; None keeps the frames as stored.
            Arrays and folders of images have no times and need None.
        do_resize, do_center_crop, do_rescale, do_normalize, rescale_factor, image_mean, image_std, resample: As in
            other video processors of transformers.
    """

    size = SizeDict(height=256, width=256)
    crop_size = SizeDict(height=224, width=224)
    resample = PILImageResampling.BICUBIC
    image_mean = IMAGENET_STANDARD_MEAN  # 0.5 for each colour, as is the deviation: x/127.5 − 1
    image_std = IMAGENET_STANDARD_STD
    rescale_factor = 1 / 255
    do_resize = True
    do_center_crop = True
    do_rescale = True
    do_normalize = True
    fps = None
    model_input_names = ["pixel_values", "attention_mask"]  # noqa: RUF012

    def preprocess(self, videos: Video | Sequence[Video], return_tensors: str | None = None) -> BatchFeature:
        """Read and prepare one video or a batch of them.

        Args:
            videos: One video or a list of videos; see `split_batch` for which is which.
            return_tensors: "pt" or None for torch tensors, "np" for numpy arrays.

        Returns:
            `pixel_values`, float32 of shape (batch, frames, 3, crop height, crop width), zero behind a shorter clip's
            end, and `attention_mask`, int64 of shape (batch, frames), 1 on true frames.

        Raises:
            FileNotFoundError: There is nothing at a given path.
            VideoReadError: No frame of a file or folder could be read.
            ValueError: An array has another shape or kind of values than those described, or no frames.
        """
        clips = [self.crop_and_normalize(self.load_video_frames(video)) for video in split_batch(videos)]
        return BatchFeature(self.pad_videos(clips), tensor_type=return_tensors)

    def load_video_frames(self, video: Video) -> torch.Tensor:
        """Read one video, resizing each frame as it comes.

        Args:
            video: One video, as for `preprocess`.

        Returns:
            uint8 RGB frames of shape (frames, 3, size height, size width).

        Raises:
            FileNotFoundError, VideoReadError, ValueError: As `preprocess` does.
        """
        resized = list(self.iter_video_frames(video))
        if not resized:
            raise ValueError("Cannot prepare a video of zero frames: give at least one.")
        if len({frame.shape for frame in resized}) > 1:
            raise ValueError(
                f"The frames of one video differ in size ({resized[0].shape[1:]} and others) and do_resize is off: "
                "set do_resize=True."
            )
        return torch.stack(resized)

    def iter_video_frames(self, video: Video) -> Iterator[torch.Tensor]:
        """Read one video frame by frame, resized as they come: memory does not grow with its length.

        Args:
            video: One video, as for `preprocess`.

        Yields:
            uint8 RGB frames of shape (3, size height, size width).

        Raises:
            FileNotFoundError, VideoReadError, ValueError: As `preprocess` does, some of them with the first frame.
        """
        frames = iter_frames(video, self.fps) if isinstance(video, (str, Path)) else self._iter_array(video)
        return map(self._resize_frame, frames)

    def resize_image(self, image: Image.Image | np.ndarray) -> torch.Tensor:
        """Resize one frame that comes alone, from a camera.

        Args:
            image: (height, width, 3) or, grey, (height, width); uint8 or floats in 0…1.

        Returns:
            uint8 RGB of shape (3, size height, size width); never a view of the image.

        Raises:
            ValueError: It has another shape or kind of values.
        """
        return self._resize_frame(next(_iter_array([image]))).clone()

    def crop_and_normalize(self, frames: torch.Tensor) -> torch.Tensor:
        """Crop the centre of the frames and scale their values.

        Args:
            frames: uint8 of shape (frames, 3, height, width).

        Returns:
            float32 of shape (frames, 3, crop height, crop width), x/127.5 − 1 with the standard settings.
        """
        if self.do_center_crop:
            frames = self.center_crop(frames, self.crop_size)
        return self.normalize_frames(frames)

    def normalize_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Scale uint8 values to float32, x/127.5 − 1 with the standard settings; any shape (..., 3, height, width)."""
        scaled = self.rescale_and_normalize(
            frames,
            do_rescale=self.do_rescale,
            rescale_factor=self.rescale_factor,
            do_normalize=self.do_normalize,
            image_mean=self.image_mean,
            image_std=self.image_std,
        )
        return scaled.to(torch.float32)

    def pad_videos(self, videos: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Put clips of unequal length into one batch.

        Args:
            videos: float32 clips of shape (frames, 3, height, width), equal but for their number of frames.

        Returns:
            `pixel_values` (batch, longest, 3, height, width), zero behind each clip's end, and `attention_mask`, int64
            (batch, longest), 1 on true frames.
        """
        mask = pad_sequence([torch.ones(len(video), dtype=torch.long) for video in videos], batch_first=True)
        return {"pixel_values": pad_sequence(list(videos), batch_first=True), "attention_mask": mask}

    def _iter_array(self, video: np.ndarray | torch.Tensor | Sequence) -> Iterator[np.ndarray]:
        if self.fps is not None:
            raise ValueError(
                f"Cannot resample frames given as arrays or images to {self.fps} frames a second: they have no times. "
                "Give the video file, or set fps=None."
            )
        return _iter_array(video)

    def _resize_frame(self, frame: np.ndarray) -> torch.Tensor:
        """(H, W, 3) to (3, H', W'), uint8."""
        # One frame at a time and channels-last in memory is torchvision's fastest way: stacking first takes longer.
        pixels = torch.from_numpy(frame).permute(2, 0, 1)
        return self.resize(pixels, self.size, resample=self.resample) if self.do_resize else pixels


def split_batch(videos: Video | Sequence[Video]) -> list[Video]:
    """Tell one video from a batch.

    A path and an array of up to 4 dimensions are one video, as is a list of PIL images or of arrays of up to 3
    dimensions. An array of 5 dimensions and any other list are a batch; so a list of paths is a batch of videos.

    Raises:
        ValueError: The list is empty.
    """
    if isinstance(videos, (str, Path)):
        return [videos]
    if isinstance(videos, (np.ndarray, torch.Tensor)):
        return list(videos) if videos.ndim == 5 else [videos]
    if len(videos) == 0:
        raise ValueError("Cannot prepare an empty list of videos: give at least one.")
    first = videos[0]
    is_image = isinstance(first, Image.Image) or (isinstance(first, (np.ndarray, torch.Tensor)) and first.ndim <= 3)
    return [videos] if is_image else list(videos)  # type: ignore[list-item, arg-type]


def _iter_array(video: np.ndarray | torch.Tensor | Sequence) -> Iterator[np.ndarray]:
    """The frames, (H, W, 3) uint8, of a video given as an array or as a list of images."""
    if not isinstance(video, (np.ndarray, torch.Tensor)):
        for image in video:
            pixels = image.convert("RGB") if isinstance(image, Image.Image) else image
            yield _rgb_frame(np.asarray(pixels))
        return
    frames = video.numpy(force=True) if isinstance(video, torch.Tensor) else video
    expected = f"Cannot tell the layout of a video of shape {tuple(frames.shape)}"
    if frames.ndim == 4 and (frames.shape[-1] == 3) == (frames.shape[1] == 3):
        raise ValueError(f"{expected}: give (frames, height, width, 3) or (frames, 3, height, width).")
    if frames.ndim == 3 and frames.shape[-1] == 3:
        raise ValueError(
            f"{expected}: an image needs a leading axis of frames; grey videos are (frames, height, width)."
        )
    if frames.ndim not in (3, 4):
        raise ValueError(f"{expected}: give (frames, height, width, 3), (frames, 3, height, width) or, grey, 3 axes.")
    for frame in frames:
        yield _rgb_frame(frame if frame.ndim == 2 or frame.shape[-1] == 3 else frame.transpose(1, 2, 0))


def _rgb_frame(frame: np.ndarray) -> np.ndarray:
    """One image, (H, W, 3) or grey (H, W), uint8 or float in 0…1, as (H, W, 3) uint8."""
    if frame.ndim == 2:
        frame = np.repeat(frame[:, :, None], 3, axis=2)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ValueError(
            f"A frame of shape {frame.shape} is no image: give (height, width, 3) or, grey, (height, width)."
        )
    if np.issubdtype(frame.dtype, np.floating):
        if not (frame.min() >= 0 and frame.max() <= 1):  # written so that NaN is refused too
            raise ValueError(
                f"A frame of floats holds values from {frame.min():g} to {frame.max():g}: give floats in 0…1 or uint8."
            )
        return np.rint(frame * 255).astype(np.uint8)
    if frame.dtype != np.uint8:
        raise ValueError(f"A frame holds values of type {frame.dtype}: give uint8, or floats in 0…1.")
    return np.require(frame, requirements=["C", "W"])  # torch warns of read-only arrays, such as Pillow's
