"""Runs one benchmark in this process and prints a line of JSON per figure: `python -m tests.benchmarks.one NAME`.

Without a name, prints all benchmarks: {name: {"databases": […], "with_s3": […], "figures": [name, …]}}.
"""

import contextlib
import json
import os
import sys

import django


def main(arguments: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    # Benchmarks import models, which need Django.
    from tests.benchmarks.harness import benchmarks

    if not arguments:
        known = {
            name: {
                "databases": one.databases,
                "with_s3": one.databases_with_s3,
                "figures": [*one.units],
            }
            for name, one in benchmarks().items()
        }
        print(json.dumps(known))
        return
    chosen = benchmarks()[arguments[0]]
    with contextlib.redirect_stdout(sys.stderr):
        measured = chosen.measure()
    figures = measured if isinstance(measured, dict) else {chosen.name: measured}
    for name, unit in chosen.units.items():
        figure = figures[name]
        ratio = figure.value / figure.reference if figure.reference else None
        print(
            json.dumps(
                {
                    "name": name,
                    "database": os.environ["BENCHMARK_DATABASE"],
                    "value": _rounded(figure.value),
                    "unit": unit,
                    "reference": _rounded(figure.reference),
                    "ratio": _rounded(ratio),
                }
            )
        )


def _rounded(number: float | None) -> float | None:
    """Four significant digits."""
    return None if number is None else float(f"{number:.4g}")


if __name__ == "__main__":
    main(sys.argv[1:])
