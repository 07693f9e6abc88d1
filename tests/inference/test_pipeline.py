import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from adaptsign_hf.decoding.alignment import time_glosses
from adaptsign_hf.inference import input_videos
from adaptsign_hf.inference.pipeline import SignLanguageRecognitionPipeline
from adaptsign_hf.inference.recognition import Recognition, recognize_video
from adaptsign_hf.modeling.video_reading_adaptsign import VideoReadError, iter_frames

TASK = "sign-language-recognition"


@pytest.fixture
def pipe(model_and_processor):
    model, processor = model_and_processor
    return pipeline(TASK, model=model, processor=processor, device="cpu")


@pytest.fixture
def paths(clips):
    return [clip.path for clip in clips]


@pytest.fixture
def expected(model_and_processor, paths):
    """What the model and `batch_decode` say of each clip alone."""
    read = [recognize_video(*model_and_processor, path) for path in paths]
    assert len(set(read)) > 1
    return [{"glosses": glosses} for glosses in read]


def test_the_task_is_known_by_name(model_folder, paths, expected):
    pipe = pipeline(TASK, model=str(model_folder), device="cpu")
    assert isinstance(pipe, SignLanguageRecognitionPipeline)
    assert [pipe(str(path)) for path in paths] == expected


@pytest.mark.parametrize("options", [{}, {"batch_size": 2}, {"batch_size": 9}, {"batch_size": 3, "num_workers": 1}])
def test_batches_change_nothing(pipe, paths, expected, options):
    assert pipe(paths, **options) == expected
    assert pipe(tuple(paths), **options) == expected
    assert list(pipe((path for path in paths), **options)) == expected


def test_what_comes_from_a_generator_is_read_as_it_comes(pipe, paths, expected):
    def videos():
        yield paths[0]
        yield paths[1]
        raise AssertionError("nobody has asked for a third")

    results = pipe(videos())
    assert [next(results), next(results)] == expected[:2]


def test_every_kind_of_input_is_read(pipe, paths, expected, tmp_path):
    frames = np.stack(list(iter_frames(paths[0])))
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    inputs = [paths[0], str(paths[0]), paths[0].read_bytes(), frames, torch.from_numpy(frames), tmp_path]
    assert pipe(inputs, batch_size=4) == [expected[0]] * 6
    assert [pipe(video) for video in inputs] == [expected[0]] * 6
    assert pipe([]) == []


