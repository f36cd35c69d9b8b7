"""The figures in ``bench/README.md`` and their plot, written from the result files and never by hand.

``make figures``, after the two embedding benches have written into ``results``.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.options import REPOSITORY
from harness.svg import Bar, Group, plot
from harness.targets import row_of

README = REPOSITORY / "bench" / "README.md"
RESULTS = REPOSITORY / "bench" / "results"
PLOT = "embedding.svg"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
OURS = ("engine", "embedd", "cross-encoder")
# In the plot one engine of ours in each precision is enough.
NOT_PLOTTED = ("engine auto", "cross-encoder", "floor float32")

Result = dict[str, Any]


def section(throughput: Result, service: Result) -> str:
    """Everything between the two marks."""
    parts = [
        *machine_lines(throughput),
        *peer_lines(throughput, service),
        f"\n![Texts per second](results/{PLOT})\n",
        f"**The engine alone**, {throughput['settings']['texts']} texts of mixed lengths:\n",
        *engine_table(throughput["figures"]),
        "\n**Through HTTP**, all cores: 32 clients of one text, 4 of 32 texts, one client's queries:\n",
        *server_table(service["figures"]["peers"]),
        "\n**What was to be reached:**\n",
        *goal_table(throughput["figures"]["goals"] + service["figures"]["goals"]),
    ]
    return "\n".join(parts)


def machine_lines(result: Result) -> Iterator[str]:
    """Where and when."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {machine['libraries'][name]}" for name in ("torch", "transformers"))
    yield (
        f"{result['settings']['model']}, {machine['cores']} cores of {machine['processor']}, {versions}, "
        f"{machine['at'][:10]}, revision {machine['revision']}. Ratios are medians over "
        f"{result['settings']['rounds']} rounds in which all took turns."
    )


def peer_lines(throughput: Result, service: Result) -> Iterator[str]:
    """What it is compared with."""
    openvino = throughput["settings"]["openvino"].get("openvino")
    infinity = service["settings"]["infinity"]
    if openvino and infinity:
        versions = ", ".join(f"{name} {version}" for name, version in sorted(infinity.items()))
        yield f"Beside it OpenVINO {openvino}, and infinity with {versions}."


def engine_table(figures: Result) -> Iterator[str]:
    """A line per side, all cores and one core beside each other."""
    columns = ["", "texts/s", "to encode()", "to OpenVINO", "of the floor", "padding", "one core, texts/s"]
    yield from header([*columns, "to encode()", "lowest cosine"])
    many, one = figures["all_cores"], figures["one_core"]
    for name, row in many["sides"].items():
        lowest = many["correctness"].get(name, {}).get("cosine", {}).get("lowest")
        alone = one["sides"][name]
        cells = [
            f"{row['texts_per_s']:.0f}",
            times(row["to_encode"]),
            times(row["to_openvino"]),
            share(row["share_of_floor"]),
            share(row["padding"]),
            f"{alone['texts_per_s']:.0f}",
            times(alone["to_encode"]),
            "" if lowest is None else f"{lowest:.6f}",
        ]
        yield line([name, *cells])


def server_table(peers: Result) -> Iterator[str]:
    """A line per server."""
    columns = [
        "",
        "32 x 1, texts/s",
        "embedd to it",
        "4 x 32, texts/s",
        "embedd to it",
        "one query, p50",
        "p99",
    ]
    yield from header([*columns, "lowest cosine"])
    for name, row in peers.items():
        cells = [
            f"{row['small_texts_per_s']:.0f}",
            times(row["ours_to_this_small"]),
            f"{row['large_texts_per_s']:.0f}",
            times(row["ours_to_this_large"]),
            f"{row['query']['p50_ms']:.1f} ms",
            f"{row['query']['p99_ms']:.1f} ms",
            f"{row['cosine']['lowest']:.6f}",
        ]
        yield line([name, *cells])


def goal_table(goals: Sequence[Result]) -> Iterator[str]:
    """A line per goal."""
    yield from header(["", "measured", "to be", "met"])
    for goal in goals:
        yield line([goal["name"], *row_of(goal)])


def header(columns: Sequence[str]) -> Iterator[str]:
    """Names, and numbers to the right."""
    yield line(columns)
    yield line(["---", *["---:"] * (len(columns) - 1)])


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def groups(throughput: Result, service: Result) -> list[Group]:
    """What is plotted: the engine among libraries, the service among servers."""
    sides = throughput["figures"]["all_cores"]["sides"]
    alone = [
        Bar(name, row["texts_per_s"], kind_of(name)) for name, row in sides.items() if name not in NOT_PLOTTED
    ]
    peers = service["figures"]["peers"]
    served = [Bar(name, row["small_texts_per_s"], kind_of(name)) for name, row in peers.items()]
    return [
        Group("The engine alone, texts per second", alone),
        Group("Through HTTP, 32 clients of one text, texts per second", served),
    ]


def kind_of(name: str) -> Any:
    """Whose bar it is."""
    return "floor" if name.startswith("floor") else "ours" if name.startswith(OURS) else "other"


def replaced(readme: str, content: str, begin: str = BEGIN, end: str = END) -> str:
    """``readme`` with ``content`` between the two marks."""
    before, _, rest = readme.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def read_results(results: Path) -> tuple[Result, Result] | None:
    """Both result files, or None before they were written."""
    files = [results / f"{name}.json" for name in ("embed_throughput", "embed_service")]
    if not all(file.exists() for file in files):
        return None
    throughput, service = (json.loads(file.read_bytes()) for file in files)
    return throughput, service


def recorded(results: Path) -> str:
    """What stands between the marks."""
    read = read_results(results)
    return section(*read) if read else "No figures have been recorded yet."


def main(results: Path = RESULTS, readme: Path = README) -> None:
    """Writes the section and the plot."""
    if read := read_results(results):
        (results / PLOT).write_text(plot(groups(*read)), encoding="utf-8")
    content = recorded(results)
    readme.write_text(replaced(readme.read_text(encoding="utf-8"), content), encoding="utf-8")
    print(f"written: {readme}")


if __name__ == "__main__":
    main()
