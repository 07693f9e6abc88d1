"""Decoding: colours, orientation, time."""

import gc
import os
import tracemalloc
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from adaptsign_hf.modeling import video_reading_adaptsign
from adaptsign_hf.modeling.video_reading_adaptsign import (
    iter_frames,
    probe_video,
)

SHARED_VIDEO = Path(__file__).parents[2].parent / "shared" / "video"
ONE = 1 << 16  # 1.0 in a display matrix, but for its last entry
RED = (255, 0, 0)


def solid(color, height=48, width=64):
    return np.full((height, width, 3), color, dtype=np.uint8)


def greys(count, **size):
    """Frames that can be told apart: frame i has the value 5·i."""
    return [solid(5 * i, **size) for i in range(count)]


def noise(count, height=48, width=64):
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def order(frames):
    """Which frame of `greys` each frame is."""
    return [round(frame.mean() / 5) for frame in frames]


def save_images(folder, images):
    folder.mkdir()
    for name, image in images.items():
        image.save(folder / name)
    return folder


# Colours and shapes


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi", "a.gif"])
def test_red_stays_red_and_every_frame_comes(write_video, name):
    frames = list(iter_frames(write_video(name, [solid(RED)] * 7)))
    assert len(frames) == 7
    assert frames[0].shape == (48, 64, 3)
    assert frames[0].dtype == np.uint8
    assert np.abs(frames[-1].astype(int) - RED).max() <= 6


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".webp"])
def test_image_folder_in_natural_order(tmp_path, suffix):
    images = {f"f{i}{suffix}": Image.fromarray(solid(20 * i)) for i in (1, 2, 10, 11)}
    folder = save_images(tmp_path / "clip", images)
    (folder / "notes.txt").write_text("no image")
    (folder / "._f3.png").write_bytes(b"left by another system")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [round(frame.mean() / 20) for frame in iter_frames(folder)] == [1, 2, 10, 11]


def test_image_folder_keeps_rgb_order(tmp_path):
    folder = save_images(tmp_path / "clip", {"1.png": Image.fromarray(solid(RED))})
    np.testing.assert_array_equal(next(iter_frames(folder)), solid(RED))


def test_lossless_pixels_are_exact_and_in_order(write_video):
    wanted = noise(5)
    frames = list(iter_frames(write_video("a.mov", wanted)))
    np.testing.assert_array_equal(frames, wanted)


def test_delayed_frames_are_flushed_in_order(write_video):
    path = write_video("a.mp4", greys(40), codec_options={"bf": "3"})
    assert order(iter_frames(path)) == list(range(40))


@pytest.mark.parametrize("pix_fmt", ["gray", "gray16le"])
def test_grey_video_becomes_three_equal_channels(write_video, pix_fmt):
    frame = next(iter_frames(write_video("a.mkv", [solid(100)], "ffv1", pix_fmt)))
    assert frame.shape == (48, 64, 3)
    assert (frame == frame[..., :1]).all()
    assert abs(int(frame[0, 0, 0]) - 100) <= 16  # grey video may have limited range


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_image_modes_become_rgb(tmp_path, mode):
    suffix = ".jpg" if mode == "CMYK" else ".png"
    folder = save_images(tmp_path / "clip", {f"1{suffix}": Image.new("RGB", (6, 4), "white").convert(mode)})
    np.testing.assert_array_equal(next(iter_frames(folder)), solid(255, 4, 6))


def test_16_bit_image_is_scaled_not_clipped(tmp_path):
    image = Image.fromarray(np.full((4, 6), 128 * 256, dtype=np.uint16))
    np.testing.assert_array_equal(next(iter_frames(save_images(tmp_path / "c", {"1.png": image}))), solid(128, 4, 6))


