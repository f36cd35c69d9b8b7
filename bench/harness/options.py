"""The command line that every bench has: --quick, --data, --out."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# The evaluation data has licences of its own, so it lives beside the checkout, not in it.
DEFAULT_DATA = REPOSITORY.parent / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Options:
    """``quick``: about a minute on two cores; ``data``: a folder that exists; ``out``: a JSON file.

    ``parts``: those of the bench to be run, where it has parts; all of them where none is asked for.
    """

    quick: bool
    data: Path
    out: Path
    parts: tuple[str, ...] = ()


def parse_options(
    name: str, description: str, arguments: Sequence[str] | None = None, *, parts: Sequence[str] = ()
) -> Options:
    """The options of the bench ``name``; ends the program with status 2 where the data folder is missing."""
    parser = argparse.ArgumentParser(prog=f"bench/{name}.py", description=description)
    parser.add_argument("--quick", action="store_true", help="smaller samples, about a minute on two cores")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=DEFAULT_DATA,
        help="evaluation data (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        default=REPOSITORY / "bench" / "out" / f"{name}.json",
        help="where the figures go (default: %(default)s)",
    )
    if parts:
        parser.add_argument(
            "--only", action="append", choices=parts, help="a part; may be given several times"
        )
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        parser.error(f"no evaluation data in {given.data}; name its folder with --data (see bench/README.md)")
    chosen = (given.only if parts else None) or parts
    return Options(quick=given.quick, data=given.data, out=given.out, parts=tuple(chosen))