def test_no_copy_of_bytes_is_left(pipe, paths, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    pipe(paths[0].read_bytes())
    monkeypatch.setattr(input_videos, "MAX_CLIP_FRAMES", 4)
    pipe(paths[0].read_bytes())
    with pytest.raises(VideoReadError, match="video_given_as_bytes"):
        pipe(b"no video")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("address", ["https://example.org/a.mp4", "http://a/b", "ftp://a/b.mp4", "file:///a.mp4"])
def test_addresses_are_not_opened(pipe, address):
    with pytest.raises(ValueError, match=f"{address}.*Download"):
        pipe(address)


@pytest.mark.parametrize("video", [3, None, {"path": "a.mp4"}, Image.new("RGB", (8, 8)), np.array(1)])
def test_what_is_no_video_is_told(pipe, video):
    with pytest.raises(ValueError, match="give a path, the bytes of a video file, or an array"):
        pipe([video])


def test_an_unreadable_video_is_told(pipe, paths, tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoReadError, match=r"empty\.mp4"):
        pipe([paths[0], tmp_path / "empty.mp4"])
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        pipe(tmp_path / "gone.mp4")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_that_cannot_be_read_keeps_none_from_it(pipe, paths, expected, tmp_path, batch_size):
    videos = [tmp_path / "gone.mp4", paths[0], paths[1], tmp_path, paths[2]]
    read = list(pipe.recognize_each(videos, batch_size=batch_size))
    assert [type(each) for each in read] == [FileNotFoundError, Recognition, Recognition, VideoReadError, Recognition]
    assert [pipe.postprocess(read[index]) for index in (1, 2, 4)] == expected[:3]


def test_times_are_those_of_the_alignment(model_and_processor, pipe, paths):
    model, processor = model_and_processor
    for path, result in zip(paths, pipe(paths, return_timestamps=True, batch_size=3), strict=True):
        inputs = processor(videos=path)
        with torch.no_grad():
            logits = model(**inputs).logits
        ids = processor.tokenizer.convert_tokens_to_ids(result["glosses"].split())
        timed = time_glosses(logits[0], ids, processor.tokenizer.glosses, 6.0, inputs["pixel_values"].shape[1])
        assert [entry["gloss"] for entry in result["timestamps"]] == result["glosses"].split()
        for entry, gloss in zip(result["timestamps"], timed, strict=True):
            assert entry == pytest.approx(vars(gloss), abs=1e-4)


def test_times_of_frames_need_a_rate(pipe, paths):
    frames = np.stack(list(iter_frames(paths[0])))
    with pytest.raises(ValueError, match=r"frame rate is not known.*fps="):
        pipe(frames, return_timestamps=True)
    with pytest.raises(ValueError, match="frame rate is not known"):
        pipe(frames, return_timestamps=True, fps=-1)
    assert pipe(frames, return_timestamps=True, fps=6.0) == pipe(paths[0], return_timestamps=True)
    assert pipe(paths[0], return_timestamps=True, fps=99.0) == pipe(paths[0], return_timestamps=True)


def test_the_n_best_are_those_of_the_decoder(model_and_processor, paths):
    model, processor = model_and_processor
    pipe = pipeline(TASK, model=model, processor=processor, device="cpu", decoder="beam", num_beams=6)
    for path, result in zip(paths, pipe(paths, n_best=3, batch_size=2), strict=True):
        with torch.no_grad():
            logits = model(**processor(videos=path)).logits
        (best,) = processor.batch_decode(logits, decoder="beam", num_beams=6, n_best=3)
        assert result["glosses"] == best[0].glosses
        assert [entry["glosses"] for entry in result["n_best"]] == [each.glosses for each in best]
        scores = [each.log_probability for each in best]
        assert [entry["log_probability"] for entry in result["n_best"]] == pytest.approx(scores, abs=1e-3)


def test_a_setting_that_cannot_be_is_told_before_anything_is_read(pipe):
    with pytest.raises(ValueError, match="greedy decoder finds one sentence"):
        pipe("gone.mp4", n_best=2)
    with pytest.raises(ValueError, match="no decoder 'magic'"):
        pipe("gone.mp4", decoder="magic")
    with pytest.raises(TypeError, match="beams"):
        pipe("gone.mp4", beams=2)


@pytest.mark.parametrize("options", [{}, {"decoder": "beam", "n_best": 3, "return_timestamps": True}])
def test_what_is_too_long_for_a_clip_is_read_as_a_stream(pipe, paths, options, monkeypatch):
    as_clips = pipe(paths, **options)
    monkeypatch.setattr(input_videos, "MAX_CLIP_FRAMES", 10)
    forward = pipe._forward
    monkeypatch.setattr(pipe, "_forward", lambda clips: [] if not clips else pytest.fail("it was read at one go"))
    as_streams = pipe(paths, batch_size=2, **options)
    # A file that does not say how long it is, or says less, is a stream all the same.
    monkeypatch.setattr(input_videos, "declared_frames", lambda *_: (None, 6.0))
    assert pipe(paths, batch_size=2, **options) == as_streams
    monkeypatch.setattr(pipe, "_forward", forward)
    for stream, clip in zip(as_streams, as_clips, strict=True):
        assert stream["glosses"] == clip["glosses"]
        for entry, other in zip(stream.get("timestamps", []), clip.get("timestamps", []), strict=True):
            assert entry == pytest.approx(other, abs=1e-4)
        for entry, other in zip(stream.get("n_best", []), clip.get("n_best", []), strict=True):
            assert entry["glosses"] == other["glosses"]
            assert entry["log_probability"] == pytest.approx(other["log_probability"], abs=1e-3)


def test_a_model_alone_is_not_enough(model_and_processor):
    with pytest.raises(ValueError, match="got no processor"):
        SignLanguageRecognitionPipeline(model=model_and_processor[0], device="cpu")


def test_it_is_saved_with_its_processor(pipe, paths, expected, tmp_path):
    pipe.save_pretrained(tmp_path / "saved")
    assert pipeline(TASK, model=str(tmp_path / "saved"), device="cpu")(paths) == expected
