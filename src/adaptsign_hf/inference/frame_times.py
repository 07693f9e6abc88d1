"""The times of frames that come live, and the frames that a model of a fixed rate is shown."""

import math

import torch

CLOCK_TOLERANCE = 0.0005  # seconds; time stamps are often rounded to a millisecond


class FrameTimes:
    """
    The times of frames as they come, and how often each is shown at a fixed rate.

    Args:
        fps: Frames a second that come, where they have no times of their own; None if they have.
        model_fps: Frames a second that the model reads: for each instant k/`model_fps` after the first frame, the
            latest frame by then. None for the frames as they come.
        longest_stay: How many such instants one frame is shown at most: after a long pause the stream goes on there.
    """

    def __init__(self, fps: float | None, model_fps: float | None, longest_stay: int):
        for rate in (fps, model_fps):
            if rate is not None and not (math.isfinite(rate) and rate > 0):
                raise ValueError(f"A live stream of {rate} frames a second: give a positive number.")
        self.fps, self.model_fps, self.longest_stay = fps, model_fps, longest_stay
        self.num_frames = 0
        self._first = self._last = self._interval = 0.0
        self._shown: torch.Tensor | None = None
        self._num_instants = 0

    @property
    def frames_per_second(self) -> float:
        """Frames a second that reach the model: as configured, or on average so far."""
        known = self.model_fps or self.fps
        if known is not None:
            return known
        return (self.num_frames - 1) / (self._last - self._first) if self._last > self._first else math.nan

    def push(self, frame: torch.Tensor, time: float | None) -> tuple[torch.Tensor, int] | None:
        """
        Take a frame.

        Args:
            frame: The frame.
            time: Seconds on the stream's clock; None if `fps` is set.

        Returns:
            The frame to be read now, this or the one before, and how often it is shown; None if there is none yet.

        Raises:
            ValueError: If the time is missing, no number or before that of the last frame.
        """
        if time is None:
            if self.fps is None:
                raise ValueError("A frame without a time was pushed: give its time in seconds, or the stream's fps.")
            time = self.num_frames / self.fps
        if not math.isfinite(time) or (self.num_frames and time < self._last):
            raise ValueError(f"A frame of {time} s was pushed after one of {self._last} s: times must not go back.")
        if self.num_frames == 0:
            self._first = time
        self._interval, self._last = (time - self._last if self.num_frames else 0.0), time
        self.num_frames += 1
        if self.model_fps is None:
            return frame, 1
        shown, self._shown = self._shown, frame
        return None if shown is None else self._stay(shown, time)

    def finish(self) -> tuple[torch.Tensor, int] | None:
        """Return the last frame if it is still to be read, and how often it is shown."""
        shown, self._shown = self._shown, None
        if shown is None or self.model_fps is None:
            return None
        return self._stay(shown, self._last + (self._interval or 1 / self.model_fps))

    def _stay(self, frame: torch.Tensor, until: float) -> tuple[torch.Tensor, int] | None:
        assert self.model_fps is not None
        instants_by_then = math.ceil((until - self._first - CLOCK_TOLERANCE) * self.model_fps)
        repeats, self._num_instants = instants_by_then - self._num_instants, max(instants_by_then, self._num_instants)
        return (frame, min(repeats, self.longest_stay)) if repeats > 0 else None