def test_alpha_is_dropped_leaving_the_stored_colour(tmp_path, write_video):
    half_red = np.dstack([solid(RED, 4, 6), np.full((4, 6), 10, dtype=np.uint8)])
    folder = save_images(tmp_path / "clip", {"1.png": Image.fromarray(half_red)})
    np.testing.assert_array_equal(next(iter_frames(folder)), solid(RED, 4, 6))

    with av.open(str(tmp_path / "alpha.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 4, 6, "rgba"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(half_red, format="rgba")))
        container.mux(stream.encode())
    np.testing.assert_array_equal(next(iter_frames(tmp_path / "alpha.mov")), solid(RED, 4, 6))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 36), (1, 20), (20, 1), (1, 1), (33, 51)])
def test_any_frame_shape(write_video, height, width):
    frames = noise(2, height, width)
    np.testing.assert_array_equal(list(iter_frames(write_video("a.mov", frames))), frames)


def test_odd_sizes_with_subsampled_colour(write_video):
    path = write_video("a.mkv", [solid(RED, 33, 51)] * 2, "ffv1", "yuv420p")
    assert np.abs(next(iter_frames(path)).astype(int) - RED).max() <= 6


def test_frame_size_may_change_midway(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        for index, (height, width) in enumerate([(48, 64), (24, 32)]):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuvj420p"
            encoder.time_base = stream.codec_context.time_base = Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(solid(RED, height, width), format="rgb24").reformat(format="yuvj420p")
            frame.pts = index
            for packet in [*encoder.encode(frame), *encoder.encode(None)]:
                packet.stream = stream
                container.mux(packet)
    assert [frame.shape[:2] for frame in iter_frames(tmp_path / "a.mkv")] == [(48, 64), (24, 32)]


# Orientation. A phone held upright stores turned frames with the matrix (0, 1, −1, 0): turn them clockwise.


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), lambda frame: frame),
        ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1)),
        ((-1, 0, 0, -1), lambda frame: np.rot90(frame, 2)),
        ((0, -1, 1, 0), lambda frame: np.rot90(frame, 1)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda frame: frame.transpose(1, 0, 2)),
    ],
)
def test_display_matrix_is_honoured(write_video, matrix, shown):
    a, b, c, d = (ONE * value for value in matrix)
    frames = noise(2, 6, 10)
    path = write_video("a.mov", frames, matrix=[a, b, 0, c, d, 0, 0, 0, 1 << 30])
    np.testing.assert_array_equal(list(iter_frames(path)), [shown(frame) for frame in frames])


def test_exif_orientation_is_honoured(tmp_path):
    frame = noise(1, 6, 10)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to show
    (tmp_path / "clip").mkdir()
    Image.fromarray(frame).save(tmp_path / "clip" / "1.png", exif=exif)
    np.testing.assert_array_equal(next(iter_frames(tmp_path / "clip")), np.rot90(frame, -1))


# Time


def test_frames_are_kept_as_stored_by_default(write_video):
    path = write_video("a.mov", greys(5), times=[0, 0.04, 0.08, 0.5, 0.54, 0.6])
    assert order(iter_frames(path)) == [0, 1, 2, 3, 4]


