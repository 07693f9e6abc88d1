"""The temporal half of AdaptSign: padding of clips, 1-D convolutions, BiLSTM."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

# The head is fixed by the paper: convolution 5, max-pool 2, twice, without padding of their own.
KERNEL_SIZE = 5
POOL_SIZE = 2
STRIDE = POOL_SIZE**2
FRAMES_IN_FRONT = 6  # copies of the first frame; half of what the two convolutions and pools take away


def output_length(num_frames: int) -> int:
    """Return the number of output steps of a clip of `num_frames` frames: `ceil(T / 4)`."""
    return -(-num_frames // STRIDE)


def padded_length(num_frames: int) -> int:
    """Return the length to which a clip is padded with copies of its first and last frame: `4·ceil(T / 4) + 12`."""
    return STRIDE * output_length(num_frames) + 2 * FRAMES_IN_FRONT


def padded_sources(lengths: list[int]) -> torch.Tensor:
    """
    Find the true frame behind each frame of a batch of padded clips.

    Args:
        lengths: Frames of each clip.

    Returns:
        long (clips, longest padded length): index into the clips' true frames laid end to end, and -1 behind the end
        of a padded clip.
    """
    sources = torch.full((len(lengths), max(map(padded_length, lengths))), -1)
    start = 0
    for row, length in zip(sources, lengths, strict=True):
        padded = padded_length(length)
        row[:padded] = start + (torch.arange(padded) - FRAMES_IN_FRONT).clamp(0, length - 1)
        start += length
    return sources


def length_mask(lengths: list[int], device: torch.device) -> torch.Tensor:
    """Return a bool mask (clips, longest length), true on the valid steps of each clip."""
    steps = torch.arange(max(lengths))
    return (steps < torch.tensor(lengths).unsqueeze(1)).to(device, non_blocking=True)


def clip_lengths(pixel_values: torch.Tensor, attention_mask: torch.Tensor | None) -> list[int]:
    """
    Count the true frames of each clip; the only place where the model waits for the device.

    Args:
        pixel_values: (clips, frames, 3, height, width).
        attention_mask: (clips, frames) or None.

    Raises:
        ValueError: If shapes disagree, a clip is empty, or a mask has gaps.
    """
    if pixel_values.ndim != 5:
        raise ValueError(
            f"pixel_values has shape {tuple(pixel_values.shape)}, but clips are expected as "
            "(clips, frames, 3, height, width): use AdaptSignProcessor, or add the missing dimension."
        )
    num_clips, num_frames = pixel_values.shape[:2]
    if num_clips == 0 or num_frames == 0:
        raise ValueError(f"pixel_values has shape {tuple(pixel_values.shape)}: there is no frame to read.")
    if attention_mask is None:
        return [num_frames] * num_clips
    if attention_mask.shape != (num_clips, num_frames):
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}, but pixel_values holds {num_clips} clips of "
            f"{num_frames} frames: it must be ({num_clips}, {num_frames})."
        )
    mask = attention_mask.cpu().bool()
    lengths = mask.sum(dim=1).tolist()
    for index, (row, length) in enumerate(zip(mask, lengths, strict=True)):
        if length == 0 or not row[:length].all():
            fault = "all zero" if length == 0 else "not a run of ones from its start"
            raise ValueError(
                f"attention_mask of clip {index} is {fault}"
                ": each clip needs at least one frame, and padding goes behind it."
            )
    return lengths


class ConvolutionBlock(nn.Module):
    """Convolution 5, BatchNorm over the valid steps only, ReLU, max-pool 2."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, KERNEL_SIZE)
        self.batch_norm = nn.BatchNorm1d(out_channels)
        self.pool = nn.MaxPool1d(POOL_SIZE)

    def forward(self, features: torch.Tensor, lengths: list[int]) -> tuple[torch.Tensor, list[int]]:
        """
        Shorten clips to `(length - 4) // 2` steps.

        Args:
            features: (clips, steps, in channels).
            lengths: Valid steps of each clip.

        Returns:
            (clips, shorter steps, out channels), zero behind the end of a clip, and the new lengths.
        """
        hidden = self.conv(features.transpose(1, 2)).transpose(1, 2)
        lengths = [length - KERNEL_SIZE + 1 for length in lengths]
        if len(set(lengths)) == 1:
            normalized = self.batch_norm(hidden.flatten(0, 1)).view_as(hidden)
        else:
            # The steps behind the end of a clip must not enter the statistics.
            valid = length_mask(lengths, hidden.device)
            normalized = torch.zeros_like(hidden).masked_scatter(valid.unsqueeze(-1), self.batch_norm(hidden[valid]))
        pooled = self.pool(normalized.relu().transpose(1, 2)).transpose(1, 2)
        return pooled, [length // POOL_SIZE for length in lengths]


class TemporalConvolutions(nn.Module):
    """
    Short-term movements: two blocks of convolution and pooling, stride 4 in all.

    Args:
        feature_size: Size of a frame's feature.
        hidden_size: Channels of both blocks.
    """

    def __init__(self, feature_size: int, hidden_size: int):
        super().__init__()
        self.blocks = nn.ModuleList(
            [ConvolutionBlock(feature_size, hidden_size), ConvolutionBlock(hidden_size, hidden_size)]
        )

    def forward(self, features: torch.Tensor, lengths: list[int]) -> tuple[torch.Tensor, list[int]]:
        """
        Map padded clips (clips, padded frames, feature size) of the given padded lengths to their output steps.

        Returns:
            (clips, steps, hidden size), zero behind the end of a clip, and the clips' numbers of steps.
        """
        for block in self.blocks:
            features, lengths = block(features, lengths)
        return features, lengths


class BidirectionalLSTM(nn.Module):
    """
    Long-term context: a BiLSTM over the valid steps of each clip.

    Args:
        hidden_size: Size of the input, and of both directions of the output together.
        num_layers: Stacked layers.
        dropout: Between the layers, in training.
    """

    def __init__(self, hidden_size: int, num_layers: int, dropout: float):
        super().__init__()
        self.lstm = nn.LSTM(
            hidden_size,
            hidden_size // 2,
            num_layers=num_layers,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=True,
            batch_first=True,
        )

    def forward(self, hidden: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """Map (clips, steps, hidden size) to the same shape, zero behind the end of a clip."""
        packed = pack_padded_sequence(hidden, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]


__all__ = [
    "BidirectionalLSTM",
    "ConvolutionBlock",
    "TemporalConvolutions",
    "clip_lengths",
    "length_mask",
    "output_length",
    "padded_length",
    "padded_sources",
]
