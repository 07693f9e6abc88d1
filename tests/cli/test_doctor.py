import io
import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from adaptsign_hf.data.inspection import inspect_benchmark

BROKEN = "13April_2011_Wednesday_tagesschau_default-14"


@pytest.fixture
def phoenix(plant_tree):
    return plant_tree("phoenix2014")


def break_many(tree, number):
    """Take clips off the disk that the annotation names."""
    gone = [replace(tree.sample("train"), name=f"gone_default-{n}", num_frames=None) for n in range(number)]
    tree.samples += gone
    tree.write()
    return [sample.name for sample in gone]


def table_of(stdout):
    """The numbers of each split: the lines up to the first empty one, by the names of their columns."""
    lines = stdout.split("\n\n")[0].splitlines()
    header = ["split", "clips", "published", "left out", "frames min/median/max", "glosses", "not in train", "signers"]
    assert "".join(lines[0].split()) == "".join(header).replace(" ", "")
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in (line.split() for line in lines[1:])}


def test_a_clean_copy_is_status_0_in_every_layout(adaptsign, tree):
    result = adaptsign("doctor", tree.benchmark, tree.root, "--num-workers", 0)
    assert (result.code, result.stderr) == (0, "")
    assert f"{tree.benchmark}: 0 errors, " in result.stdout
    table = table_of(result.stdout)
    assert {split: int(row["clips"]) for split, row in table.items()} == {
        split: sum(sample.split == split for sample in tree.samples)
        for split in dict.fromkeys(sample.split for sample in tree.samples)
    }
    assert {row["frames min/median/max"] for row in table.values()} == {"22/22/22"}


def test_a_copy_in_its_usual_outer_folders_is_found(adaptsign, plant_tree, tmp_path):
    plant_tree("csl-daily", nested=True)
    assert adaptsign("doctor", "csl-daily", tmp_path / "copy").code == 0


def test_the_table_puts_splits_in_numbers(adaptsign, phoenix):
    phoenix.samples.append(replace(phoenix.sample("dev"), name="new_default-0", glosses=("NEU", "ALT"), num_frames=9))
    phoenix.write()
    assert table_of(adaptsign("doctor", "phoenix2014", phoenix.root).stdout) == {
        "train": {
            "clips": "4",
            "published": "5671",
            "left out": "0",
            "frames min/median/max": "22/22/22",
            "glosses": "7",
            "not in train": "0",
            "signers": "2",
        },
        "dev": {
            "clips": "3",
            "published": "540",
            "left out": "0",
            "frames min/median/max": "9/22/22",
            "glosses": "6",
            "not in train": "2",
            "signers": "2",
        },
        "test": {
            "clips": "2",
            "published": "629",
            "left out": "0",
            "frames min/median/max": "22/22/22",
            "glosses": "4",
            "not in train": "0",
            "signers": "1",
        },
    }


def test_errors_are_status_1_and_on_stdout(adaptsign, phoenix):
    (name,) = break_many(phoenix, 1)
    result = adaptsign("doctor", "phoenix2014", phoenix.root)
    assert (result.code, result.stderr) == (1, "")
    assert (
        "errors: 1 missing (annotated, but not on the disk)\n"
        f"  train {name}: there is no features/fullFrame-210x260px/train/{name}/1\n"
    ) in result.stdout
    assert result.stdout.endswith("phoenix2014: 1 errors, 5 warnings\n")


def test_warnings_alone_are_status_0(adaptsign, phoenix):
    phoenix.samples.append(replace(phoenix.sample("train"), name=BROKEN, num_frames=16))
    phoenix.write()
    result = adaptsign("doctor", "phoenix2014", phoenix.root)
    assert result.code == 0
    assert f"  train {BROKEN}: known to be broken: 16 frames for 16 glosses\n" in result.stdout


def test_ten_clips_of_a_kind_are_named_and_all_are_in_the_json(adaptsign, phoenix, tmp_path):
    names = break_many(phoenix, 13)
    result = adaptsign("doctor", "phoenix2014", phoenix.root, "--json", tmp_path / "found.json")
    assert result.code == 1
    assert [name for name in names if f"{name}:" in result.stdout] == names[:10]
    assert "  and 3 more, which --json FILE lists\n" in result.stdout
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [finding["clip"] for finding in found["findings"] if finding["kind"] == "missing"] == names


def test_the_json_is_the_whole_inspection(adaptsign, plant_tree, tmp_path):
    tree = plant_tree("csl-daily")
    tree.first_file(tree.sample("test")).write_bytes(b"")
    result = adaptsign("doctor", "csl-daily", tree.root, "--json", tmp_path / "found.json")
    assert result.code == 1
    text = (tmp_path / "found.json").read_text(encoding="utf-8")
    assert json.loads(text) == asdict(inspect_benchmark("csl-daily", tree.root))
    assert set(json.loads(text)) == {"benchmark", "source", "fast", "splits", "findings"}
    assert set(json.loads(text)["findings"][0]) == {"severity", "kind", "split", "clip", "message"}


def test_fast_counts_and_opens_nothing(adaptsign, phoenix):
    phoenix.first_file(phoenix.sample("train")).write_bytes(b"no image")
    result = adaptsign("doctor", "phoenix2014", phoenix.root, "--fast")
    assert result.code == 0
    assert result.stdout.endswith("; images and videos were not opened (--fast)\n")
    assert adaptsign("doctor", "phoenix2014", phoenix.root).code == 1


@pytest.mark.parametrize("name", ["phoenix2014", "csl-daily", "csl", "ce-csl", "folder", "prepared"])
def test_a_wrong_root_tells_what_was_expected_and_found(adaptsign, tmp_path, name):
    (tmp_path / "holiday photos").mkdir()
    result = adaptsign("doctor", name, tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: Reading ")
    assert "xpected" in result.stderr
    assert "holiday photos" in result.stderr


def test_an_unknown_benchmark_tells_which_there_are(adaptsign, tmp_path):
    result = adaptsign("doctor", "phoenix", tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: There is no benchmark 'phoenix': choose one of phoenix2014, ")


def test_a_missing_folder_for_the_json_is_told_before_anything_is_read(adaptsign, tmp_path):
    result = adaptsign("doctor", "phoenix2014", "nowhere", "--json", tmp_path / "nowhere" / "found.json")
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr == f"error: Writing {tmp_path}/nowhere/found.json: there is no folder {tmp_path}/nowhere.\n"


def test_help_names_every_benchmark(adaptsign):
    from adaptsign_hf.data.benchmarks import BENCHMARKS

    text = " ".join(adaptsign("doctor", "--help").stdout.replace("│", " ").split())
    assert all(name in text for name in BENCHMARKS)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_is_shown_how_far_it_is_unless_quiet(adaptsign, phoenix, monkeypatch, quiet):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    result = adaptsign("doctor", "phoenix2014", phoenix.root, *(["--quiet"] if quiet else []))
    assert result.code == 0
    shown = terminal.getvalue()
    assert shown == "" if quiet else all(text in shown for text in ("opening clips", "8/8", "clip/s"))


def test_the_real_command(phoenix):
    (name,) = break_many(phoenix, 1)
    command = [sys.executable, "-m", "adaptsign_hf.cli", "doctor", "phoenix2014", str(phoenix.root)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (1, "")
    assert name in result.stdout
