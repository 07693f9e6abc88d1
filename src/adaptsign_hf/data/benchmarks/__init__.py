"""Benchmarks of continuous sign language recognition, read from a copy that the user obtained."""

from adaptsign_hf.data.benchmarks.catalogue import BENCHMARKS, build_vocabulary, read_benchmark

__all__ = ["BENCHMARKS", "build_vocabulary", "read_benchmark"]
