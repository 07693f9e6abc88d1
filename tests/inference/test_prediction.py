"""Which videos there are, where their results go, and that each is read once, whatever happens."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from adaptsign_hf.data.synthetic import SyntheticCorpusConfig, render_corpus
from adaptsign_hf.inference.prediction import FoundVideo, find_videos, plan_outputs, remaining_work

# Runs in a process of its own: forks `predict`, kills it at random moments ten times over, and lets the last one end.
# Prints how many were killed, and after each kill the files that were there.
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path

import torch
from adaptsign_hf.cli.predict import predict
from adaptsign_hf.inference import loading, pipeline, prediction, processes, recognition

torch.set_num_threads(1)
model, source, undisturbed, output = sys.argv[1:]

def start(folder):
    process = os.fork()
    if process == 0:
        predict(model, [Path(source)], format="json", output_dir=Path(folder), device="cpu", quiet=True)
        os._exit(0)
    return process

def files():
    return {path.name: [path.stat().st_ino, path.stat().st_mtime_ns] for path in Path(output).glob("*.json")}

started = time.perf_counter()
assert os.waitpid(start(undisturbed), 0)[1] == 0
seconds_of_video = (time.perf_counter() - started) / len(list(Path(undisturbed).iterdir()))
moments = random.Random(0)
killed = 0
for _ in range(10):
    process, before, wanted = start(output), len(files()), moments.randint(0, 2)
    ended = False
    while len(files()) < before + wanted and not ended:
        ended = os.waitpid(process, os.WNOHANG)[0] != 0
    time.sleep(moments.uniform(0, 2 * seconds_of_video))
    if not ended:
        os.kill(process, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(process, 0)[1])
    print(json.dumps(files()))
assert os.waitpid(start(output), 0)[1] == 0
print(json.dumps(files()))
print(killed)
"""

# Started twice by torchrun: `predict`, which tells each file when it is written, and by which process.
TELLER = """
import os, sys

from adaptsign_hf.cli import main
from adaptsign_hf.decoding import annotation_files

write = annotation_files.write_annotations

def tell(path, recognized):
    write(path, recognized)
    os.write(1, f"{os.environ['RANK']} {path.relative_to(path.parents[1])}\\n".encode())

annotation_files.write_annotations = tell
main()
"""


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(found):
    return [video.name.as_posix() for video in found]


def test_a_folder_is_searched_in_natural_order(tmp_path):
    folder = touch(tmp_path, "10.mp4", "9.MKV", "b/2.avi", "b/c/1.webm", "a/1.mp4", "a/1.srt", ".h/1.mp4", ".1.mp4")
    found = find_videos([folder])
    assert names(found) == ["9.MKV", "10.mp4", "a/1.mp4", "b/2.avi", "b/c/1.webm"]
    assert [video.path for video in found] == [folder / name for name in names(found)]


def test_a_folder_of_images_is_one_video(tmp_path):
    touch(tmp_path, "day/clip/1.png", "day/clip/2.png", "day/clip/old/1.png", "day/film/a.mp4", "day/film/cover.jpg")
    assert names(find_videos([tmp_path / "day"])) == ["clip", "film/a.mp4"]
    assert find_videos([tmp_path / "day" / "clip"]) == [FoundVideo(tmp_path / "day" / "clip", Path("clip"))]


def test_what_is_not_there_is_kept(tmp_path):
    (tmp_path / "empty").mkdir()
    found = find_videos([tmp_path / "gone.mp4", tmp_path / "empty"])
    assert [video.path for video in found] == [tmp_path / "gone.mp4", tmp_path / "empty"]


