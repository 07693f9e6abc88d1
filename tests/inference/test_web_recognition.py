import math
import shutil
import warnings
from pathlib import Path

import av
import numpy as np
import pytest

from adaptsign_hf.inference.pipeline import SignLanguageRecognitionPipeline
from adaptsign_hf.inference.recognition import recognize_video
from adaptsign_hf.inference.web_recognition import (
    UploadLimits,
    UploadRefused,
    check_upload,
    decoding_upload,
    recognize_upload,
    within_limits,
    write_files,
)

REAL_VIDEOS = Path(__file__).parents[3] / "shared" / "video" / "isolated"


def write_video(path, num_frames=20, fps=10, side=32, codec="libx264", options=None):
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for index in range(num_frames):
            picture = np.full((side, side, 3), 10 * index % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_the_reading_is_the_packages_own(model_and_processor, clips):
    pipeline = SignLanguageRecognitionPipeline(model=model_and_processor[0], processor=model_and_processor[1])
    for clip in clips:
        reading = recognize_upload(*model_and_processor, clip.path)
        own = pipeline(str(clip.path), return_timestamps=True)
        assert reading.text == recognize_video(*model_and_processor, clip.path) == own["glosses"] != ""
        assert not reading.is_damaged
        for gloss, expected in zip(reading.recognized.glosses, own["timestamps"], strict=True):
            assert gloss.gloss == expected["gloss"]
            assert gloss.start == pytest.approx(expected["start"])
            assert gloss.end == pytest.approx(expected["end"])
        assert reading.recognized.glosses[-1].end <= reading.seconds


def test_other_readings_come_best_first(model_and_processor, clips):
    readings = recognize_upload(*model_and_processor, clips[0].path, n_best=4).recognized.alternatives
    assert len(readings) == 4
    scores = [reading.log_probability for reading in readings]
    assert scores == sorted(scores, reverse=True)
    assert len({reading.glosses for reading in readings}) == 4


def test_files_have_the_videos_name_and_do_not_tell_where_it_lay(model_and_processor, clips, tmp_path):
    upload = shutil.copy(clips[0].path, tmp_path / "greeting.mp4")
    reading = recognize_upload(*model_and_processor, upload)
    (tmp_path / "out").mkdir()
    vtt, eaf = write_files(reading, tmp_path / "out")
    assert [vtt.name, eaf.name] == ["greeting.vtt", "greeting.eaf"]
    assert vtt.read_text().count("-->") == len(reading.recognized.glosses)
    for gloss in reading.recognized.glosses:
        assert f"<ANNOTATION_VALUE>{gloss.gloss}</ANNOTATION_VALUE>" in eaf.read_text()
    assert str(tmp_path) not in vtt.read_text() + eaf.read_text()


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi", ".mkv"])
def test_length_is_counted_in_the_packets(tmp_path, suffix):
    codec = "libvpx" if suffix == ".webm" else "libx264"
    upload = check_upload(write_video(tmp_path / f"video{suffix}", codec=codec), UploadLimits())
    assert upload.seconds == pytest.approx(2.0, abs=0.11)
    assert upload.fps == pytest.approx(10, rel=0.06)


def test_a_recording_of_a_browser_which_does_not_say_how_long_it_is(tmp_path, model_and_processor):
    path = write_video(tmp_path / "webcam.webm", codec="libvpx", options={"live": "1"})
    with av.open(str(path)) as container:
        assert container.duration is None
    assert check_upload(path, UploadLimits()).seconds == pytest.approx(2.0, abs=0.11)
    assert recognize_upload(*model_and_processor, path).seconds == pytest.approx(2.0, abs=0.11)
    with pytest.raises(UploadRefused, match=r"longer than 1\.5 seconds"):
        check_upload(path, UploadLimits(seconds=1.5))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"megabytes": 0.001}, r"has 0 MB, and at most 0\.001 MB are read"),
        ({"seconds": 1}, "longer than 1 seconds.*Please cut it"),
        ({"frames": 19}, "more than 19 pictures"),
        ({"pixels": 1000}, "32 x 32 pixels large"),
    ],
)
def test_what_is_beyond_a_limit_is_not_decoded(tmp_path, limits, message):
    path = write_video(tmp_path / "video.mp4")
    with pytest.raises(UploadRefused, match=message) as refused:
        check_upload(path, UploadLimits(**limits))
    assert str(tmp_path) not in str(refused.value)
    check_upload(path, UploadLimits(seconds=2, frames=20, pixels=1024))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"I am a text. " * 100,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"\x00\x00\x00\x20ftypisom" + b"\x00" * 500,
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 500,
    ],
    ids=["empty", "text", "play list", "list of files", "mp4 of nothing", "picture"],
)
def test_what_is_no_video_whatever_its_name(tmp_path, content):
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(UploadRefused, match="not a video that can be read here") as refused:
        check_upload(path, UploadLimits())
    assert "video.mp4" not in str(refused.value)


def test_sound_alone(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(UploadRefused, match="only sound"):
        check_upload(path, UploadLimits())


def test_nothing_was_chosen(model_and_processor):
    with pytest.raises(UploadRefused, match="choose a video first"):
        recognize_upload(*model_and_processor, None)


def test_a_video_that_breaks_off_is_read_as_far_as_it_goes(tmp_path, model_and_processor, clips):
    path = write_video(tmp_path / "video.mkv", num_frames=60, side=128)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would be printed, with the file's name
        reading = recognize_upload(*model_and_processor, path)
    assert reading.is_damaged
    assert 0 < reading.seconds < 6


def test_a_video_of_which_nothing_can_be_decoded(tmp_path, model_and_processor):
    path = write_video(tmp_path / "video.mp4")
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    assert start < end
    path.write_bytes(content[:start] + b"\xff" * (end - start) + content[end:])
    with pytest.raises(UploadRefused, match="No picture of this video could be decoded") as refused:
        recognize_upload(*model_and_processor, path)
    assert str(tmp_path) not in str(refused.value)


def test_unreadable_uploads_are_refused_whoever_decodes_them(model_and_processor, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UploadRefused, match="No picture"), decoding_upload():
        recognize_video(*model_and_processor, tmp_path / "text.mp4")


def test_reading_stops_when_it_takes_too_long():
    chunks = iter([np.zeros(4)] * 3)
    with pytest.raises(UploadRefused, match="longer than 1e-09 seconds"):
        list(within_limits(chunks, UploadLimits(processing_seconds=1e-9)))
    assert len(list(chunks)) == 2


def test_frames_that_a_fixed_rate_makes_are_counted_too():
    chunks = [np.zeros(4)] * 3
    assert len(list(within_limits(chunks, UploadLimits(frames=12)))) == 3
    with pytest.raises(UploadRefused, match="too long"):
        list(within_limits(chunks, UploadLimits(frames=11)))


@pytest.mark.parametrize("limit", [{"seconds": 0}, {"frames": -1}, {"megabytes": math.nan}])
def test_a_limit_that_is_none(limit):
    with pytest.raises(ValueError, match="give a positive number"):
        UploadLimits(**limit)


@pytest.mark.skipif(not REAL_VIDEOS.is_dir(), reason=f"there is no {REAL_VIDEOS}")
def test_filmed_clips_pass():
    paths = sorted(REAL_VIDEOS.glob("*/*.mp4"))
    for path in paths:
        upload = check_upload(path, UploadLimits())
        assert 0.3 < upload.seconds < 30
        assert 10 < upload.fps < 61
    assert len(paths) > 30
