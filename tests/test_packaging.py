"""What `pip install` and the sdist hold, above all the code behind the link from the package to modeling/."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED_CODE = {path.name: path.read_bytes() for path in (ROOT / "modeling").glob("*.py")}
CARDS = {path.name: path.read_bytes() for path in (ROOT / "hub_cards").glob("*.md")}


def build(kind, source, out):
    """Build with the setuptools that is installed: an isolated build would fetch its own from the network."""
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(out), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return next(path for path in out.iterdir() if path.suffix == {"wheel": ".whl", "sdist": ".gz"}[kind])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout, since a build leaves its traces in it."""
    folder = tmp_path_factory.mktemp("checkout") / "adaptsign"
    keep = (
        "modeling",
        "hub_cards",
        "src",
        "tests",
        "configs",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "MANIFEST.in",
        "train.py",
    )

    def left_out(directory, names):
        return {name for name in names if name.endswith((".egg-info", "__pycache__"))} | (
            set(names) - set(keep) if Path(directory) == ROOT else set()
        )

    shutil.copytree(ROOT, folder, symlinks=True, ignore=left_out)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory):
    """The sdist, unpacked."""
    archive = build("sdist", source, tmp_path_factory.mktemp("sdist"))
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent, filter="data")
    return next(path for path in archive.parent.iterdir() if path.is_dir())


def check_wheel(path):
    with zipfile.ZipFile(path) as wheel:
        held = {info.filename: wheel.read(info) for info in wheel.infolist()}
        links = [info.filename for info in wheel.infolist() if info.external_attr >> 16 & 0o170000 == 0o120000]
    assert links == []
    prefix = "adaptsign_hf/modeling/"
    code = {name.removeprefix(prefix): data for name, data in held.items() if name.startswith(prefix)}
    assert code == SHARED_CODE
    assert "adaptsign_hf/py.typed" in held
    for path in (ROOT / "src" / "adaptsign_hf").rglob("*.py"):
        assert held[path.relative_to(ROOT / "src").as_posix()] == path.read_bytes()
    assert "adaptsign_hf/metrics/gloss_wer/README.md" in held
    cards = "adaptsign_hf/hub/templates/"
    assert {name.removeprefix(cards): data for name, data in held.items() if name.startswith(cards)} == CARDS
    assert "model.md" in CARDS
    assert {name.split("/")[0].split("-")[0] for name in held} == {"adaptsign_hf"}  # no tests, no second modeling
    (entry_points,) = [data.decode() for name, data in held.items() if name.endswith("entry_points.txt")]
    assert "adaptsign = adaptsign_hf.cli:main" in entry_points
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_the_wheel_holds_the_code(wheel):
    check_wheel(wheel)


def test_the_sdist_holds_the_code(sdist):
    code = {path.name: path.read_bytes() for path in (sdist / "src" / "adaptsign_hf" / "modeling").glob("*.py")}
    assert code == SHARED_CODE
    for name in ("pyproject.toml", "README.md", "LICENSE", "src/adaptsign_hf/py.typed"):
        assert (sdist / name).read_bytes() == (ROOT / name).read_bytes()


def test_a_wheel_of_the_sdist_holds_the_code(sdist, tmp_path):
    check_wheel(build("wheel", sdist, tmp_path))


def test_the_installed_wheel_runs(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = "import adaptsign_hf, sys; print(adaptsign_hf.__version__, adaptsign_hf.__file__)"
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,  # first in the path, before this checkout
    )
    assert result.returncode == 0, result.stderr
    assert str(tmp_path) in result.stdout