def test_names_come_from_the_folder_that_holds_all(tmp_path, monkeypatch):
    touch(tmp_path, "day/a/1.mp4", "day/b/1.mp4", "night/1.mp4")
    monkeypatch.chdir(tmp_path / "day")
    assert names(find_videos([Path("a/1.mp4")])) == ["1.mp4"]
    assert names(find_videos([Path("a/1.mp4"), Path("b/1.mp4")])) == ["a/1.mp4", "b/1.mp4"]
    assert names(find_videos([Path("a"), Path("../night/1.mp4")])) == ["day/a/1.mp4", "night/1.mp4"]
    assert names(find_videos([Path(), Path("b")])) == ["a/1.mp4", "b/1.mp4"]  # each once
    assert names(find_videos([tmp_path / "day" / "a" / ".." / "b"])) == ["1.mp4"]


def test_no_two_results_meet(tmp_path):
    folder = touch(tmp_path, "a/1.mp4", "a/1.avi", "a/2.mp4", "b/1.mp4", "c/v1.2/1.png")
    outputs = plan_outputs(find_videos([folder]), Path("out"), ".json")
    written = ["a/1.avi.json", "a/1.mp4.json", "a/2.json", "b/1.json", "c/v1.2.json"]
    assert [path.as_posix() for path in outputs] == [f"out/{name}" for name in written]


def test_results_that_would_still_meet_are_told(tmp_path):
    folder = touch(tmp_path, "1.mp4", "1.avi", "1.mp4.mkv")
    with pytest.raises(ValueError, match=r"two videos would go to 1\.mp4\.json"):
        plan_outputs(find_videos([folder]), Path("out"), ".json")


def test_what_has_a_file_is_not_done_again(tmp_path):
    found = find_videos([touch(tmp_path / "in", "a/1.mp4", "b/1.mp4")])
    outputs = plan_outputs(found, touch(tmp_path / "out", "a/1.vtt", "b/.1.vtt.77.partial"), ".vtt")
    assert remaining_work(found, outputs) == [(tmp_path / "in/b/1.mp4", tmp_path / "out/b/1.vtt")]


def render_videos(folder, number):
    config = SyntheticCorpusConfig(
        num_train=number, num_dev=0, num_test=0, num_test_signer=0, max_glosses=3, frame_size=32, fps=6.0
    )
    return render_corpus(folder, config, num_processes=1) / "videos"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_ten_kills_and_each_video_is_done_once(model_folder, tmp_path):
    videos = render_videos(tmp_path / "corpus", 24)
    folders = [tmp_path / "undisturbed", tmp_path / "killed"]
    run = subprocess.run(
        [sys.executable, "-c", KILLER, *map(str, (model_folder, videos, *folders))],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    *snapshots, killed = map(json.loads, run.stdout.splitlines())
    assert killed >= 5
    assert any(0 < len(snapshot) < 24 for snapshot in snapshots)
    assert len(snapshots[-1]) == 24
    for snapshot in snapshots:  # no file was written again after it was there
        assert snapshot.items() <= snapshots[-1].items()
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1]  # and nothing else is left


def test_two_processes_share_the_videos(model_folder, tmp_path):
    videos = render_videos(tmp_path / "corpus", 7)
    (videos / "bad.mp4").write_text("no video")
    (tmp_path / "tell.py").write_text(TELLER)
    arguments = ["predict", model_folder, videos, "--format", "json", "--output-dir", tmp_path / "out"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", tmp_path / "tell.py"]
    # As `test_run.py` does: a launcher that hangs is terminated, not killed, for it ends its own processes too.
    process = subprocess.Popen(
        [sys.executable, *map(str, [*launcher, *arguments, "--device", "cpu"])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.terminate()
        process.wait(30)
    told = [line.split() for line in stdout.splitlines()]
    assert process.returncode == 1, stderr  # for the bad one
    assert sorted(name for _, name in told) == [f"out/trainset_{number:05d}.json" for number in range(7)]
    assert sorted(Counter(rank for rank, _ in told).values()) == [3, 4]
    assert stderr.count("error: Cannot open") == 1
    assert "1 of 4 videos could not be read" in stderr
