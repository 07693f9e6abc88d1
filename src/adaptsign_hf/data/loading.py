"""Decoded clips as a torch dataset, and their batches."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from adaptsign_hf.data.augmentation import AugmentationConfig, augment, stack_frames
from adaptsign_hf.data.feasibility import required_frames
from adaptsign_hf.data.folder import Clip, LeftOutClip
from adaptsign_hf.data.prepared.shards import read_frames
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor
from adaptsign_hf.modeling.video_reading_adaptsign import iter_frames, probe_video


def load_frames(clip: Clip, video_processor: AdaptSignVideoProcessor) -> torch.Tensor | LeftOutClip:
    """Decode and resize a clip: uint8 (frames, 3, height, width), or the reason why it cannot be read."""
    try:
        frames = open_frames(clip, video_processor)
        return frames if isinstance(frames, torch.Tensor) else stack_frames(frames)
    except (ValueError, OSError) as error:
        return LeftOutClip(clip.name, str(error), split=clip.split)


def open_frames(clip: Clip, video_processor: AdaptSignVideoProcessor) -> torch.Tensor | Sequence[torch.Tensor]:
    """
    Do as `load_frames`, but leave prepared frames one by one, to be decoded when they are asked for.

    Raises:
        ValueError, OSError: If the clip cannot be read, or later a frame of it.
    """
    if clip.row is None:
        return video_processor.load_video_frames(clip.path)
    frames = read_frames(clip.path, clip.row)
    size = video_processor.size
    if video_processor.fps is None and frames[0].shape[-2:] == (size["height"], size["width"]):
        return frames
    return video_processor.load_video_frames(torch.stack(list(frames)))


class DecodedClips(Dataset):
    """Clips as `load_frames` gives them."""

    def __init__(self, clips: Sequence[Clip], video_processor: AdaptSignVideoProcessor):
        self.clips = clips
        self.video_processor = video_processor

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> torch.Tensor | LeftOutClip:
        return load_frames(self.clips[index], self.video_processor)


def decode_clips(
    clips: Sequence[Clip],
    video_processor: AdaptSignVideoProcessor,
    num_workers: int = 0,
    description: str = "reading videos",
    quiet: bool = False,
) -> tuple[list[Clip], list[torch.Tensor], list[LeftOutClip]]:
    """
    Decode and resize clips once, so that every epoch can start from memory.

    Args:
        clips: The clips.
        video_processor: Chooses size and frame rate.
        num_workers: Processes beside this one; 0 decodes here.
        description: Label of the progress bar.
        quiet: Whether the bar is hidden.

    Returns:
        The readable clips, their frames, uint8 (frames, 3, height, width) each, and the clips that cannot be read.
    """
    loader = DataLoader(DecodedClips(clips, video_processor), batch_size=None, num_workers=num_workers)
    readable, frames, left_out = [], [], []
    for clip, decoded in zip(clips, tqdm(loader, description, disable=quiet or None, unit="clip"), strict=True):
        if isinstance(decoded, LeftOutClip):
            left_out.append(decoded)
        else:
            readable.append(clip)
            # A copy: a tensor from another process holds a file descriptor open, and those run out.
            frames.append(decoded.clone() if num_workers else decoded)
    return readable, frames, left_out


def probe_clips(
    clips: Sequence[Clip], fps: float | None, quiet: bool = False
) -> tuple[list[Clip], list[int], list[LeftOutClip]]:
    """
    Open every clip and count its frames, without decoding more than the first where the header tells.

    Args:
        clips: The clips.
        fps: Frame rate to which they will be resampled; None if they are kept.
        quiet: Whether the progress bar is hidden.

    Returns:
        The readable clips, their numbers of frames, and the clips that cannot be read.
    """
    readable, num_frames, left_out = [], [], []
    for clip in tqdm(clips, "checking videos", disable=quiet or None, unit="clip"):
        try:
            num_frames.append(count_frames(clip.path, fps) if clip.row is None else _count_prepared(clip, fps))
            readable.append(clip)
        except (ValueError, OSError) as error:
            left_out.append(LeftOutClip(clip.name, str(error), split=clip.split))
    return readable, num_frames, left_out


def _count_prepared(clip: Clip, fps: float | None) -> int:
    if fps is not None:
        raise ValueError(
            f"Cannot resample prepared images to {fps} frames a second: they have no times. Use fps=None."
        )
    assert clip.num_frames is not None, "each row of a shard tells its frames"
    return clip.num_frames


def count_frames(path: Path, fps: float | None) -> int:
    """Return the number of frames of a video at `fps`, by its header where that tells, after decoding the first."""
    info = probe_video(path)
    next(iter_frames(path, fps))
    if fps is None and info.num_frames:
        return info.num_frames
    if fps is not None and info.duration:
        return max(1, int(info.duration * fps))
    return sum(1 for _ in iter_frames(path, fps))


class ClipDataset(Dataset):
    """
    Clips ready for the model.

    An item is a dict of `frames` uint8 (frames, 3, height, width), cropped, the `index` of the clip and, with an
    augmentation, `labels` long (glosses,). A clip that turns out unreadable is a dict of `left_out` alone.

    Args:
        clips: The clips.
        processor: Turns frames into pixel values, and glosses into labels.
        frames: Decoded frames of each clip; None to decode when an item is asked for.
        augmentation: How training clips are varied; None to leave them as they are and without labels.
        seed: Of the augmentation. The same seed, epoch and index give the same item, in any process.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        processor: AdaptSignProcessor,
        frames: Sequence[torch.Tensor] | None = None,
        augmentation: AugmentationConfig | None = None,
        seed: int = 0,
    ):
        self.clips = clips
        self.processor = processor
        self.frames = frames
        self.augmentation = augmentation
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, which varies the augmentation; accelerate's loaders call this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict:
        clip = self.clips[index]
        try:
            frames = self._read_frames(index)
        except (ValueError, OSError) as error:
            return {"left_out": LeftOutClip(clip.name, str(error), split=clip.split)}
        if self.augmentation is None:
            return {"frames": frames, "index": index}
        labels = self.processor.tokenizer(" ".join(clip.glosses))["input_ids"]
        return {"frames": frames, "labels": torch.tensor(labels), "index": index}

    def _read_frames(self, index: int) -> torch.Tensor:
        clip, video_processor = self.clips[index], self.processor.video_processor
        frames = open_frames(clip, video_processor) if self.frames is None else self.frames[index]
        if self.augmentation is None:
            whole = frames if isinstance(frames, torch.Tensor) else stack_frames(frames)
            if not video_processor.do_center_crop:
                return whole
            return video_processor.center_crop(whole, video_processor.crop_size)
        # One seed from three numbers: tuples hash alike in every process, unlike strings.
        generator = torch.Generator().manual_seed(hash((self.seed, self.epoch, index)) % 2**63)
        crop_size = (video_processor.crop_size["height"], video_processor.crop_size["width"])
        return augment(frames, crop_size, self.augmentation, generator, required_frames(clip.glosses))


