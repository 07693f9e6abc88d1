"""Files that are damaged, cut short or no videos at all."""

import warnings
import wave

import av
import numpy as np
import pytest
from PIL import Image

from adaptsign_hf.modeling.video_reading_adaptsign import (
    TruncatedVideoWarning,
    VideoReadError,
    iter_frames,
    probe_video,
)


def noise(count, height=48, width=64):
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def save_images(folder, images):
    folder.mkdir()
    for name, image in images.items():
        image.save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mp4", {"movflags": "+faststart"}), ("a.mkv", {}), ("a.webm", {}), ("a.avi", {}), ("a.gif", {})],
)
def test_truncated_file_gives_its_frames_and_a_warning(write_video, name, options, capfd):
    path = write_video(name, noise(30), options=options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = list(iter_frames(path))
    assert len(whole) == 30
    cut(path, 0.6)
    with pytest.warns(TruncatedVideoWarning) as caught:
        frames = list(iter_frames(path))
    assert 1 <= len(frames) < 30
    intact = len(frames) - (name == "a.gif")  # FFmpeg hands on the half of a GIF frame unmarked
    np.testing.assert_array_equal(frames[:intact], whole[:intact])
    assert str(path) in str(caught[0].message)
    assert f"only {len(frames)} frames" in str(caught[0].message)
    assert capfd.readouterr().err == ""


def test_file_cut_between_two_frames(write_video):
    path = write_video("a.mp4", noise(30), options={"movflags": "+faststart"}, codec_options={"bf": "0"})
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[9]
        end = entry.pos + entry.size
    path.write_bytes(path.read_bytes()[:end])
    with pytest.warns(TruncatedVideoWarning, match="only 10 frames"):
        assert len(list(iter_frames(path))) == 10


def test_bytes_spoilt_midway_leave_the_rest(write_video):
    path = write_video("a.mov", noise(9))
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[4]
    data = bytearray(path.read_bytes())
    data[entry.pos : entry.pos + entry.size] = bytes(entry.size)
    path.write_bytes(data)
    with pytest.warns(TruncatedVideoWarning, match="only 8 frames"):
        frames = list(iter_frames(path))
    np.testing.assert_array_equal(frames, noise(9)[:4] + noise(9)[5:])


def test_damaged_image_is_left_out_with_a_warning(tmp_path):
    images = {f"{i}.png": Image.fromarray(frame) for i, frame in enumerate(noise(3))}
    folder = save_images(tmp_path / "clip", images)
    cut(folder / "1.png", 0.5)
    with pytest.warns(TruncatedVideoWarning, match=r"1\.png.*only 2 frames"):
        frames = list(iter_frames(folder))
    np.testing.assert_array_equal(frames, [noise(3)[0], noise(3)[2]])


def test_mp4_cut_before_its_index_cannot_be_opened(write_video):
    path = cut(write_video("a.mp4", noise(10)), 0.9)
    with pytest.raises(VideoReadError, match=r"Cannot open .*a\.mp4"):
        list(iter_frames(path))


def test_no_whole_frame_is_an_error(write_video):
    path = write_video("a.mp4", noise(10), options={"movflags": "+faststart"})
    with av.open(str(path)) as container:
        start = min(entry.pos for entry in container.streams.video[0].index_entries)
    path.write_bytes(path.read_bytes()[: start + 50])
    with pytest.raises(VideoReadError, match=r"No frame of .*a\.mp4"):
        list(iter_frames(path))


# What is no video


@pytest.mark.parametrize(
    ("name", "content"), [("a.mp4", b"not a video " * 50), ("a.mp4", b""), ("a.txt", b"just text\n" * 50)]
)
def test_not_a_video(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    for read in (probe_video, lambda source: list(iter_frames(source))):
        with pytest.raises(VideoReadError, match=name):
            read(path)


def test_sound_only(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    with pytest.raises(VideoReadError, match="holds no video"):
        list(iter_frames(tmp_path / "a.wav"))


def test_gif_of_zero_frames(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a\x04\x00\x04\x00\x00\x00\x00;")
    with pytest.raises(VideoReadError, match=r"a\.gif"):
        list(iter_frames(tmp_path / "a.gif"))


def test_empty_folder(tmp_path):
    with pytest.raises(VideoReadError, match="holds no images"):
        list(iter_frames(tmp_path))


def test_missing_file_is_told_at_once(tmp_path):
    for read in (iter_frames, probe_video):
        with pytest.raises(FileNotFoundError, match=r"There is no video at .*gone\.mp4"):
            read(tmp_path / "gone.mp4")
