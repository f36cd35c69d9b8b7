"""Queries of dashboards and alert rules: where they stand, and which metrics they name."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))

_RANGE = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}
_NO_METRICS = re.compile(
    r"""
    "(?:\\.|[^"\\])*"                                          # strings
    | \{[^{}]*\}                                               # matchers, once strings are gone
    | \[[^\]]*\]                                               # ranges
    | \b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)
    | \b\w+\s*(?=\()                                           # functions
    | \b(?:and|or|unless|bool|offset|sum|min|max|avg|count|topk|quantile)\b
    """,
    re.VERBOSE,
)


def alert_queries() -> list[str]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def dashboard_queries(dashboard: Path) -> list[str]:
    """With what Grafana puts in for its variables."""
    panels: list[dict[str, Any]] = json.loads(dashboard.read_text("utf-8"))["panels"]
    return [_filled(target["expr"]) for panel in panels for target in panel.get("targets", [])]


def metrics_of(query: str) -> set[str]:
    """The names of the series that ``query`` asks for."""
    left = query
    while (stripped := _NO_METRICS.sub(" ", left)) != left:
        left = stripped
    return set(re.findall(r"[a-zA-Z_:][\w:]*", left))


def _filled(query: str) -> str:
    for name, text in _RANGE.items():
        query = query.replace(name, text)
    return re.sub(r"\$(instance|model)\b", ".*", query)
