"""
Live recognition: frames are pushed as they come, glosses come out while the signer goes on.

How late they come (`latency_frames`): a step of the model is 4 frames. It sees up to 9 frames beyond its first, and
cross-frame attention the 2 that follow each of these, so the step that begins with frame t is first read, tentatively,
when frame t + 11 is there. It is stable `lookahead_steps` later, at frame t + 11 + 4·lookahead_steps: with 4 steps
t + 27, at 25 frames a second 1.1 s. The time to compute comes on top (`LiveReport`).
"""

import math
import time as clock
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from adaptsign_hf.inference.frame_stream import FRAMES_OF_A_STEP, StepStream
from adaptsign_hf.inference.frame_times import FrameTimes
from adaptsign_hf.inference.streaming import read_steps
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.temporal_adaptsign import FRAMES_IN_FRONT, STRIDE


@dataclass(frozen=True)
class LiveUpdate:
    """
    What has been read so far.

    Attributes:
        stable: Glosses that will not change any more, from the beginning of the stream.
        tentative: Glosses behind them, of the last seconds, which may still change.
        seconds: Up to where the stream has been read.
    """

    stable: tuple[str, ...]
    tentative: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class LiveResult:
    """
    What was read in a whole stream.

    Attributes:
        glosses: The final reading. For a stream no longer than the window, that of the whole clip without a stream;
            otherwise, of the steps that the last window no longer covers, what was stable.
        stable: What was stable during the stream, and the rest as it was read at its end. It differs from `glosses`
            only where what was signed after `lookahead_steps` would have changed a step's reading.
        first_step: The first step of the last window, 0 if it covers the stream.
        log_probs: Of the last window, float32 (steps, classes), on the CPU.
        num_frames: Length of the stream in frames, those that were dropped included.
    """

    glosses: tuple[str, ...]
    stable: tuple[str, ...]
    first_step: int
    log_probs: torch.Tensor
    num_frames: int


