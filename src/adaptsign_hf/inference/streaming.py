"""
Recognition of videos of any length in constant memory.

Frames pass CLIP once each, and the convolutions' steps are computed once (`frame_stream`). The BiLSTM, which sees a
clip in both directions, runs over a window of steps that moves on; what it says of the steps in the window's middle,
which have context on both sides, is kept. The log-probabilities come out in segments cut where nothing is signed, so
that each can be decoded, aligned and timed by itself.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from adaptsign_hf.inference.frame_stream import StepStream
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.temporal_adaptsign import STRIDE
from adaptsign_hf.modeling.video_processing_adaptsign import Video

SEGMENT_STEPS = 192  # 768 frames: 30.7 s at 25 frames a second
CONFIDENT_BLANK = math.log(0.9)


@dataclass(frozen=True)
class HeadWindow:
    """
    The window of steps over which the BiLSTM runs; a step is 4 frames, 0.16 s at 25 frames a second.

    A clip that fits into it is read at one go, as without a stream. A longer one costs `length / hop` times the BiLSTM
    of the whole clip, twice by default, and the memory of one window.

    Attributes:
        left_context: Steps before those that are kept.
        hop: Steps that are kept of each window.
        lookahead: Steps behind those that are kept.
    """

    left_context: int = 48
    hop: int = 96
    lookahead: int = 48

    def __post_init__(self):
        if self.left_context < 0 or self.lookahead < 0 or self.hop < 1:
            raise ValueError(f"{self}: contexts must be 0 or more, and hop at least 1 step.")

    @property
    def length(self) -> int:
        """Steps of the whole window."""
        return self.left_context + self.hop + self.lookahead


@dataclass(frozen=True)
class Segment:
    """
    A stretch of a video that can be decoded by itself. The segments of a video follow each other without a gap.

    Attributes:
        first_step: Number of its first step in the video; step k begins with frame 4k.
        log_probs: float32 (steps, classes), on the CPU.
        num_frames: Frames of the video that it covers: 4 a step, but for the last step of the video.
    """

    first_step: int
    log_probs: torch.Tensor
    num_frames: int

    @property
    def first_frame(self) -> int:
        """Number of its first frame in the video."""
        return STRIDE * self.first_step


@torch.no_grad()
def read_steps(model: AdaptSignForCTC, hidden: torch.Tensor) -> torch.Tensor:
    """Run BiLSTM and classifier over steps (steps, hidden size); return log-probabilities (steps, classes)."""
    logits = model.classifier(model.bilstm(hidden[None], [len(hidden)]))[0]
    return logits.float().log_softmax(dim=-1).cpu()


def iter_segments(
    model: AdaptSignForCTC,
    processor: AdaptSignProcessor,
    video: Video,
    window: HeadWindow | None = None,
    segment_steps: int = SEGMENT_STEPS,
) -> Iterator[Segment]:
    """
    Read a video in memory that does not grow with its length.

    Args:
        model: The model, in evaluation mode.
        processor: Its processor.
        video: A video file, a folder of numbered images, or frames in memory, as for `AdaptSignVideoProcessor`.
        window: Over which steps the BiLSTM runs at a time; `HeadWindow()` by default.
        segment_steps: Length from which on a segment is cut at the next blank; see `cut_segments`.

    Yields:
        The video's segments in order. One of up to `segment_steps` steps is one segment; and the log-probabilities of
        one of up to `window.length` steps are those of `model(...)`, up to rounding.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        VideoReadError: If no frame of it can be read.
        ValueError: If frames in memory are no video, or the model is in training mode.
    """
    return recognize_stream(model, normalized_chunks(model, processor, video), window, segment_steps)


def normalized_chunks(model: AdaptSignForCTC, processor: AdaptSignProcessor, video: Video) -> Iterator[torch.Tensor]:
    """Yield a video's frames as pixel values (frames, 3, height, width), `frame_chunk_size` at a time."""
    waiting: list[torch.Tensor] = []
    for frame in processor.video_processor.iter_video_frames(video):
        if waiting and frame.shape != waiting[0].shape:
            raise ValueError(
                f"The frames of one video differ in size ({tuple(waiting[0].shape[1:])} and {tuple(frame.shape[1:])}) "
                "and do_resize is off: set do_resize=True."
            )
        waiting.append(frame)
        if len(waiting) == model.config.frame_chunk_size:
            yield processor.video_processor.crop_and_normalize(torch.stack(waiting))
            waiting = []
    if waiting:
        yield processor.video_processor.crop_and_normalize(torch.stack(waiting))


