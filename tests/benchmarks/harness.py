"""Registry of the benchmarks, and comparison with a reference."""

import importlib
import pkgutil
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

DATABASES = ("postgresql", "sqlite")


@dataclass(frozen=True)
class Figure:
    """A measured value in the unit of its benchmark, and the value of the reference in the same run, if it has one."""

    value: float
    reference: float | None = None


type Measured = Figure | dict[str, Figure]


@dataclass(frozen=True)
class Benchmark:
    """A function that measures one or several figures on the given databases."""

    name: str
    # Unit of each figure by name.
    units: Mapping[str, str]
    databases: tuple[str, ...]
    # Databases with which payloads go to an S3 server instead of files.
    databases_with_s3: tuple[str, ...]
    measure: Callable[[], Measured]


_benchmarks: dict[str, Benchmark] = {}


def benchmark(
    name: str,
    unit: str,
    databases: Iterable[str] = DATABASES,
    *,
    with_s3: Iterable[str] = (),
    also: Mapping[str, str] | None = None,
) -> Callable[[Callable[[], Measured]], Callable[[], Measured]]:
    """Registers a function as the benchmark of the figure `name`; Django is set up when it is called.

    With `also`, {name: unit} of other figures, it returns all of them by name.
    """
    units = {name: unit} | dict(also or {})

    def register(measure: Callable[[], Measured]) -> Callable[[], Measured]:
        _benchmarks[name] = Benchmark(name, units, tuple(databases), tuple(with_s3), measure)
        return measure

    return register


def benchmarks() -> dict[str, Benchmark]:
    """All benchmarks of this package by name. Django must be set up."""
    package = importlib.import_module("tests.benchmarks")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("__"):
            importlib.import_module(f"tests.benchmarks.{module.name}")
    return dict(sorted(_benchmarks.items()))


def compare(ours: Callable[[], float], reference: Callable[[], float], *, rounds: int) -> Figure:
    """Medians of both functions, which return one measurement per call; the first round is not counted.

    They take turns, because the speed of a shared machine varies.
    """
    values, references = [], []
    for round_number in range(rounds + 1):
        value, other = (ours(), reference()) if round_number % 2 else tuple(reversed((reference(), ours())))
        if round_number:
            values.append(value)
            references.append(other)
    return Figure(statistics.median(values), statistics.median(references))