@dataclass(frozen=True)
class LiveReport:
    """
    How live the recognition was.

    Attributes:
        frames_read: Frames that passed through the model.
        frames_dropped: Frames that did not, because others were waiting.
        seconds: Length of what was read.
        processing_seconds: Time that it took.
        tentative_latency: Seconds of video from a frame until its step is first read, at most; without computing.
        stable_latency: Seconds of video from a frame until its step is stable, at most; without computing.
        slowest_read: Longest time that a single call took to read what was waiting, in seconds.
    """

    frames_read: int
    frames_dropped: int
    seconds: float
    processing_seconds: float
    tentative_latency: float
    stable_latency: float
    slowest_read: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing for a second of video; below 1, it keeps up."""
        return self.processing_seconds / self.seconds if self.seconds else math.nan


def latency_frames(cross_frame_radius: int, lookahead_steps: int) -> int:
    """
    Count the frames that must follow a frame, at most, before its step is read with a given lookahead.

    Args:
        cross_frame_radius: Of the model.
        lookahead_steps: 0 for the first, tentative reading.
    """
    last_frame_of_first_step = FRAMES_OF_A_STEP - 1 - FRAMES_IN_FRONT
    return last_frame_of_first_step + cross_frame_radius + STRIDE * lookahead_steps


class BestPath:
    """A best path that grows, collapsed to glosses: equal neighbours become one, blanks are dropped."""

    def __init__(self, blank_id: int):
        self.glosses: list[int] = []
        self._blank = self._last = blank_id

    def extend(self, classes: Iterable[int]) -> None:
        """Take the best classes of the next steps."""
        for best in classes:
            if best not in (self._last, self._blank):
                self.glosses.append(best)
            self._last = best

    def followed_by(self, classes: Iterable[int]) -> list[int]:
        """Return the glosses that these classes would add."""
        path = BestPath(self._blank)
        path._last = self._last
        path.extend(classes)
        return path.glosses


class LiveRecognizer:
    """
    Recognition of a stream, frame by frame, in the thread that pushes; `BackgroundRecognizer` reads in another.

    Each frame passes CLIP once. With each new step, every 4 frames, the BiLSTM runs again over the last
    `window_steps`: at ViT-B/16 4 % of the multiplications that CLIP takes for these frames. Glosses are those of the
    best path. Memory is that of the window, and a number for each stable gloss.

    Args:
        model: The model, in evaluation mode.
        processor: Its processor. If its video processor has an `fps`, frames are resampled to it by their times, as
            those of a file are.
        fps: Frames a second that are pushed; None if they are pushed with their times.
        window_steps: Steps, of 4 frames each, that the BiLSTM sees: 30.7 s at 25 frames a second by default.
        lookahead_steps: How many steps must follow a step until it is stable. More is surer and later.

    Raises:
        ValueError: If the model is in training mode, or a number makes no sense.
    """

    def __init__(
        self,
        model: AdaptSignForCTC,
        processor: AdaptSignProcessor,
        fps: float | None = None,
        window_steps: int = 192,
        lookahead_steps: int = 4,
    ):
        if not 0 <= lookahead_steps < window_steps:
            raise ValueError(
                f"A window of {window_steps} steps with a lookahead of {lookahead_steps}: it must be longer than that."
            )
        self.model, self.processor = model, processor
        self.window_steps, self.lookahead_steps = window_steps, lookahead_steps
        self.times = FrameTimes(fps, processor.video_processor.fps, longest_stay=STRIDE * window_steps)
        self._steps = StepStream(model)
        self._hidden: torch.Tensor | None = None  # the window's steps
        self._first_step = 0  # of the window
        self._log_probs = torch.zeros(0, model.config.vocab_size)  # of the window, as read last
        self._stable = BestPath(model.config.blank_id)
        self._before_window = BestPath(model.config.blank_id)  # what was stable when it left the window
        self._stable_classes: list[int] = []  # of the window's stable steps
        self._frames_read, self._processing_seconds, self._slowest_read = 0, 0.0, 0.0
        self._finished = False

    def push(self, frame: np.ndarray, time: float | None = None) -> LiveUpdate:
        """
        Take the next frame and read it.

        Args:
            frame: uint8 RGB (height, width, 3).
            time: When it was taken, in seconds on any clock; None if the recognizer was given the `fps`.

        Returns:
            What has been read so far.

        Raises:
            ValueError: If it is no image, its time is missing or goes back, or the stream is finished.
        """
        shown = self.prepare(frame, time)
        return self.latest() if shown is None else self.read([shown])

    def prepare(self, frame: np.ndarray, time: float | None = None) -> tuple[torch.Tensor, int] | None:
        """Resize a frame; return what is to be read now, resized, and how often it is shown, for `read`."""
        if self._finished:
            raise ValueError("A frame was pushed to a stream that is finished: start a new recognizer.")
        return self.times.push(self.processor.video_processor.resize_image(frame), time)

    def read(self, shown: list[tuple[torch.Tensor, int]]) -> LiveUpdate:
        """Read frames that `prepare` returned, in one batch; return what has been read so far."""
        started = clock.perf_counter()
        pixels = self.processor.video_processor.crop_and_normalize(torch.stack([frame for frame, _ in shown]))
        self._take(self._steps.push(pixels, [repeats for _, repeats in shown]))
        self._count_time(started, len(shown))
        return self.latest()

    def finish(self) -> LiveResult:
        """
        End the stream: read what waits for frames to follow.

        Raises:
            ValueError: If there was no frame, or the stream is finished already.
        """
        if self._finished:
            raise ValueError("The stream is finished already.")
        last = self.times.finish()
        if last is not None:
            self.read([last])
        started = clock.perf_counter()
        self._take(self._steps.finish())
        self._commit(len(self._log_probs))
        self._count_time(started, 0)
        self._finished = True
        final = self._before_window.glosses + self._before_window.followed_by(self._best_classes())
        return LiveResult(
            glosses=self._names(final),
            stable=self._names(self._stable.glosses),
            first_step=self._first_step,
            log_probs=self._log_probs,
            num_frames=self._steps.num_frames,
        )

    def latest(self) -> LiveUpdate:
        """Return what has been read so far."""
        tentative = self._stable.followed_by(self._best_classes()[len(self._stable_classes) :])
        return LiveUpdate(self._names(self._stable.glosses), self._names(tentative), self._seconds())

    def report(self) -> LiveReport:
        """Return the figures so far."""
        radius, rate = self.model.config.cross_frame_radius, self.times.frames_per_second
        return LiveReport(
            frames_read=self._frames_read,
            frames_dropped=0,
            seconds=self._seconds(),
            processing_seconds=self._processing_seconds,
            tentative_latency=latency_frames(radius, 0) / rate,
            stable_latency=latency_frames(radius, self.lookahead_steps) / rate,
            slowest_read=self._slowest_read,
        )

    def _take(self, hidden: torch.Tensor) -> None:
        """Read new steps. More of them than the window holds, after a pause, are taken in parts."""
        for part in hidden.split(self.window_steps - self.lookahead_steps):
            if len(part) == 0:
                continue
            self._hidden = part if self._hidden is None else torch.cat([self._hidden, part])
            leaving = max(len(self._hidden) - self.window_steps, 0)
            self._hidden = self._hidden[leaving:].clone()
            self._first_step += leaving
            self._before_window.extend(self._stable_classes[:leaving])
            self._stable_classes = self._stable_classes[leaving:]
            self._log_probs = read_steps(self.model, self._hidden)
            self._commit(len(self._log_probs) - self.lookahead_steps)

    def _commit(self, end: int) -> None:
        """Make the window's steps before `end` stable."""
        new = self._best_classes()[len(self._stable_classes) : max(end, 0)]
        self._stable.extend(new)
        self._stable_classes += new

    def _best_classes(self) -> list[int]:
        return self._log_probs.argmax(dim=-1).tolist()

    def _names(self, glosses: list[int]) -> tuple[str, ...]:
        return tuple(self.processor.tokenizer.convert_ids_to_tokens(glosses))

    def _count_time(self, started: float, num_frames: int) -> None:
        seconds = clock.perf_counter() - started
        self._frames_read += num_frames
        self._processing_seconds += seconds
        self._slowest_read = max(self._slowest_read, seconds)

    def _seconds(self) -> float:
        return self._steps.num_frames / self.times.frames_per_second if self._steps.num_frames else 0.0