def test_variable_frame_rate_is_resampled_by_time(write_video):
    times = [0, 0.04, 0.08, 0.5, 0.54, 0.7, 1.0]
    path = write_video("a.mkv", greys(6), "ffv1", "bgr0", times=times)
    # at 0, 0.1, …, 0.9 s: the last frame is shown until 1.0
    assert order(iter_frames(path, fps=10)) == [0, 2, 2, 2, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize(
    ("fps", "wanted"),
    [(25, range(8)), (12.5, range(0, 8, 2)), (50, np.repeat(range(8), 2)), (100, np.repeat(range(8), 4)), (1, [0])],
)
def test_resampling_a_constant_rate(write_video, fps, wanted):
    assert order(iter_frames(write_video("a.mov", greys(8)), fps=fps)) == list(wanted)


def test_timestamps_rounded_to_milliseconds_lose_no_frame(write_video):
    path = write_video("a.webm", greys(45), fps=30)
    assert order(iter_frames(path, fps=30)) == list(range(45))


def test_time_counts_from_the_first_frame(write_video):
    path = write_video("a.mkv", greys(4), times=[2.0, 2.1, 2.2, 2.3, 2.4], codec="ffv1", pix_fmt="bgr0")
    assert order(iter_frames(path, fps=10)) == [0, 1, 2, 3]


def test_one_frame_with_any_fps(write_video):
    path = write_video("a.mov", greys(1))
    assert len(list(iter_frames(path))) == len(list(iter_frames(path, fps=3))) == 1


@pytest.mark.parametrize("fps", [0, -5, float("nan"), float("inf")])
def test_impossible_fps_is_refused_at_once(write_video, fps):
    path = write_video("a.mov", greys(1))
    with pytest.raises(ValueError, match="positive number"):
        iter_frames(path, fps=fps)


def test_fps_of_a_folder_is_refused(tmp_path):
    folder = save_images(tmp_path / "clip", {"1.png": Image.fromarray(solid(RED))})
    with pytest.raises(ValueError, match="images have no times"):
        iter_frames(folder, fps=25)


# Laziness


def test_first_frame_comes_before_the_file_is_read(write_video, monkeypatch):
    path = write_video("a.mov", greys(50))
    pulled = []
    real = video_reading_adaptsign._packets

    def counted(*args):
        for packet in real(*args):
            pulled.append(packet)
            yield packet

    monkeypatch.setattr(video_reading_adaptsign, "_packets", counted)
    frames = iter_frames(path)
    assert order([next(frames)]) == [0]
    assert len(pulled) < 25
    frames.close()


@pytest.mark.parametrize("fps", [None, 10])
def test_memory_does_not_grow_with_length(write_video, fps):
    path = write_video("a.mp4", [solid(9, 240, 320)] * 60)
    tracemalloc.start()
    for _ in iter_frames(path, fps):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 240 * 320 * 3


# Names and headers


def test_names_that_look_like_something_else(write_video, monkeypatch):
    monkeypatch.chdir(write_video("http: 100%d [é].mov", greys(3)).parent)
    assert order(iter_frames("http: 100%d [é].mov")) == [0, 1, 2]


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.avi"])
def test_probe_video(write_video, name):
    info = probe_video(write_video(name, greys(20), fps=10))
    assert info.fps == pytest.approx(10)
    assert info.duration == pytest.approx(2.0)
    assert info.num_frames in ((None,) if name == "a.webm" else (20,))


def test_probe_folder(tmp_path):
    folder = save_images(tmp_path / "clip", {f"{i}.png": Image.fromarray(solid(RED)) for i in range(3)})
    info = probe_video(folder)
    assert (info.fps, info.num_frames, info.duration) == (None, 3, None)


# Real clips


@pytest.mark.skipif(not SHARED_VIDEO.exists(), reason="the shared clips are not here")
@pytest.mark.parametrize(
    ("name", "count", "shape"),
    [
        ("continuous/clip1.gif", 72, (180, 320, 3)),
        ("continuous/demo_video.mp4", 125, (360, 640, 3)),
        ("isolated/please/69434.mp4", 86, (720, 1280, 3)),
        ("isolated/police/43528.mp4", 52, (192, 288, 3)),  # of 54, two hidden by an edit list
    ],
)
def test_real_clips(name, count, shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shapes = [frame.shape for frame in iter_frames(SHARED_VIDEO / name)]
    assert shapes == [shape] * count


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux tells them")
def test_no_thread_outlives_the_reading(write_video):
    """Else a process forked afterwards, as loaders fork theirs, hangs when it collects what the threads belong to."""
    path = write_video("clip.mp4", [np.full((64, 64, 3), 10 * index, np.uint8) for index in range(12)])
    gc.collect()
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/task"))
        assert len(list(iter_frames(path))) == 12
        next(iter_frames(path))
        assert len(os.listdir("/proc/self/task")) == before
    finally:
        gc.enable()
