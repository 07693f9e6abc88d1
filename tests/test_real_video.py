"""Filmed videos, which are not committed: they lie in `shared/video` beside the checkout, where there is one."""

from pathlib import Path

import pytest
import torch

from adaptsign_hf.data.folder import read_folder
from adaptsign_hf.data.loading import count_frames, load_frames, probe_clips
from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.inference.recognition import recognize_video
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.configuration import ModelConfig

VIDEOS = Path(__file__).parents[2] / "shared" / "video"

pytestmark = pytest.mark.skipif(not VIDEOS.is_dir(), reason=f"there is no {VIDEOS}")


@pytest.fixture(scope="module")
def model_and_processor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = ModelConfig(
        image_size=32, vision_width=16, vision_layers=1, vision_heads=2, feature_size=16, hidden_size=16
    )
    for part in build_model_and_processor(config, [f"SIGN{number}" for number in range(20)], fps=None):
        part.save_pretrained(folder)
    return load_model(folder, "cpu")


def test_the_folder_of_single_signs_is_read():
    clips, left_out = read_folder(VIDEOS / "isolated")
    assert left_out == []
    assert len(clips) == 42
    assert {clip.split for clip in clips} == {"train", "dev", "test"}
    assert {gloss for clip in clips for gloss in clip.glosses} == {
        "DANGER",
        "HELP",
        "PLEASE",
        "POLICE",
        "STOP",
        "WATER",
    }
    readable, num_frames, left_out = probe_clips(clips, None, quiet=True)
    assert (readable, left_out) == (clips, [])
    assert all(10 <= number <= 400 for number in num_frames)
    _, resampled, _ = probe_clips(clips, 12.5, quiet=True)
    assert all(number <= full for number, full in zip(resampled, num_frames, strict=True))


def test_frames_are_counted_as_they_are_read(model_and_processor):
    video_processor = model_and_processor[1].video_processor
    clips = read_folder(VIDEOS / "isolated")[0]
    for clip in sorted(clips, key=lambda clip: clip.path.stat().st_size)[:6]:
        frames = load_frames(clip, video_processor)
        assert frames.shape[1:] == (3, 37, 37)
        assert abs(len(frames) - count_frames(clip.path, None)) <= 2


@pytest.mark.parametrize("name", ["demo_video.mp4", "clip1.gif"])
def test_continuous_signing_is_read(model_and_processor, name, monkeypatch, capfd):
    import sys

    from adaptsign_hf.cli import main

    video = VIDEOS / "continuous" / name
    model, processor = model_and_processor
    expected = recognize_video(model, processor, video)
    assert expected
    monkeypatch.setattr(sys, "argv", ["adaptsign", "predict", model.name_or_path, str(video)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code in (0, None)
    assert capfd.readouterr().out == f"{video}\t{expected}\n"
