"""A chart of an Office Open XML document as a table: a row for each category, a column for each series."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from api.services.extraction.archive import Archive
from api.services.extraction.markdown_writer import MarkdownWriter
from api.services.extraction.xml_events import End, Start, read_events

_CATEGORIES = frozenset({"cat", "xVal"})
_VALUES = frozenset({"val", "yVal"})
_NAME = "tx"
_MOST_POINTS = 100_000


@dataclass(slots=True)
class _Series:
    """The cached values of a series; categories and values by the number of their point."""

    name: str = ""
    categories: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Chart:
    title: list[str] = field(default_factory=list)
    series: list[_Series] = field(default_factory=list)


def write_chart(archive: Archive, part: str, writer: MarkdownWriter) -> None:
    """Adds the chart in ``part``: its title as a paragraph, then its numbers.

    Raises:
        UnreadableFile: damaged.
    """
    chart = _read(archive, part)
    writer.end_block()
    writer.add_text("".join(chart.title))
    writer.end_block()
    if chart.series:
        _write_table(chart.series, writer)


def _read(archive: Archive, part: str) -> _Chart:
    chart, path, point = _Chart(), list[str](), ""
    with archive.open(part) as stream:
        for event in read_events(stream):
            if isinstance(event, Start):
                path.append(event.name)
                point = _opened(chart, event.name, event.attributes, point)
            elif isinstance(event, End):
                path.pop()
            elif path[-1] == "v" and chart.series:
                _add_value(chart.series[-1], path, point, event)
            elif path[-1] == "t" and "title" in path and not chart.series:
                chart.title.append(event)
    return chart


def _opened(chart: _Chart, name: str, attributes: Mapping[str, str], point: str) -> str:
    if name == "ser":
        chart.series.append(_Series())
    return attributes.get("idx", "") if name == "pt" else point


def _add_value(series: _Series, path: list[str], point: str, value: str) -> None:
    if _NAME in path:
        series.name += value
    elif len(series.categories) < _MOST_POINTS and not _CATEGORIES.isdisjoint(path):
        series.categories[point] = value
    elif len(series.values) < _MOST_POINTS and not _VALUES.isdisjoint(path):
        series.values[point] = value


def _write_table(series: list[_Series], writer: MarkdownWriter) -> None:
    writer.open_table()
    _write_row(writer, ["", *(one.name for one in series)])
    points = dict.fromkeys(point for one in series for point in (*one.categories, *one.values))
    for point in points:
        category = next((one.categories[point] for one in series if point in one.categories), "")
        _write_row(writer, [category, *(one.values.get(point, "") for one in series)])
    writer.close_table()


def _write_row(writer: MarkdownWriter, cells: list[str]) -> None:
    writer.open_row()
    for cell in cells:
        writer.open_cell()
        writer.add_text(cell)
        writer.close_cell()
    writer.close_row()
