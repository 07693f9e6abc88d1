"""The folder that is pushed: complete for a stranger, and with nothing of the publisher's machine in it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError
from safetensors.torch import load_file, save_file

from adaptsign_hf import AdaptSignForCTC
from adaptsign_hf.data.prepared.publishing import check_destination
from adaptsign_hf.hub import publishing
from adaptsign_hf.hub.cards import Declaration
from adaptsign_hf.hub.publishing import REPLACED, push_model, stage_model

from ..data.benchmarks.trees import write_clip
from .conftest import SECRETS

CODE = {path.name for path in (Path(__file__).parents[2] / "modeling").glob("*_adaptsign.py")}
PROCESSOR = {"processor_config.json", "tokenizer.json", "tokenizer_config.json"}
WHOLE = CODE | PROCESSOR | {"config.json", "model.safetensors", "README.md"}
ADAPTER = CODE | PROCESSOR | {"config.json", "adapter_config.json", "adapter_model.safetensors", "README.md"}
# Runs where adaptsign_hf cannot be imported: the lines of the card, then logits of known pixels.
STRANGER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "adaptsign_hf":
            raise ModuleNotFoundError("adaptsign_hf is not installed here")

sys.meta_path.insert(0, Absent())
import torch
pixels, outcome, lines = sys.argv[1:]
exec(lines)
with torch.no_grad():
    logits = model(torch.load(pixels, weights_only=True)).logits
torch.save({"logits": logits, "glosses": processor.tokenizer.glosses}, outcome)
"""


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def read_as_a_stranger(folder, tmp_path, pixels, clip=None):
    """Run the lines that the card shows, with the folder for the repository."""
    (lines,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    lines = lines.replace('"user/signs"', repr(str(folder))).replace('"video.mp4"', repr(str(tmp_path / "video.mp4")))
    if clip:
        lines = lines.replace(
            ", trust_remote_code=True).eval()", f", clip={str(clip)!r}, trust_remote_code=True).eval()"
        )
    write_clip(tmp_path / "video.mp4", 12)
    torch.save(pixels, tmp_path / "pixels.pt")
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, tmp_path / "pixels.pt", tmp_path / "outcome.pt", lines],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("['")  # glosses, though of an untrained model
    return torch.load(tmp_path / "outcome.pt", weights_only=True)