def collate_clips(items: list[dict], processor: AdaptSignProcessor) -> dict:
    """
    Make one batch of several clips.

    Args:
        items: From `ClipDataset`.
        processor: Pads the videos.

    Returns:
        `left_out`, a list of the unreadable clips; and unless all are, `frames` uint8 (clips, frames, 3, height,
        width), `attention_mask` (clips, frames), `index` (clips,), and with labels in the items `labels` (clips,
        glosses) padded with -100. `normalize_batch` makes pixel values of the frames, where the model is: workers that
        did so would send four times as much, and take twice as long.
    """
    batch: dict = {"left_out": [item["left_out"] for item in items if "left_out" in item]}
    readable = [item for item in items if "left_out" not in item]
    if readable:
        frames = [item["frames"] for item in readable]
        batch["frames"] = pad_frames(frames)
        batch["attention_mask"] = pad_sequence([torch.ones(len(clip), dtype=torch.long) for clip in frames], True)
        batch["index"] = torch.tensor([item["index"] for item in readable])
        labels = [item["labels"] for item in readable if "labels" in item]
        if labels:
            batch["labels"] = pad_sequence(labels, batch_first=True, padding_value=-100)
    return batch


def pad_frames(clips: Sequence[torch.Tensor]) -> torch.Tensor:
    """
    Put clips of unequal length into one tensor, zero behind each clip's end; their order of memory is kept.

    Args:
        clips: uint8 (frames, 3, height, width) each, equal but for their number of frames.

    Returns:
        uint8 (clips, longest, 3, height, width).
    """
    if clips[0].stride(1) != 1:
        return pad_sequence(list(clips), batch_first=True)
    # As `stack_frames`: colours last in memory, as decoders leave them.
    colours_last = pad_sequence([clip.permute(0, 2, 3, 1) for clip in clips], batch_first=True)
    return colours_last.permute(0, 1, 4, 2, 3)


def normalize_batch(batch: dict, processor: AdaptSignProcessor, device: torch.device | str) -> torch.Tensor:
    """
    Make the model's input of a batch, on its device.

    Args:
        batch: From `collate_clips`, not of unreadable clips alone.
        processor: Scales the values.
        device: Of the model.

    Returns:
        Float (clips, frames, 3, height, width), zero behind each clip's end.
    """
    frames = batch["frames"].to(device, non_blocking=True).contiguous()
    is_frame = batch["attention_mask"].to(device, non_blocking=True).bool()
    return processor.video_processor.normalize_frames(frames).masked_fill_(~is_frame[:, :, None, None, None], 0)
