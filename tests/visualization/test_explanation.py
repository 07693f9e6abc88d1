import numpy as np
import pytest
import torch
from PIL import Image

from adaptsign_hf.modeling.video_reading_adaptsign import VideoReadError
from adaptsign_hf.visualization.explanation import explain_video


def test_it_tells_what_the_model_reads(reading_model, processor, video):
    explanation = explain_video(reading_model, processor, video)
    with torch.no_grad():
        output = reading_model(**processor(videos=video))
    torch.testing.assert_close(explanation.posteriors, output.logits[0].softmax(dim=-1))
    glosses = [sign.gloss for sign in explanation.recognized]
    assert glosses
    assert glosses == processor.batch_decode(output.logits)[0].split()
    assert explanation.glosses[0] == "<blank>"
    assert (explanation.fps, explanation.num_frames, explanation.is_cut) == (12.5, 19, False)
    assert explanation.title == "clip.mp4"


def test_motion_is_where_frames_differ(reading_model, processor, tmp_path):
    for index in range(6):
        Image.fromarray(np.full((40, 40, 3), 200 if index >= 4 else 20, dtype=np.uint8)).save(
            tmp_path / f"{index}.png"
        )
    explanation = explain_video(reading_model, processor, tmp_path)
    assert explanation.motion[4] == pytest.approx(180 / 127.5, abs=1e-4)
    assert explanation.motion.count_nonzero() == 1
    assert explanation.fps == 25  # images have no times


def test_a_long_video_is_cut(reading_model, processor, video):
    explanation = explain_video(reading_model, processor, video, max_frames=10)
    assert (explanation.num_frames, explanation.is_cut) == (10, True)
    assert len(explanation.posteriors) == 3
    assert explanation.title == "clip.mp4, its first 0.8 s"
    whole = explain_video(reading_model, processor, video, max_frames=19)
    assert not whole.is_cut


def test_what_cannot_be_read_is_refused(reading_model, processor, video, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(VideoReadError, match=r"text\.mp4"):
        explain_video(reading_model, processor, text)
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        explain_video(reading_model, processor, tmp_path / "gone.mp4")
    with pytest.raises(ValueError, match="max_frames is 0"):
        explain_video(reading_model, processor, video, max_frames=0)