@pytest.fixture
def pixels():
    return torch.randn(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_run_becomes_a_folder_that_loads_where_the_package_is_absent(run, tiny_model, pixels, tmp_path):
    folder = stage_model(run.model, tmp_path / "out", "user/signs")
    assert names(folder) == WHOLE | {"report.json"}
    outcome = read_as_a_stranger(folder, tmp_path, pixels)
    with torch.no_grad():
        assert torch.equal(outcome["logits"], tiny_model(pixels).logits)
    assert outcome["glosses"] == [f"G{number}" for number in range(10)]


def test_an_adapter_becomes_a_folder_that_loads_with_its_clip(adapter, pixels, tmp_path):
    declaration = Declaration(base_model="openai/clip-vit-base-patch16")
    folder = stage_model(adapter, tmp_path / "out", "user/signs", declaration)
    assert names(folder) == ADAPTER
    assert (
        json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == declaration.base_model
    )
    metadata = metadata_load(folder / "README.md")
    assert (metadata["base_model"], metadata["base_model_relation"]) == (declaration.base_model, "adapter")
    outcome = read_as_a_stranger(folder, tmp_path, pixels, clip=tmp_path / "clip")
    with torch.no_grad():
        assert torch.equal(outcome["logits"], AdaptSignForCTC.from_pretrained(adapter).eval()(pixels).logits)


def test_an_adapter_of_a_clip_that_only_this_machine_has_is_refused(adapter, tmp_path):
    with pytest.raises(ValueError, match=r"nobody else could load\. .* --base-model"):
        stage_model(adapter, tmp_path / "out", "user/signs")
    assert not (tmp_path / "out").exists()


def test_nothing_of_the_machine_goes_along(run, tmp_path):
    for name in ("step_00000512/optimizer.bin", "checkpoints/random_states_0.pkl", "anna_waves.mp4", ".env"):
        (run.model / name).parent.mkdir(exist_ok=True)
        (run.model / name).write_text("/home/anna")
    folder = stage_model(run.model, tmp_path / "out", "user/signs")
    assert names(folder) == WHOLE | {"report.json"}
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not [secret for secret in (*SECRETS, str(tmp_path)) if secret.encode() in content], path


def test_numbers_of_the_card_are_those_of_the_report(run, tmp_path):
    folder = stage_model(run.model, tmp_path / "out", "user/signs")
    published = json.loads((folder / "report.json").read_text())
    for result in ModelCard.load(folder / "README.md").data.eval_results:
        assert result.metric_value == run.report["scores"][result.dataset_split]["wer"]
    assert published["scores"] == run.report["scores"]


def test_weights_are_taken_byte_for_byte(run, tmp_path):
    folder = stage_model(run.model, tmp_path / "out", "user/signs")
    assert (folder / "model.safetensors").read_bytes() == (run.model / "model.safetensors").read_bytes()


def test_weights_in_several_files_are_taken_all(tiny_model, run, pixels, tmp_path):
    (run.model / "model.safetensors").unlink()
    tiny_model.save_pretrained(run.model, max_shard_size="40KB")
    folder = stage_model(run.model, tmp_path / "out", "user/signs")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    with torch.no_grad():
        assert torch.equal(AdaptSignForCTC.from_pretrained(folder).eval()(pixels).logits, tiny_model(pixels).logits)
    next(iter(run.model.glob("model-00001-*"))).unlink()
    with pytest.raises(ValueError, match="is missing"):
        stage_model(run.model, tmp_path / "again", "user/signs")


def test_a_directory_without_code_gets_it(run, tmp_path):
    for name in CODE:
        (run.model / name).unlink()
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        content = json.loads((run.model / name).read_text())
        content.pop("auto_map", None)
        content.get("video_processor", {}).pop("auto_map", None)
        (run.model / name).write_text(json.dumps(content))
    folder = stage_model(run.model, tmp_path / "out", "user/signs")
    assert names(folder) == WHOLE | {"report.json"}
    assert set(json.loads((folder / "config.json").read_text())["auto_map"]) == {
        "AutoConfig",
        "AutoModel",
        "AutoModelForCTC",
    }
    assert "AutoProcessor" in json.loads((folder / "processor_config.json").read_text())["auto_map"]


def test_the_base_model_is_the_clip_of_the_recipe_if_the_hub_has_it(run, tmp_path):
    run.report["recipe"]["clip"] = "openai/clip-vit-base-patch16"
    run.write_report()
    metadata = metadata_load(stage_model(run.model, tmp_path / "a", "user/signs") / "README.md")
    assert metadata["base_model"] == "openai/clip-vit-base-patch16"
    assert "base_model_relation" not in metadata
    run.report["recipe"]["clip"] = "/home/anna/clip"
    run.write_report()
    text = (stage_model(run.model, tmp_path / "b", "user/signs") / "README.md").read_text()
    assert "base_model" not in text
    assert "anna" not in text
    assert "Which model it started from is unknown" in text


def test_without_a_report_the_card_has_no_scores(run, tmp_path):
    (run.model.parent / "report.json").unlink()
    folder = stage_model(run.model, tmp_path / "out", "user/signs")
    assert names(folder) == WHOLE
    assert "model-index" not in metadata_load(folder / "README.md")


def test_a_report_of_another_model_is_not_believed(run, tmp_path, caplog):
    run.report["parameters"]["trained"] += 1
    path = run.write_report()
    folder = stage_model(run.model, tmp_path / "out", "user/signs")
    assert "The card goes without scores" in caplog.text
    assert names(folder) == WHOLE
    with pytest.raises(ValueError, match="give the report of its own run"):
        stage_model(run.model, tmp_path / "again", "user/signs", report=path)


def test_a_report_of_other_weights_is_not_believed(run, tmp_path):
    weights = run.model / "model.safetensors"
    run.report["weights_sha256"] = {weights.name: hashlib.sha256(weights.read_bytes()).hexdigest()}
    path = run.write_report()
    stage_model(run.model, tmp_path / "out", "user/signs", report=path)
    assert "model-index" in metadata_load(tmp_path / "out" / "README.md")
    tensors = load_file(weights)
    tensors["model.aggregator.query"] += 1
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(ValueError, match="written again since"):
        stage_model(run.model, tmp_path / "again", "user/signs", report=path)


def test_pickled_weights_are_refused(run, tmp_path):
    torch.save(load_file(run.model / "model.safetensors"), run.model / "pytorch_model.bin")
    (run.model / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"only pytorch_model\.bin, which can run code"):
        stage_model(run.model, tmp_path / "out", "user/signs")
    assert not (tmp_path / "out").exists()


def rename_a_tensor(tensors):
    tensors["adaptsign.aggregator.query"] = tensors.pop("model.aggregator.query")


def misshape_a_tensor(tensors):
    tensors["model.aggregator.query"] = torch.zeros(7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_a_tensor, r"adaptsign\.aggregator\.query belongs to no part"),
        (misshape_a_tensor, r"shape \(7,\) instead"),
    ],
)
def test_weights_of_another_network_are_refused(run, tmp_path, change, message):
    """Transformers would draw what is missing at random, and say so among many other lines."""
    tensors = load_file(run.model / "model.safetensors")
    change(tensors)
    save_file(tensors, run.model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=message):
        stage_model(run.model, tmp_path / "out", "user/signs")


