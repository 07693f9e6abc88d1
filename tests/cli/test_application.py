import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from adaptsign_hf.cli.environment import PACKAGES
from adaptsign_hf.version import __version__

COMMANDS = ("evaluate", "predict", "explain", "doctor", "prepare", "convert", "push", "lm", "synthesize", "env")


def test_help_lists_the_commands(adaptsign):
    result = adaptsign("--help")
    assert result.code == 0
    assert all(command in result.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(adaptsign, command):
    result = adaptsign(command, "--help")
    assert result.code == 0
    assert re.search(rf"Usage: .* {command} \[OPTIONS\]", result.stdout)
    assert result.stderr == ""


def test_no_command_is_undocumented(adaptsign):
    listed = re.findall(r"^\W*(\w+) {2,}\w", adaptsign("--help").stdout.split("Commands")[1], re.MULTILINE)
    assert set(listed) == set(COMMANDS)


def test_version(adaptsign):
    result = adaptsign("--version")
    assert (result.code, result.stdout) == (0, f"{__version__}\n")


def test_env_tells_versions(adaptsign):
    result = adaptsign("env")
    assert result.code == 0
    lines = result.stdout.splitlines()
    assert f"adaptsign_hf {__version__}" in lines
    assert f"torch {version('torch')}" in lines
    assert {line.split()[0] for line in lines} >= {"python", "device", *PACKAGES}


def test_env_tells_what_is_not_installed(adaptsign, monkeypatch):
    monkeypatch.setattr("adaptsign_hf.cli.environment.PACKAGES", ("no-such-package",))
    assert "no-such-package not installed" in adaptsign("env").stdout


@pytest.mark.parametrize(
    "arguments",
    [("nothing",), ("predict",), ("predict", "model"), ("evaluate", "model"), ("env", "--wrong"), ("--wrong",)],
)
def test_wrong_usage_is_status_2(adaptsign, arguments):
    result = adaptsign(*arguments)
    assert result.code == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr


def test_no_arguments_give_help(adaptsign):
    result = adaptsign()
    assert result.code == 2
    assert "predict" in result.stdout + result.stderr


def test_synthesize_renders_a_corpus_and_prints_its_folder(adaptsign, tmp_path):
    sizes = ("--train", 2, "--dev", 0, "--test", 1, "--test-signer", 0, "--frame-size", 32, "--fps", 5)
    result = adaptsign("synthesize", tmp_path / "corpus", *sizes, "--quiet")
    assert (result.code, result.stdout) == (0, f"{tmp_path / 'corpus'}\n")
    assert len((tmp_path / "corpus" / "metadata.csv").read_text().splitlines()) == 4


def test_mistakes_are_one_line_and_status_1(adaptsign, tmp_path):
    result = adaptsign("synthesize", tmp_path, "--frame-size", "33")
    assert result.code == 1
    assert result.stdout == ""
    assert result.stderr == "error: frame_size must be an even number of at least 32 pixels, got 33.\n"


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "adaptsign_hf.cli", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, f"{__version__}\n")
