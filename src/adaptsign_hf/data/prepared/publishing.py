"""Prepared clips on the Hub, where their licence allows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError  # of its HTTP library, and the base of its own
from huggingface_hub.utils import validate_repo_id

from adaptsign_hf.data.benchmarks.catalogue import BENCHMARKS, find_benchmark
from adaptsign_hf.data.prepared.layout import FILES, read_settings

CARD = "README.md"


def check_redistribution(name: str, source: str | Path) -> None:
    """
    See that copies of a benchmark may be passed on, also of one that was prepared from it before.

    Args:
        name: Of the benchmark.
        source: The copy.

    Raises:
        ValueError: If they may not; the message says why.
    """
    settings = read_settings(Path(source))
    for benchmark in (find_benchmark(name), BENCHMARKS.get(settings.benchmark) if settings else None):
        if benchmark is not None and benchmark.redistribution:
            raise ValueError(
                f"Pushing {benchmark.title} to the Hub is refused: {benchmark.redistribution}. Prepare it without "
                "--push-to-hub; training reads it from the disk."
            )


def check_destination(repo_id: str) -> None:
    """
    See that a repository has a name that it can have, and that the Hub knows the user, before hours of work.

    Raises:
        ValueError, OSError: If not.
    """
    validate_repo_id(repo_id)
    with hub_errors(repo_id):
        HfApi().whoami()


def push_prepared(folder: str | Path, repo_id: str) -> str:
    """
    Upload a prepared folder as a dataset; a new repository is private, because videos show people.

    Args:
        folder: From `prepare_benchmark`.
        repo_id: `user/name`.

    Returns:
        The address of the repository.

    Raises:
        ValueError, OSError: If the Hub refuses or cannot be reached.
    """
    api = HfApi()
    with hub_errors(repo_id):
        repository = api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=str(folder),
            repo_type="dataset",
            commit_message="Upload prepared clips",
            allow_patterns=[*FILES, CARD],
        )
    return str(repository)


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """
    Make a mistake of the user's, in one line, of what the Hub answers, or of its silence.

    Raises:
        ValueError: If nobody is logged in, rights are missing, or the Hub cannot be reached.
    """
    try:
        yield
    except (HTTPError, OSError) as error:
        raise ValueError(f"Pushing to {repo_id} on the Hub: {' '.join(str(error).split())}") from error
