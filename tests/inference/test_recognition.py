import numpy as np
import pytest
from PIL import Image

from adaptsign_hf.inference.recognition import recognize_video
from adaptsign_hf.modeling.video_reading_adaptsign import VideoReadError


def test_a_video_is_read_as_its_logits_say(model_and_processor, clips):
    model, processor = model_and_processor
    for clip in clips:
        output = model(**processor(videos=clip.path))
        path = output.logits[0].argmax(dim=-1).tolist()
        assert output.logit_lengths.tolist() == [len(path)]
        glosses = recognize_video(model, processor, clip.path)
        assert glosses == processor.tokenizer.decode(path)
        assert set(glosses.split()) <= set(processor.tokenizer.glosses)
    assert any(recognize_video(model, processor, str(clip.path)) for clip in clips)


def test_a_folder_of_images_is_read(model_and_processor, tmp_path):
    generator = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    assert isinstance(recognize_video(*model_and_processor, tmp_path), str)


def test_no_gradients_are_kept(model_and_processor, clips, monkeypatch):
    model, processor = model_and_processor
    forward, outputs = model.forward, []
    monkeypatch.setattr(model, "forward", lambda **inputs: outputs.append(forward(**inputs)) or outputs[0])
    recognize_video(model, processor, clips[0].path)
    assert not outputs[0].logits.requires_grad


def test_a_missing_video_is_told(model_and_processor, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        recognize_video(*model_and_processor, tmp_path / "gone.mp4")


def test_what_is_no_video_is_told(model_and_processor, tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoReadError, match=r"empty\.mp4"):
        recognize_video(*model_and_processor, tmp_path / "empty.mp4")