def recognize_stream(
    model: AdaptSignForCTC,
    chunks: Iterable[torch.Tensor],
    window: HeadWindow | None = None,
    segment_steps: int = SEGMENT_STEPS,
) -> Iterator[Segment]:
    """
    Read frames that come in chunks.

    Args:
        model: The model, in evaluation mode.
        chunks: float (frames, 3, height, width) each, normalised, of any number of frames.
        window: Over which steps the BiLSTM runs at a time; `HeadWindow()` by default.
        segment_steps: Length from which on a segment is cut at the next blank; see `cut_segments`.

    Yields:
        The segments in order, as `iter_segments` does.

    Raises:
        ValueError: If there is no frame, or the model is in training mode.
    """
    steps = StepStream(model)
    blocks = iter_log_probs(model, steps, chunks, window or HeadWindow())
    for first_step, log_probs in cut_segments(blocks, model.config.blank_id, segment_steps):
        num_frames = min(STRIDE * len(log_probs), steps.num_frames - STRIDE * first_step)
        yield Segment(first_step, log_probs, num_frames)


def iter_log_probs(
    model: AdaptSignForCTC, steps: StepStream, chunks: Iterable[torch.Tensor], window: HeadWindow
) -> Iterator[tuple[int, torch.Tensor]]:
    """
    Run the BiLSTM over a moving window of steps.

    Args:
        model: The model.
        steps: A fresh stream of its steps; it counts the frames.
        chunks: float (frames, 3, height, width) each, normalised.
        window: Which steps the BiLSTM sees at a time.

    Yields:
        Blocks: the number of the first step, and log-probabilities (steps, classes). They come once each, in order.
    """
    hidden: torch.Tensor | None = None  # the steps from `first` on
    first = committed = 0

    def hidden_steps() -> Iterator[torch.Tensor]:
        for chunk in chunks:
            yield steps.push(chunk)
        yield steps.finish()

    for new in hidden_steps():
        hidden = new if hidden is None else torch.cat([hidden, new])
        # Only when more than the window is there: a clip that just fits is read at one go.
        while len(hidden) > window.length:
            log_probs = read_steps(model, hidden[: window.length])
            end = first + window.length - window.lookahead
            yield committed, log_probs[committed - first : end - first]
            committed = end
            hidden, first = hidden[end - window.left_context - first :].clone(), end - window.left_context
    assert hidden is not None
    yield committed, read_steps(model, hidden)[committed - first :]


def cut_segments(
    blocks: Iterable[tuple[int, torch.Tensor]], blank_id: int, segment_steps: int = SEGMENT_STEPS
) -> Iterator[tuple[int, torch.Tensor]]:
    """
    Put blocks of log-probabilities together to segments that can be decoded one by one.

    A segment ends with the first blank of probability 0.9 or more from its step `segment_steps` on; where there is
    none among twice as many steps, with the most probable blank of their later half, at a place where the best class
    changes. Best-path decoding of the segments gives that of the whole. (But for one gloss that is the best class of
    all steps of the later half: it is cut, and then counts twice.)

    Args:
        blocks: The number of the first step, and log-probabilities (steps, classes); without gaps.
        blank_id: Id of the blank.
        segment_steps: Steps.

    Yields:
        Segments of the same form, of at most `2·segment_steps` steps. Together they hold each step once.

    Raises:
        ValueError: If `segment_steps` is not positive.
    """
    if segment_steps < 1:
        raise ValueError(f"Cutting into segments of {segment_steps} steps: give 1 or more.")
    waiting: torch.Tensor | None = None
    first = 0
    for first_of_block, block in blocks:
        if waiting is None:
            waiting, first = block, first_of_block
        else:
            assert first_of_block == first + len(waiting)
            waiting = torch.cat([waiting, block])
        while (end := end_of_segment(waiting, blank_id, segment_steps)) is not None:
            yield first, waiting[:end].clone()
            waiting, first = waiting[end:].clone(), first + end
    if waiting is not None and len(waiting):
        yield first, waiting


def end_of_segment(log_probs: torch.Tensor, blank_id: int, segment_steps: int) -> int | None:
    """Return how many of the steps make up the first segment, or None if that cannot be said yet."""
    candidates = log_probs[segment_steps - 1 : 2 * segment_steps, blank_id]  # the last step of a segment is a blank
    confident = (candidates >= CONFIDENT_BLANK).nonzero()
    if len(confident):
        return segment_steps + int(confident[0])
    if len(log_probs) <= 2 * segment_steps:
        return None
    best = log_probs[segment_steps - 1 : 2 * segment_steps + 1].argmax(dim=-1)
    harmless = (best[:-1] == blank_id) | (best[:-1] != best[1:])
    return segment_steps + int(candidates.masked_fill(~harmless, -math.inf).argmax())
