"""Reading what the authors released, and refusing what would run code."""

import builtins
import json
import os
import pickle
import random
import zipfile
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pytest
import torch

from adaptsign_hf.hub.released_files import read_checkpoint, read_glosses

from .released_network import Sizes, random_tensors, write_checkpoint

SMALL = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}


class Harmful:
    """Asks whoever unpickles it to run a command, which leaves a file behind."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.fixture
def harmful(tmp_path):
    trace = tmp_path / "trace"
    yield Harmful(trace)
    assert not trace.exists()


def test_the_harm_would_be_seen(tmp_path):
    pickle.loads(pickle.dumps(Harmful(tmp_path / "trace")))
    assert (tmp_path / "trace").exists()


def replace_in_pickle(path, old, new):
    """Replace bytes in the pickle inside a checkpoint."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            assert not name.endswith("data.pkl") or old in content
            archive.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)


# Checkpoints


def test_a_released_checkpoint_gives_the_networks_tensors(tmp_path):
    tensors = random_tensors(Sizes())
    found = read_checkpoint(write_checkpoint(tmp_path / "model.pt", tensors))
    assert found.keys() == tensors.keys()
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors.items()
    )
    assert found["conv1d.temporal_conv.1.num_batches_tracked"] == 12


@pytest.mark.parametrize("module", [b"core", b"_core"])
def test_random_states_of_every_numpy_are_read(tmp_path, module):
    path = write_checkpoint(tmp_path / "model.pt", SMALL)
    running = np.zeros(1).__reduce__()[0].__module__.split(".")[1].encode()
    replace_in_pickle(path, b"numpy." + running + b".multiarray", b"numpy." + module + b".multiarray")
    assert read_checkpoint(path).keys() == SMALL.keys()


def test_numbers_of_numpy_and_python_beside_the_network_are_read(tmp_path):
    content = {
        "model_state_dict": SMALL,
        "best": np.float64(21.5),
        "steps": np.int64(3),
        "random": random.getstate(),
        "numpy": np.random.RandomState(0).get_state(legacy=False),
        "notes": [None, True, "text", b"bytes", {1, 2}, (1.5, -1)],
    }
    torch.save(content, tmp_path / "model.pt")
    assert read_checkpoint(tmp_path / "model.pt").keys() == SMALL.keys()


@pytest.mark.parametrize("legacy", [False, True])
def test_the_tensors_alone_are_a_checkpoint_too(tmp_path, legacy):
    torch.save(OrderedDict(SMALL), tmp_path / "model.pt", _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(tmp_path / "model.pt")
    assert all(torch.equal(found[name], tensor) for name, tensor in SMALL.items())


def test_a_modules_own_state_dict_is_a_checkpoint_too(tmp_path):
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "model.pt")
    assert read_checkpoint(tmp_path / "model.pt").keys() == {"weight", "bias"}