def test_damaged_weights_are_refused(run, tmp_path):
    os.truncate(run.model / "model.safetensors", 1000)
    with pytest.raises(ValueError, match=r"model\.safetensors: it is damaged"):
        stage_model(run.model, tmp_path / "out", "user/signs")


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json"])
def test_an_incomplete_directory_is_refused(run, tmp_path, name):
    (run.model / name).unlink()
    with pytest.raises(ValueError, match=f"there is no {name} in it"):
        stage_model(run.model, tmp_path / "out", "user/signs")


def test_model_and_adapter_in_one_directory_are_refused(run, adapter, tmp_path):
    shutil.copy(adapter / "adapter_model.safetensors", run.model)
    with pytest.raises(ValueError, match="would mix the two"):
        stage_model(run.model, tmp_path / "out", "user/signs")


def test_a_folder_with_something_in_it_is_left_alone(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("mine")
    with pytest.raises(ValueError, match="it is not empty"):
        stage_model(run.model, tmp_path / "out", "user/signs")
    assert (tmp_path / "out" / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("repo_id", "declaration"),
    [
        ("user/signs/more", Declaration()),
        ("user signs", Declaration()),
        ("user/signs", Declaration(language="German Sign Language")),
        ("user/signs", Declaration(datasets=["no name"])),
        ("user/signs", Declaration(base_model="/home/anna/clip")),
    ],
)
def test_what_cannot_stand_on_the_hub_is_refused(run, tmp_path, repo_id, declaration):
    with pytest.raises(ValueError, match=r"'[^']*(signs|Language|no name|anna)"):
        stage_model(run.model, tmp_path / "out", repo_id, declaration)
    assert not (tmp_path / "out").exists()


class Hub:
    """Stands in for `HfApi`: remembers what it is asked."""

    def __init__(self, private=None, error=None):
        self.private, self.error, self.calls = private, error, []

    def __call__(self):
        return self

    def create_repo(self, repo_id, **options):
        self.calls.append(("create_repo", repo_id, options))
        if self.error:
            raise self.error

        class Address(str):
            pass

        address = Address(f"https://huggingface.co/{repo_id}")
        address.repo_id = repo_id
        return address

    def model_info(self, repo_id):
        class Info:
            private = self.private

        return Info

    def upload_folder(self, **options):
        self.calls.append(("upload_folder", options))

    def whoami(self):
        raise self.error


def test_the_staged_folder_is_what_is_uploaded(monkeypatch, tmp_path):
    hub = Hub()
    monkeypatch.setattr(publishing, "HfApi", hub)
    assert push_model(tmp_path, "user/signs") == "https://huggingface.co/user/signs"
    (_, repo_id, created), (_, uploaded) = hub.calls
    assert (repo_id, created) == ("user/signs", {"private": None, "exist_ok": True})
    assert (uploaded["repo_id"], uploaded["folder_path"]) == ("user/signs", str(tmp_path))
    assert uploaded["delete_patterns"] == REPLACED
    assert not uploaded.keys() & {"allow_patterns", "ignore_patterns"}


def test_what_shall_be_private_does_not_go_to_a_public_repository(monkeypatch, tmp_path):
    hub = Hub(private=False)
    monkeypatch.setattr(publishing, "HfApi", hub)
    with pytest.raises(ValueError, match="it is public"):
        push_model(tmp_path, "user/signs", private=True)
    assert [call[0] for call in hub.calls] == ["create_repo"]
    hub.private = True
    push_model(tmp_path, "user/signs", private=True)
    assert hub.calls[-1][0] == "upload_folder"


@pytest.mark.parametrize(
    "error",
    [
        LocalTokenNotFoundError("Token is required,\nbut no token found."),
        HTTPError("403 Forbidden:\n\nYou have no rights."),
        HTTPError("[Errno -2] Name or service not known"),
    ],
    ids=["not logged in", "no rights", "no network"],
)
def test_what_the_hub_refuses_is_one_line(monkeypatch, tmp_path, error):
    monkeypatch.setattr(publishing, "HfApi", Hub(error=error))
    monkeypatch.setattr("adaptsign_hf.data.prepared.publishing.HfApi", Hub(error=error))
    for push in (lambda: push_model(tmp_path, "user/signs"), lambda: check_destination("user/signs")):
        with pytest.raises(ValueError, match=r"^Pushing to user/signs on the Hub: [^\n]+$"):
            push()
