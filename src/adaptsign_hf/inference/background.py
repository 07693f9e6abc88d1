"""Live recognition in a thread of its own, for cameras that do not wait."""

import threading
from dataclasses import replace

import numpy as np
import torch

from adaptsign_hf.inference.live import LiveRecognizer, LiveReport, LiveResult, LiveUpdate


class BackgroundRecognizer:
    """
    Reads a stream in another thread; `push` returns at once.

    When frames come faster than they can be read, `max_waiting` of them wait. Then, for each that comes, one is
    dropped: the one whose absence leaves the shortest gap, so that losses are spread evenly and no sign vanishes
    whole. The frame before a dropped one is shown for longer instead, which costs nothing: a sign keeps its length,
    where leaving frames out would make the signer faster. (With half the frames dropped, WER of the demo's model goes
    from 4 to 6 %, not to 71 %: benchmarks/streaming.py.)

    Use it in a `with` statement, which stops the thread. An error of the thread is raised by the next call.

    Args:
        recognizer: A fresh recognizer; it is this one's from now on.
        max_waiting: Frames.

    Raises:
        ValueError: If `max_waiting` is not positive.
    """

    def __init__(self, recognizer: LiveRecognizer, max_waiting: int = 16):
        if max_waiting < 1:
            raise ValueError(f"A live stream that lets {max_waiting} frames wait: give 1 or more.")
        self.max_waiting = max_waiting
        self._recognizer = recognizer
        self._waiting: list[tuple[torch.Tensor, int]] = []
        self._num_dropped = 0
        self._latest = recognizer.latest()
        self._error: Exception | None = None
        self._ended = False  # no frame will follow
        self._changed = threading.Condition()  # guards all of the above
        self._thread = threading.Thread(target=self._work, name="adaptsign-live", daemon=True)
        self._thread.start()

    def __enter__(self) -> "BackgroundRecognizer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def push(self, frame: np.ndarray, time: float | None = None) -> LiveUpdate:
        """
        Take the next frame, to be read soon.

        Args:
            frame: uint8 RGB (height, width, 3). It is copied: the camera may write over it.
            time: When it was taken, in seconds on any clock; None if the recognizer was given the `fps`.

        Returns:
            What has been read so far; frames that wait are not in it.

        Raises:
            ValueError: As `LiveRecognizer.push`, or if the stream is finished or closed.
            Exception: Whatever stopped the thread.
        """
        with self._changed:
            self._check()
            shown = self._recognizer.prepare(frame, time)
            if shown is not None:
                self._waiting.append(shown)
                if len(self._waiting) > self.max_waiting:
                    self._drop_one()
                self._changed.notify_all()
            return self._latest

    def finish(self) -> LiveResult:
        """
        Wait until all that was pushed has been read, and end the stream.

        Raises:
            ValueError: If there was no frame, or the stream is finished or closed.
            Exception: Whatever stopped the thread.
        """
        with self._changed:
            self._check()
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        if self._error is not None:
            raise self._error
        result = self._recognizer.finish()
        self._latest = self._recognizer.latest()
        return result

    def close(self) -> None:
        """Stop, without reading what waits. After `finish`, or a second time, it does nothing."""
        with self._changed:
            self._ended = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    def latest(self) -> LiveUpdate:
        """
        Return what has been read so far.

        Raises:
            Exception: Whatever stopped the thread.
        """
        with self._changed:
            if self._error is not None:
                raise self._error
            return self._latest

    def report(self) -> LiveReport:
        """Return the figures so far."""
        with self._changed:
            return replace(self._recognizer.report(), frames_dropped=self._num_dropped)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._ended:
            raise ValueError("The live stream is finished or closed: start a new recognizer.")

    def _drop_one(self) -> None:
        stays = [before[1] + after[1] for before, after in zip(self._waiting, self._waiting[1:], strict=False)]
        index = stays.index(min(stays))
        self._waiting[index] = (self._waiting[index][0], stays[index])
        del self._waiting[index + 1]
        self._num_dropped += 1

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                shown, self._waiting = self._waiting, []
            try:
                update = self._recognizer.read(shown)
            except Exception as error:  # of any kind: it is the caller's, who is in another thread
                with self._changed:
                    self._error = error
                return
            with self._changed:
                self._latest = update
