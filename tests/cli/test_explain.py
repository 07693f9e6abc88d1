import av
import pytest
from PIL import Image

PICTURES = ("attention.png", "cross_frame.png", "timeline.png")


@pytest.fixture
def video(corpus):
    return min((corpus / "videos").glob("testset_*"))


def num_frames(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_pictures_and_a_video_are_written_and_named(adaptsign, model_folder, video, tmp_path):
    folder = tmp_path / "new" / "pictures"
    result = adaptsign("explain", model_folder, video, folder, "--quiet")
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [str(folder / name) for name in (*PICTURES, "overlay.mp4")]
    for name in PICTURES:
        Image.open(folder / name).verify()
    assert num_frames(folder / "overlay.mp4") == num_frames(video)


def test_a_long_video_is_explained_from_its_start(adaptsign, model_folder, video, tmp_path):
    result = adaptsign("explain", model_folder, video, tmp_path / "out", "--max-frames", 6)
    assert result.code == 0
    assert num_frames(tmp_path / "out" / "overlay.mp4") == 6


def test_what_is_no_video_is_told_and_nothing_written(adaptsign, model_folder, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    result = adaptsign("explain", model_folder, text, tmp_path / "out")
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert "text.mp4" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_told(adaptsign, model_folder, video, tmp_path):
    (tmp_path / "out").write_text("mine")
    result = adaptsign("explain", model_folder, video, tmp_path / "out")
    assert result.code == 1
    assert "it is a file" in result.stderr
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("arguments", [(), ("model",), ("model", "video", "out", "--max-frames", "0")])
def test_wrong_usage_is_status_2(adaptsign, arguments):
    assert adaptsign("explain", *arguments).code == 2
