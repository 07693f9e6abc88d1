"""The metric as users get it: loaded from its folder by `evaluate`."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import evaluate
import pytest

import adaptsign_hf

FOLDER = Path(adaptsign_hf.__file__).parent / "metrics" / "gloss_wer"
# References, predictions, and what NIST's sclite counts in them.
GOLDEN = json.loads(Path(__file__).with_name("wer_protocols.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluate.config.HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        patch.setattr("sys.path", [*sys.path])  # it adds that folder
        yield evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("protocol", GOLDEN["expected"])
def test_the_counts_are_those_of_sclite(metric, protocol):
    expected = GOLDEN["expected"][protocol]
    result = metric.compute(
        predictions=GOLDEN["predictions"], references=GOLDEN["references"], protocol=protocol, per_clip=True
    )
    assert {name: result[name] for name in expected if name != "wer"} == {
        name: value for name, value in expected.items() if name != "wer"
    }
    assert result["wer"] == expected["errors"] / expected["reference_glosses"]
    assert result["wer"] == pytest.approx(expected["wer"], abs=5e-7)  # rounded there
    assert (result["clips"], result["protocol"]) == (len(GOLDEN["references"]), protocol)
    for name in ("substitutions", "deletions", "insertions", "errors", "reference_glosses"):
        assert sum(row[name] for row in result["per_clip"]) == expected[name]


def test_raw_is_the_default_and_there_are_no_rows(metric):
    result = metric.compute(predictions=["loc-SUED"], references=["SUED REGEN"])
    assert result == {
        "wer": 1.0,
        "substitutions": 1,
        "deletions": 1,
        "insertions": 0,
        "errors": 2,
        "reference_glosses": 2,
        "clips": 1,
        "protocol": "raw",
    }


def test_rows_tell_what_was_scored(metric):
    result = metric.compute(
        predictions=[None, ["A", "B"], "A A", "loc-C"],
        references=["A B", "A", ("A",), []],
        protocol="phoenix2014",
        collapse_repeats=True,
        per_clip=True,
    )
    rows = [(row["reference"], row["prediction"], row["wer"], row["errors"]) for row in result["per_clip"]]
    assert rows == [
        (["A", "B"], [], 1.0, 2),
        (["A"], ["A", "B"], 1.0, 1),
        (["A"], ["A"], 0.0, 0),
        ([], ["C"], None, 1),
    ]
    assert (result["errors"], result["reference_glosses"], result["clips"]) == (4, 4, 4)


@pytest.mark.parametrize("nothing", [None, "", " ", [], ()])
def test_nothing_read_is_all_deletions(metric, nothing):
    result = metric.compute(predictions=[nothing, "A"], references=["A B C", "A"])
    assert (result["deletions"], result["errors"], result["clips"]) == (3, 3, 2)


def test_clips_can_be_added_bit_by_bit(metric):
    metric.add(prediction="A", reference="A B")
    metric.add_batch(predictions=[None, "D"], references=[["C"], "D"])
    assert metric.compute()["deletions"] == 2


@pytest.mark.parametrize(
    ("predictions", "references", "options", "message"),
    [
        (["A"], ["A", "B"], {}, "1 predictions against 2 references"),
        (["A", "B"], ["A"], {}, "2 predictions against 1 references"),
        (["A", "B"], ["A", None], {}, r"reference for each clip; there is none at \[1\]"),
        ([], [], {}, "at least one reference gloss"),
        (["A"], [""], {}, "at least one reference gloss"),
        (["A"], ["__ON__"], {"protocol": "phoenix2014_t"}, "at least one reference gloss"),
        (["A"], ["A"], {"protocol": "sclite"}, "protocol 'sclite': there are raw"),
    ],
)
def test_mistakes_are_told(metric, predictions, references, options, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(predictions=predictions, references=references, **options)
    assert metric.compute(predictions=["A"], references=["A"])["clips"] == 1  # nothing of it is left


def test_it_loads_offline_where_this_package_is_absent(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "gloss_wer")
    script = (
        "import sys, evaluate; sys.modules['adaptsign_hf'] = None\n"
        f"metric = evaluate.load({str(tmp_path / 'gloss_wer')!r})\n"
        "print(metric.compute(predictions=['A'], references=['A B'])['wer'])"
    )
    offline = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=offline)
    assert (result.returncode, result.stdout) == (0, "0.5\n"), result.stderr


def test_the_examples_of_the_card_are_right(metric):
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.+?)` \| `(.*?)` \| (\d) \| (\d) \| (\d) \| ([\d.]+) \|$", card, re.MULTILINE)
    assert len(rows) > 3
    for reference, prediction, *counts in rows:
        result = metric.compute(predictions=[prediction.strip()], references=[reference])
        assert [result[name] for name in ("substitutions", "deletions", "insertions")] == [*map(int, counts[:3])]
        assert round(result["wer"], 2) == float(counts[3])
