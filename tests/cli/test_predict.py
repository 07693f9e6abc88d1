import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.inference.recognition import recognize_video


@pytest.fixture
def videos(corpus):
    return sorted((corpus / "videos").glob("testset_*"))


def lines(model_folder, videos):
    model, processor = load_model(model_folder, "cpu")
    return "".join(f"{video}\t{recognize_video(model, processor, video)}\n" for video in videos)


@pytest.mark.parametrize("options", [(), ("--quiet",), ("--device", "cpu", "--strict")])
def test_each_video_is_a_line(adaptsign, model_folder, videos, options):
    result = adaptsign("predict", model_folder, *videos, *options)
    assert (result.code, result.stdout) == (0, lines(model_folder, videos))
    assert any(line.split("\t")[1] for line in result.stdout.splitlines())
    assert "\n" not in result.stderr.strip()
    assert "error" not in result.stderr


def test_the_real_command(model_folder, videos):
    command = [sys.executable, "-m", "adaptsign_hf.cli", "predict", str(model_folder), str(videos[0])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, lines(model_folder, videos[:1]), "")


def test_bad_videos_are_named_and_the_others_read(adaptsign, model_folder, videos, tmp_path):
    empty, text, gone = (tmp_path / name for name in ("empty.mp4", "text.mp4", "gone.mp4"))
    empty.touch()
    text.write_text("no video")
    result = adaptsign("predict", model_folder, empty, videos[0], text, gone, videos[1])
    assert (result.code, result.stdout) == (1, lines(model_folder, videos[:2]))
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert [str(path) in line for path, line in zip((empty, text, gone), errors, strict=True)] == [True] * 3
    assert result.stderr.endswith("3 of 5 videos could not be read\n")
    assert "Traceback" not in result.stderr


def test_strict_ends_at_the_first_bad_video(adaptsign, model_folder, videos, tmp_path):
    result = adaptsign("predict", model_folder, videos[0], tmp_path / "gone.mp4", videos[1], "--strict")
    assert (result.code, result.stdout) == (1, lines(model_folder, videos[:1]))
    assert result.stderr.splitlines()[-1].startswith("error: There is no video at ")


def test_a_video_that_ends_early_is_read_with_a_warning(adaptsign, model_folder, tmp_path):
    pictures = [Image.effect_noise((32, 32), spread) for spread in range(10, 200, 10)]
    pictures[0].save(tmp_path / "whole.gif", save_all=True, append_images=pictures[1:])
    data = (tmp_path / "whole.gif").read_bytes()
    (tmp_path / "short.gif").write_bytes(data[: len(data) // 2])
    result = adaptsign("predict", model_folder, tmp_path / "short.gif")
    assert result.code == 0
    assert result.stdout.startswith(f"{tmp_path / 'short.gif'}\t")
    assert result.stderr.startswith("warning: ")
    assert "short.gif is damaged or cut short" in result.stderr


@pytest.mark.parametrize("options", [("--device", "warp drive"), ("--device", "xpu:7")])
def test_a_device_that_does_not_exist_is_told(adaptsign, model_folder, videos, options):
    result = adaptsign("predict", model_folder, videos[0], *options)
    assert (result.code, result.stdout) == (1, "")
    assert "error: " in result.stderr
    assert options[1] in result.stderr


def test_a_folder_without_a_model_is_told(adaptsign, videos, tmp_path):
    result = adaptsign("predict", tmp_path, videos[0])
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: Loading a model from {tmp_path}: there is no config.json in it.")


@pytest.mark.parametrize("options", [(), ("--batch-size", 2), ("--decoder", "beam", "--n-best", 2)])
def test_json_is_a_line_each(adaptsign, model_folder, videos, options):
    result = adaptsign("predict", model_folder, *videos, "--format", "json", *options)
    assert result.code == 0
    read = [json.loads(line) for line in result.stdout.splitlines()]
    assert [entry["video"] for entry in read] == list(map(str, videos))
    assert all(entry["text"] == " ".join(gloss["gloss"] for gloss in entry["glosses"]) for entry in read)
    if "--n-best" in options:
        assert all(" ".join(entry["alternatives"][0]["glosses"]) == entry["text"] for entry in read)
    else:
        assert "".join(f"{entry['video']}\t{entry['text']}\n" for entry in read) == lines(model_folder, videos)


@pytest.mark.parametrize(("format", "start"), [("vtt", "WEBVTT\n"), ("srt", "1\n00:00:0"), ("eaf", "<?xml version")])
def test_one_video_in_any_format_goes_to_stdout(adaptsign, model_folder, videos, format, start, tmp_path):
    result = adaptsign("predict", model_folder, videos[0], "--format", format)
    assert result.code == 0
    assert result.stdout.startswith(start)
    result = adaptsign("predict", model_folder, *videos, "--format", format)
    assert (result.code, result.stdout) == (2, "")
    assert "--output-dir" in result.stderr


@pytest.mark.parametrize("format", ["json", "vtt", "srt", "eaf"])
def test_a_folder_goes_to_a_folder_and_is_not_done_again(adaptsign, model_folder, videos, format, tmp_path):
    arguments = ("predict", model_folder, videos[0].parent, "--format", format, "--output-dir", tmp_path / "out")
    assert adaptsign(*arguments).code == 0
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert {path.name for path in files} >= {f"{video.stem}.{format}" for video in videos}
    again = min(files)
    again.rename(tmp_path / "out" / f".{again.name}.7.partial")  # as a killed run leaves it
    result = adaptsign(*arguments)
    assert (result.code, result.stdout) == (0, "")
    assert f"{len(files) - 1} of {len(files)} videos were done before" in result.stderr
    now = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert now.keys() == files.keys()
    assert {path for path in files if now[path] != files[path]} <= {again}
    assert adaptsign(*arguments).code == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == now


def test_bad_videos_get_no_file(adaptsign, model_folder, videos, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    options = ("--format", "json", "--output-dir", tmp_path / "out", "--batch-size", 3)
    result = adaptsign("predict", model_folder, tmp_path / "bad.mp4", *videos, *options)
    assert result.code == 1
    assert "bad.mp4" in result.stderr
    assert {path.name for path in (tmp_path / "out").rglob("*.json")} == {f"{video.stem}.json" for video in videos}


def test_images_get_their_times_from_the_rate_given(adaptsign, model_folder, tmp_path):
    generator = np.random.default_rng(0)
    (tmp_path / "clip").mkdir()
    for number in range(9):
        pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "clip" / f"{number}.png")
    result = adaptsign("predict", model_folder, tmp_path / "clip", "--format", "json")
    assert result.code == 1
    assert "frame rate is not known" in result.stderr
    result = adaptsign("predict", model_folder, tmp_path / "clip", "--format", "json", "--fps", "25")
    assert result.code == 0
    assert '"fps": 25.0' in result.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--n-best", 2), "--n-best needs --format json"),
        (("--output-dir", "out"), "--output-dir needs --format"),
        (("--format", "json", "--output-dir", __file__), "is a file"),
        (("--format", "doc"), "doc"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(adaptsign, model_folder, videos, options, told):
    result = adaptsign("predict", model_folder, videos[0], *options)
    assert (result.code, result.stdout) == (2, "")
    assert told in " ".join(result.stderr.replace("│", "").split())


def test_a_decoder_that_cannot_be_is_told_once(adaptsign, model_folder, videos):
    result = adaptsign("predict", model_folder, *videos, "--num-beams", 3)
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.count("error: The greedy decoder") == 1
