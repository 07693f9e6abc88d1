"""
Put the tests of the installed transformers and peft into build/upstream, from their sdists.

The wheels leave the tests out. `build/upstream/<name>-<version>/<name>_tests` is one package a project, so that the
two, which both call theirs `tests`, do not collide; what is there already is not fetched again.
"""

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

CACHE = Path(__file__).parents[1] / "build" / "upstream"
PROJECTS = ("transformers", "peft")


def folder_of(project: str) -> Path:
    """Return the folder to import a project's tests from, as the package `<project>_tests`."""
    return CACHE / f"{project}-{version(project)}"


def unpack_tests(sdist: Path, project: str, folder: Path) -> None:
    """Unpack the tests of an sdist, and nothing else, into `folder`."""
    tests = f"{sdist.name.removesuffix('.tar.gz')}/tests/"
    with tarfile.open(sdist) as archive:
        members = [member for member in archive if member.isfile() and member.name.startswith(tests)]
        for member in members:
            member.name = f"{project}_tests/{member.name.removeprefix(tests)}"
        archive.extractall(folder, members, filter="data")


def fetch(project: str) -> None:
    """Download the sdist of the installed version, and unpack its tests."""
    folder = folder_of(project)
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as download:
        # Only the project itself from source: with `:all:`, pip would build setuptools too, merely to ask for names.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", project]
        subprocess.run([*pip, "--dest", download, f"{project}=={version(project)}"], check=True)
        (sdist,) = Path(download).glob("*.tar.gz")
        unpack_tests(sdist, project, Path(download) / "unpacked")
        (Path(download) / "unpacked").rename(folder)  # at once: an interrupted run leaves no half of it


if __name__ == "__main__":
    for name in PROJECTS:
        fetch(name)
        print(f"{name} {version(name)}: {folder_of(name)}")
