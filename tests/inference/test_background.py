import threading

import numpy as np
import pytest
import torch

from adaptsign_hf.inference.background import BackgroundRecognizer
from adaptsign_hf.inference.live import LiveRecognizer


def moving_images(number):
    return np.random.default_rng(0).integers(0, 256, (number, 40, 40, 3), dtype=np.uint8)


class HeldRecognizer(LiveRecognizer):
    """Waits before it reads, until it is let go; remembers what it has read."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.let_go, self.reading = threading.Event(), threading.Event()
        self.repeats_read = []

    def read(self, shown):
        self.reading.set()
        assert self.let_go.wait(timeout=60)
        self.repeats_read += [repeats for _, repeats in shown]
        return super().read(shown)


@pytest.fixture
def held(model_and_processor):
    return HeldRecognizer(*model_and_processor, fps=6)


def is_running():
    return any(thread.name == "adaptsign-live" for thread in threading.enumerate())


def test_it_reads_what_a_recognizer_without_a_thread_reads(model_and_processor):
    alone = LiveRecognizer(*model_and_processor, fps=6)
    for image in moving_images(50):
        alone.push(image)
    expected = alone.finish()
    with BackgroundRecognizer(LiveRecognizer(*model_and_processor, fps=6), max_waiting=50) as live:
        for image in moving_images(50):
            update = live.push(image)
            assert update.seconds <= 50 / 6
        result = live.finish()
        assert result.glosses == expected.glosses
        torch.testing.assert_close(result.log_probs, expected.log_probs, rtol=0, atol=1e-5)
        assert live.latest().stable == result.stable
        assert (live.report().frames_read, live.report().frames_dropped) == (50, 0)
    assert not is_running()


def test_what_cannot_wait_is_dropped_evenly_and_counted(held):
    with BackgroundRecognizer(held, max_waiting=8) as live:
        images = moving_images(17)
        live.push(images[0])
        assert held.reading.wait(timeout=60)
        for image in images[1:]:
            assert live.push(image).stable == ()
        assert live.report().frames_dropped == 8
        held.let_go.set()
        result = live.finish()
        assert held.repeats_read == [1] + [2] * 8  # each second one of those that waited
        assert result.num_frames == 17  # the stream is as long as it was
        assert (live.report().frames_read, live.report().frames_dropped) == (9, 8)


def test_the_camera_may_write_over_its_frame(model_and_processor, held):
    images = moving_images(9)
    alone = LiveRecognizer(*model_and_processor, fps=6)
    buffer = np.empty_like(images[0])
    with BackgroundRecognizer(held) as live:
        for image in images:
            alone.push(image)
            buffer[:] = image
            live.push(buffer)
        held.let_go.set()
        torch.testing.assert_close(live.finish().log_probs, alone.finish().log_probs, rtol=0, atol=1e-5)


def test_an_error_of_the_thread_is_the_callers(held, monkeypatch):
    def fail(frames):
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(held.processor.video_processor, "crop_and_normalize", fail)
    with BackgroundRecognizer(held) as live:
        live.push(moving_images(1)[0])
        held.let_go.set()
        live._thread.join(timeout=60)
        for call in (lambda: live.push(moving_images(1)[0]), live.latest, live.finish):
            with pytest.raises(RuntimeError, match="the device is gone"):
                call()
    assert not is_running()


def test_an_error_while_it_ends_is_the_callers(held, monkeypatch):
    monkeypatch.setattr(held.model.model, "read_layers", lambda frames: 1 / 0)
    with BackgroundRecognizer(held) as live:
        live.push(moving_images(1)[0])
        held.let_go.set()
        with pytest.raises(ZeroDivisionError):
            live.finish()


def test_closing_midway_reads_no_more(held):
    live = BackgroundRecognizer(held)
    live.push(moving_images(1)[0])
    assert held.reading.wait(timeout=60)
    for image in moving_images(5):
        live.push(image)
    held.let_go.set()
    live.close()
    live.close()
    assert not is_running()
    assert len(held.repeats_read) <= 6
    for call in (lambda: live.push(moving_images(1)[0]), live.finish):
        with pytest.raises(ValueError, match="finished or closed"):
            call()


def test_misuse_is_told(model_and_processor, held):
    with pytest.raises(ValueError, match="0 frames wait"):
        BackgroundRecognizer(held, max_waiting=0)
    with BackgroundRecognizer(LiveRecognizer(*model_and_processor)) as live:
        with pytest.raises(ValueError, match="fps"):
            live.push(moving_images(1)[0])
        with pytest.raises(ValueError, match="without a frame"):
            live.finish()
    assert not is_running()
