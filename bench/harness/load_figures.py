"""The figures of several services in ``bench/README.md`` and their plot, from ``results/load.json``.

``make figures``, after ``bench/load.py`` has written into ``results``.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from harness.readme import README, RESULTS, Result, goal_table, header, line, replaced
from harness.svg import Bar, Group, plot

PLOT = "load.svg"
BEGIN, END = "<!-- load: begin -->", "<!-- load: end -->"
_WAYS = ("killed", "asked to end")


def section(result: Result) -> str:
    """Everything between the two marks."""
    settings, machine = result["settings"], result["machine"]
    where = (
        f"{settings['clients']} clients; models take {1000 * settings['text_s']:.0f} ms a text; "
        f"all on {machine['cores']} cores of {machine['processor']}, {machine['at'][:10]}, "
        f"revision {machine['revision']}."
    )
    parts = [
        where,
        f"\n![Requests per second by services](results/{PLOT})\n",
        *table(result["figures"]["balancers"]),
        "\n**What was to be reached:**\n",
        *goal_table(result["figures"]["goals"]),
    ]
    return "\n".join(parts)


def table(balancers: Result) -> Iterator[str]:
    """A line for each balancer and protocol."""
    scales = [one for found in balancers.values() for one in found["scaled"].values()]
    counts = list(scales[0]["per_s"])
    rates = [f"{count} service{'s' * (count != '1')}, requests/s" for count in counts]
    yield from header(["", *rates, "requests of each", "failed while one is killed", "while one ends"])
    for balancer, found in balancers.items():
        for protocol, one in found["scaled"].items():
            gone = [str(sum(found[way][protocol]["failed"].values())) for way in _WAYS]
            per_s = [f"{rate:.0f}" for rate in one["per_s"].values()]
            yield line([f"{balancer}, {protocol}", *per_s, ", ".join(map(str, one["spread"])), *gone])


def groups(result: Result) -> list[Group]:
    """What is plotted: requests a second by the number of services."""
    return [
        Group(
            f"{balancer}, {protocol}: requests per second",
            [
                Bar(f"{count} service{'s' * (count != '1')}", rate, "ours")
                for count, rate in one["per_s"].items()
            ],
        )
        for balancer, found in result["figures"]["balancers"].items()
        for protocol, one in found["scaled"].items()
    ]


def recorded(results: Path) -> str:
    """What stands between the marks."""
    file = results / "load.json"
    return section(json.loads(file.read_bytes())) if file.exists() else "No figures have been recorded yet."


def main(results: Path = RESULTS, readme: Path = README) -> None:
    """Writes the section and the plot."""
    file = results / "load.json"
    if file.exists():
        (results / PLOT).write_text(plot(groups(json.loads(file.read_bytes()))), encoding="utf-8")
    text = readme.read_text(encoding="utf-8")
    readme.write_text(replaced(text, recorded(results), BEGIN, END), encoding="utf-8")
    print(f"written: {readme}")


if __name__ == "__main__":
    main()
