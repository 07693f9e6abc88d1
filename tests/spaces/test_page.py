"""The Space as programs use it: through its API, on a server in this process."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from huggingface_hub import metadata_load

from adaptsign_hf.cli import main
from adaptsign_hf.inference.shared_models import load_models
from adaptsign_hf.inference.web_recognition import recognize_upload

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "spaces" / "adaptsign"

gradio_client = pytest.importorskip("gradio_client", reason="gradio is not installed: the extra demo")


@pytest.fixture
def client(page, tmp_path):
    return gradio_client.Client(page, verbose=False, download_files=tmp_path / "downloads", analytics_enabled=False)


def video(path):
    return gradio_client.handle_file(str(path))


def test_a_client_gets_what_the_package_reads(client, adapters, clips):
    for name, loaded in load_models(adapters).items():
        for clip in clips[:2]:
            text, timeline, readings, vtt, eaf = client.predict(video(clip.path), name, api_name="/recognize")
            own = recognize_upload(*loaded, clip.path)
            assert text == own.text != ""
            assert " ".join(gloss["gloss"] for gloss in timeline["glosses"]) == text
            for gloss, expected in zip(timeline["glosses"], own.recognized.glosses, strict=True):
                assert gloss["start"] == pytest.approx(expected.start, abs=0.006)
                assert gloss["end"] == pytest.approx(expected.end, abs=0.006)
            assert [" ".join(each.glosses) for each in own.recognized.alternatives] == [
                row[0] for row in readings["data"]
            ]
            assert Path(vtt).read_text().count("-->") == len(own.recognized.glosses)
            assert Path(eaf).read_text().startswith("<?xml")


def test_a_client_gets_what_the_command_prints(client, adapters, clips, monkeypatch, capfd):
    text = client.predict(video(clips[0].path), "second", api_name="/recognize")[0]
    capfd.readouterr()
    arguments = ["adaptsign", "predict", str(adapters["second"]), str(clips[0].path), "--device", "cpu", "--quiet"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    assert capfd.readouterr().out == f"{clips[0].path}\t{text}\n"


def test_the_models_differ(client, clips):
    first, second = (
        client.predict(video(clips[0].path), name, api_name="/recognize")[0] for name in ("first", "second")
    )
    assert first != second


def test_visitors_at_once_are_all_answered(page, clips, tmp_path):
    answers = {}

    def visit(index):
        client = gradio_client.Client(
            page, verbose=False, download_files=tmp_path / str(index), analytics_enabled=False
        )
        answers[index] = client.predict(video(clips[index % 2].path), "first", api_name="/recognize")[0]

    visitors = [threading.Thread(target=visit, args=(index,)) for index in range(4)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(timeout=60)
    assert answers[0] == answers[2] != ""
    assert answers[1] == answers[3] != ""
    assert answers[0] != answers[1]


def test_where_the_model_looks_is_a_video(client, clips):
    pytest.importorskip("matplotlib")
    import av

    drawn = client.predict(video(clips[0].path), "first", api_name="/show_attention")
    with av.open(drawn) as container, av.open(str(clips[0].path)) as original:
        assert sum(1 for _ in container.decode(video=0)) == sum(1 for _ in original.decode(video=0))


@pytest.mark.parametrize("api_name", ["/recognize", "/show_attention"])
def test_a_text_renamed_to_mp4_gets_a_message_and_nothing_is_logged(client, tmp_path, api_name, capfd):
    (tmp_path / "holiday.mp4").write_text("I am a text. " * 100)
    capfd.readouterr()
    with pytest.raises(gradio_client.exceptions.AppError, match="This file is not a video that can be read here"):
        client.predict(video(tmp_path / "holiday.mp4"), "first", api_name=api_name)
    output = "".join(capfd.readouterr())
    assert "Traceback" not in output
    assert "holiday" not in output


def test_a_file_too_large_does_not_come_in(page):
    for size, status in ((6_000_000, 413), (4_000_000, 200)):
        files = {"files": ("video.mp4", b"\x00" * size)}
        assert httpx.post(f"{page}/gradio_api/upload", files=files).status_code == status


def test_nothing_is_left_beside_gradios_own_cache(client, clips, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    client.predict(video(clips[0].path), "first", api_name="/recognize")
    client.predict(video(clips[0].path), "first", api_name="/show_attention")
    left = list((tmp_path / "temporary").rglob("*"))
    assert [path for path in left if path.is_file()] == []
    assert [path for path in left if path.name.startswith("tmp")] == []  # empty ones of another form are the client's


def test_its_files_go_in_time(app, adapters, clips):
    from gradio.route_utils import delete_files_created_by_app

    demo = app.build_demo(adapters, example=Path(clips[0].path))
    frequency, age = demo.delete_cache
    assert frequency + age <= 60 * app.KEPT_MINUTES
    assert f"within {app.KEPT_MINUTES} minutes" in app.NOTES
    (example,) = {path for block in demo.blocks.values() for path in block.keep_in_cache}
    delete_files_created_by_app(demo, None)
    assert Path(example).is_file(), "the next visitor needs it"


def test_every_event_of_the_api_has_its_name(app, adapters, page):
    named = {
        each.api_name
        for each in app.build_demo(adapters, example=None).fns.values()
        if each.api_visibility == "public"
    }
    assert named == {"recognize", "show_attention", "watch", "start_anew"}


def test_models_are_chosen_only_where_there_are_several(app, adapters):
    import gradio

    for models, is_shown in ((adapters, True), ({"first": adapters["first"]}, False)):
        blocks = app.build_demo(models, example=None).blocks.values()
        (dropdown,) = [block for block in blocks if isinstance(block, gradio.Dropdown)]
        assert dropdown.visible == is_shown
        assert [choice[0] for choice in dropdown.choices] == list(models)


def test_inference_is_one_at_a_time_and_the_queue_ends(app, adapters):
    demo = app.build_demo(adapters, example=None)
    functions = {each.api_name: each for each in demo.fns.values()}
    for name in ("recognize", "show_attention"):
        assert (functions[name].concurrency_limit, functions[name].concurrency_id) == (1, "inference")
    assert functions["watch"].concurrency_limit == app.LIVE_VISITORS
    assert functions["watch"].time_limit == app.LIVE_SECONDS
    assert demo._queue.max_size == app.MAX_WAITING_VISITORS


def test_the_script_says_what_is_wrong_with_its_models(tmp_path):
    environment = {**os.environ, "ADAPTSIGN_MODELS": f"mine={tmp_path}", "GRADIO_ANALYTICS_ENABLED": "False"}
    run = subprocess.run(
        [sys.executable, SPACE / "app.py"], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert re.fullmatch(r"error: Loading a model from .*no config\.json.*\n", run.stderr)


def test_the_front_matter_is_what_the_hub_wants():
    front = metadata_load(SPACE / "README.md")
    wanted = {"title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "models"}
    assert front.keys() >= wanted | {"tags", "license", "suggested_hardware"}
    assert front["sdk"] == "gradio"
    assert (SPACE / front["app_file"]).is_file()
    assert len((SPACE / "app.py").read_text().splitlines()) <= 200
