"""Who may import whom."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "adaptsign_hf"
MODELING = sorted((ROOT / "modeling").rglob("*.py"))
METRIC = sorted((PACKAGE / "metrics" / "gloss_wer").glob("*.py"))
METRIC_FILE = PACKAGE / "metrics" / "gloss_wer" / "gloss_wer.py"
COPIED = {PACKAGE / "modeling", PACKAGE / "metrics" / "gloss_wer"}
SPACES = sorted((ROOT / "spaces").rglob("*.py"))
INSTALLED = sorted(path for path in PACKAGE.rglob("*.py") if path.parent not in COPIED)

# Published beside weights: what it needs has to be there wherever transformers, peft and PyAV are.
MODELING_MAY_IMPORT = {"torch", "torchvision", "transformers", "peft"}
MODELING_MAY_IMPORT |= {
    "av",
    "PIL",
    "numpy",
    "tokenizers",
    "huggingface_hub",
    "safetensors",
}  # for videos, glosses and files
MODELING_MAY_IMPORT |= {"pyctcdecode", "kenlm"}  # the extra "lm": only when a language model is used
MODELING_MAY_IMPORT |= sys.stdlib_module_names

# Each room, and what it may import beside itself. Rooms of one level keep apart, but for one thing: what a clip is
# stands in data, and decoding and metrics are about clips.
BELOW = {"modeling", "version", "registration"}
MODELS = BELOW | {"data", "decoding", "metrics"}
MAY_IMPORT = {
    "modeling": set(),
    "data": BELOW,
    "decoding": BELOW | {"data"},
    "metrics": BELOW | {"data"},
    "training": MODELS,
    "inference": MODELS,
    "hub": MODELS,
    "visualization": MODELS,
    "cli": MODELS | {"training", "inference", "hub", "visualization"},
}
# The files beside the rooms, which `import adaptsign_hf` reads.
MAY_IMPORT |= {"__init__": BELOW, "registration": {"modeling"}, "version": set()}


def imports(path):
    """The modules that a file imports anywhere in it, by full name; relative ones with their dots."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "adaptsign_hf":
                yield from (f"adaptsign_hf.{alias.name}" for alias in node.names)
            elif module == "." * node.level:
                yield from (module + alias.name for alias in node.names)
            else:
                yield module


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def test_there_are_files_to_look_at():
    assert len(MODELING) > 5
    assert len(INSTALLED) > 20
    assert SPACES


@pytest.mark.parametrize("path", MODELING, ids=names(MODELING))
def test_modeling_stands_alone(path):
    assert path.parent == ROOT / "modeling", "the Hub takes flat files"
    siblings = {f".{sibling.stem}" for sibling in MODELING}
    for module in imports(path):
        if module.startswith("."):
            assert module in siblings
        else:
            assert module.split(".")[0] in MODELING_MAY_IMPORT


@pytest.mark.parametrize("path", METRIC, ids=names(METRIC))
def test_the_metric_stands_alone(path):
    """`evaluate.load` copies it, and of its siblings those that gloss_wer.py itself imports."""
    copied = set(imports(METRIC_FILE))
    for module in imports(path):
        if module.startswith("."):
            assert module in copied
        else:
            assert module.split(".")[0] in {"datasets", "evaluate"} | sys.stdlib_module_names


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", INSTALLED, ids=names(INSTALLED))
def test_imports_point_one_way(path):
    room = room_of(path)
    for module in imports(path):
        assert not module.startswith("."), "only files that are copied import by dots"
        assert module.split(".")[0] not in ("modeling", "train", "tests", "spaces"), module
        if module.split(".")[0] == "adaptsign_hf":
            imported = module.split(".")[1]
            # Any other name is one that adaptsign_hf/__init__.py gives its users, not its own parts.
            assert imported == room or imported in MAY_IMPORT[room], module


def test_the_rule_finds_what_breaks_it(tmp_path):
    (tmp_path / "file.py").write_text(
        "import os.path, adaptsign_hf.cli\nfrom adaptsign_hf import training\nfrom . import a\nfrom .b import c\n"
        "def f():\n    from adaptsign_hf.data.folder import Clip\n"
    )
    found = ["os.path", "adaptsign_hf.cli", "adaptsign_hf.training", ".a", ".b", "adaptsign_hf.data.folder"]
    assert sorted(imports(tmp_path / "file.py")) == sorted(found)


def test_the_script_imports_training_only():
    assert [module for module in imports(ROOT / "train.py") if module.startswith("adaptsign_hf")] == [
        "adaptsign_hf.training.run"
    ]


@pytest.mark.parametrize("path", SPACES, ids=names(SPACES))
def test_a_space_uses_inference_and_visualization_only(path):
    for module in imports(path):
        assert not module.startswith(".")
        assert module.split(".")[0] not in ("modeling", "train", "tests", "spaces"), module
        if module.split(".")[0] == "adaptsign_hf":
            assert module.split(".")[1] in {"inference", "visualization"}, module


def test_every_folder_is_a_known_room():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= MAY_IMPORT.keys()
    for room in rooms:
        assert (PACKAGE / room / "__init__.py").is_file()


def test_files_beside_the_rooms_are_few():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "registration", "version"}


def test_modeling_is_one_folder_seen_from_two_places():
    assert (PACKAGE / "modeling").is_symlink()
    assert (PACKAGE / "modeling").resolve() == ROOT / "modeling"


@pytest.mark.parametrize("name", ["utils.py", "helpers.py", "common.py", "misc.py"])
def test_no_file_is_a_drawer_for_everything(name):
    places = ["src", "modeling", "tests", "spaces", "benchmarks"]
    assert [path for place in places for path in (ROOT / place).rglob(name)] == []