def test_levels_of_data_parallel_are_taken_out_of_names(tmp_path):
    names = ["conv2d.module.visual.proj", "module.conv1d.fc.weight", "module.conv2d.module.visual.ln_post.bias"]
    torch.save({"model_state_dict": {name: torch.ones(1) for name in names}}, tmp_path / "model.pt")
    assert set(read_checkpoint(tmp_path / "model.pt")) == {
        "conv2d.visual.proj",
        "conv1d.fc.weight",
        "conv2d.visual.ln_post.bias",
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_become_float32_and_counts_stay(tmp_path, dtype):
    torch.save(
        {"model_state_dict": {"w": torch.ones(2, dtype=dtype) / 3, "n": torch.tensor(4)}}, tmp_path / "model.pt"
    )
    found = read_checkpoint(tmp_path / "model.pt")
    assert (found["w"].dtype, found["n"].dtype) == (torch.float32, torch.int64)
    assert torch.equal(found["w"], (torch.ones(2, dtype=dtype) / 3).float())


@pytest.mark.parametrize("place", ["in the network", "beside it", "all there is"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, harmful, place, legacy):
    content = {
        "in the network": {"model_state_dict": SMALL | {"evil": harmful}},
        "beside it": {"model_state_dict": SMALL, "evil": harmful},
        "all there is": harmful,
    }[place]
    torch.save(content, tmp_path / "model.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"model\.pt: it asks for posix\.system, but .*may be harmful") as error:
        read_checkpoint(tmp_path / "model.pt")
    assert "weights_only" not in str(error.value)  # torch would tell how to run it all the same


def test_a_bare_pickle_that_would_run_code_is_refused(tmp_path, harmful):
    (tmp_path / "model.pt").write_bytes(pickle.dumps(harmful, protocol=2))
    with pytest.raises(ValueError, match=r"model\.pt: it asks for posix\.system"):
        read_checkpoint(tmp_path / "model.pt")


def test_a_whole_module_is_refused_by_the_name_of_its_class(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"it asks for torch\.nn\.modules\.linear\.Linear"):
        read_checkpoint(tmp_path / "model.pt")


def test_reading_leaves_nothing_allowed_behind(tmp_path):
    before = set(map(str, torch.serialization.get_safe_globals()))
    read_checkpoint(write_checkpoint(tmp_path / "model.pt", SMALL))
    assert set(map(str, torch.serialization.get_safe_globals())) == before


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_told(tmp_path, kept):
    path = write_checkpoint(tmp_path / "model.pt", SMALL)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=r"Reading the checkpoint .*model\.pt: it is no checkpoint .*or was damaged"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "data", [b"hello\n", b"\x89PNG\r\n\x1a\n" * 9, b"\x872*R!'\x1e\x04", pickle.dumps([1, 2]), b"PK\x03\x04" * 30]
)
def test_another_kind_of_file_is_told(tmp_path, data):
    (tmp_path / "model.pt").write_bytes(data)
    with pytest.raises(ValueError, match=r"model\.pt: it is no checkpoint that torch wrote"):
        read_checkpoint(tmp_path / "model.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_damaged_checkpoint_is_told_or_read(tmp_path):
    """Of the older format, in which nothing guards the bytes."""
    path, damage = tmp_path / "model.pt", random.Random(0)
    torch.save(SMALL, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(3):
            data[damage.randrange(len(data))] = damage.randrange(256)
        path.write_bytes(data)
        with suppress(ValueError):  # and nothing else
            read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [[1, 2], torch.ones(2), {}, {"model_state_dict": {}}, {"model_state_dict": {"a": 1}}, {"epoch": 3}, "text"],
)
def test_a_file_of_torch_without_a_network_is_told(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt: expected a dictionary with the network's tensors"):
        read_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["nowhere.pt", "."])
def test_a_missing_checkpoint_is_told(tmp_path, name):
    with pytest.raises(ValueError, match=r"Reading the checkpoint .*: there is no such file"):
        read_checkpoint(tmp_path / name)


# Glosses


def save_npy(path, content):
    array = np.empty((), dtype=object)
    array[()] = content
    np.save(path, array, allow_pickle=True)


@pytest.mark.parametrize(
    "content",
    [
        {"WETTER": [2, 7], "ABEND": [1, 90], "ÄRGER": [3, 1]},
        {"WETTER": [np.int64(2), 7], "ABEND": [np.int64(1), 90], "ÄRGER": [np.int64(3), 1]},
        {"WETTER": np.int32(2), "ABEND": np.uint8(1), "ÄRGER": np.int64(3)},
        {"WETTER": (2, 7), "ABEND": (1, 90), "ÄRGER": (3, 1)},
        {"WETTER": 2, "ABEND": 1, "ÄRGER": 3},
    ],
)
def test_a_released_dictionary_is_read_in_the_order_of_ids(tmp_path, content):
    save_npy(tmp_path / "gloss_dict.npy", content)
    assert read_glosses(tmp_path / "gloss_dict.npy") == ["ABEND", "WETTER", "ÄRGER"]


@pytest.mark.parametrize("module", [b"core", b"_core"])
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_dictionary_of_every_numpy_is_read(tmp_path, module, protocol):
    path = tmp_path / "gloss_dict.npy"
    array = np.array({"B": [np.int64(2), 1], "A": [np.int64(1), 1]}, dtype=object)
    data = pickle.dumps(array, protocol=protocol)
    for running in (b"numpy._core.", b"numpy.core."):
        data = data.replace(running, b"numpy." + module + b".")
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(data)
    assert read_glosses(path) == ["A", "B"]


@pytest.mark.parametrize(
    "content", [{"B": 2, "A": 1, "Ö": 3}, {"B": [2, 5], "A": [1, 0], "Ö": [3, 9]}, ["A", "B", "Ö"]], ids=str
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_json_is_read_in_the_order_of_ids(tmp_path, content, encoding):
    (tmp_path / "glosses.json").write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    assert read_glosses(tmp_path / "glosses.json") == ["A", "B", "Ö"]


@pytest.mark.parametrize("name", ["glosses.txt", "glosses", "glosses.csv"])
@pytest.mark.parametrize(
    "data",
    ["ЗИМА\nloc-ÄRGER\n手话\n", "\ufeffЗИМА\r\nloc-ÄRGER\r\n手话", "\n  ЗИМА \n\nloc-ÄRGER\n\t\n手话\n\n"],
    ids=ascii,
)
def test_text_is_one_gloss_a_line(tmp_path, name, data):
    (tmp_path / name).write_bytes(data.encode())
    assert read_glosses(tmp_path / name) == ["ЗИМА", "loc-ÄRGER", "手话"]


@pytest.mark.parametrize("place", ["an id", "a gloss", "all there is"])
def test_a_dictionary_that_would_run_code_is_refused(tmp_path, harmful, place):
    content = {"an id": {"A": [harmful, 1]}, "a gloss": {harmful: [1, 1]}, "all there is": harmful}[place]
    save_npy(tmp_path / "gloss_dict.npy", content)
    with pytest.raises(ValueError, match=r"gloss_dict\.npy: the file asks for posix\.system, .*may be harmful"):
        read_glosses(tmp_path / "gloss_dict.npy")


@pytest.mark.parametrize("name", ["eval", "getattr", "__import__"])
def test_a_dictionary_that_asks_for_a_builtin_is_refused(tmp_path, name):
    class Asks:
        def __reduce__(self):
            return getattr(builtins, name), ("1",)

    save_npy(tmp_path / "gloss_dict.npy", {"A": [Asks(), 1]})
    with pytest.raises(ValueError, match=rf"the file asks for builtins\.{name}"):
        read_glosses(tmp_path / "gloss_dict.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"A": 0, "B": 1}, r"'A' has the id 0, but the ids of 2 glosses are 1 to 2, once each \(0 is the blank\)"),
        ({"A": [1, 9], "B": [1, 9]}, "'B' has the id 1"),
        ({"A": 1, "B": 3}, "'B' has the id 3"),
        ({"A": 1, "B": -1}, "'B' has the id -1"),
        ({"A": "1"}, "'A' has the id '1'"),
        ({"A": 1.0}, "'A' has the id 1.0"),
        ({"A": None, "B": 2}, "'A' has the id None"),
        ({"A": []}, r"'A' has the id \[\]"),
        ({"A": {"id": 1}}, r"'A' has the id {'id': 1}"),
        ({}, "expected glosses with their ids"),
        ([], "expected glosses with their ids"),
        (["A", 2], "expected glosses with their ids"),
        ("ABC", "expected glosses with their ids"),
        (3, "expected glosses with their ids"),
        (None, "expected glosses with their ids"),
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", [".json", ".npy"])
def test_wrong_ids_and_types_are_told(tmp_path, content, message, suffix):
    path = tmp_path / f"glosses{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        save_npy(path, content)
    with pytest.raises(ValueError, match=message) as error:
        read_glosses(path)
    assert str(error.value).startswith(f"Reading the glosses {path}: ")


def test_glosses_that_are_no_text_are_told(tmp_path):
    save_npy(tmp_path / "gloss_dict.npy", {1: [1, 1]})
    with pytest.raises(ValueError, match="expected glosses with their ids"):
        read_glosses(tmp_path / "gloss_dict.npy")


@pytest.mark.parametrize("content", [["A", "B"], [1, 2]])
def test_an_array_that_is_no_dictionary_is_told(tmp_path, content):
    np.save(tmp_path / "gloss_dict.npy", np.array(content))
    with pytest.raises(ValueError, match=r"expected one dictionary, found an array of .* with shape \(2,\)"):
        read_glosses(tmp_path / "gloss_dict.npy")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("glosses.txt", b"", "expected glosses"),
        ("glosses.txt", b"\n \n", "expected glosses"),
        ("glosses.txt", "ÄRGER".encode("latin-1"), "utf-8"),
        ("glosses.json", b"", "Expecting value"),
        ("glosses.json", b'{"A": 1', "delimiter"),
        ("glosses.json", b"[" * 100_000, "cannot be read: RecursionError"),
        ("gloss_dict.npy", b"", "magic"),
        ("gloss_dict.npy", b'{"A": 1}', "magic"),
        ("gloss_dict.npy", b"\x93NUMPY\x03\x00v\x00", "cannot be read"),
    ],
)
def test_empty_and_damaged_files_are_told(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"Reading the glosses .*{name}: .*{message}"):
        read_glosses(tmp_path / name)


def test_a_damaged_dictionary_is_told_or_read(tmp_path):
    path, damage = tmp_path / "gloss_dict.npy", random.Random(0)
    save_npy(path, {"A": [1, 5], "B": [2, 3]})
    whole = path.read_bytes()
    for number in range(200):
        data = bytearray(whole)
        for _ in range(2):
            data[damage.randrange(len(data))] = damage.randrange(256)
        path.write_bytes(data[: damage.randrange(len(data))] if number % 2 else data)
        with suppress(ValueError):  # and nothing else
            read_glosses(path)


@pytest.mark.parametrize("name", ["nowhere.npy", "nowhere.json", "nowhere.txt", "."])
def test_missing_glosses_are_told(tmp_path, name):
    with pytest.raises(ValueError, match=r"Reading the glosses .*: there is no such file"):
        read_glosses(tmp_path / name)
