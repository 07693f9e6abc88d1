import subprocess
import sys

import pytest

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
    from PIL import Image

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
