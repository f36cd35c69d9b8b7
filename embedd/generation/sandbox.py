"""The jinja that chat templates run in: code from strangers, which may loop and build only so much.

The functions, filters and tags are those that transformers gives to templates, so that every template of a
hub renders here as it does there. https://github.com/huggingface/transformers, utils/chat_template_utils.py

Invariants: nothing of a template reaches Python's own objects; a render ends after ``MOST_STEPS`` loops and
calls and holds no text longer than ``MOST_CHARACTERS``. One thread uses an environment at a time.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

MOST_STEPS = 1_000_000
MOST_CHARACTERS = 32 * 2**20
_LARGEST_EXPONENT = 64
_STEPS_OF_A_CALL = 10

_WIDE_FORM = re.compile(r"[%:.*][-+ #0<>=^]*\d{8}")

_FORMATTING = ("format", "format_map")

_COUNTED = "counted"
_CONCATENATED = "concatenated"


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """An environment whose templates run out of steps instead of running forever."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols], cache_size=0
        )
        self._steps = 0
        self.filters |= {"tojson": _to_json, _COUNTED: self._counted, _CONCATENATED: _concatenated}
        self.filters |= {name: _bounded(self.filters[name]) for name in ("center", "format", "indent")}
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": lambda form: datetime.now().strftime(form),  # noqa: DTZ005 - the local day
            "dict": _Dict(),
            "namespace": _Namespace,
        }

    def begin(self) -> None:
        """A render begins, with all its steps before it."""
        self._steps = 0

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template: nodes.Template = _Limited().visit(super()._parse(source, name, filename))
        return template

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._step(_STEPS_OF_A_CALL)
        _check_widths(*args, *kwargs.values())
        if getattr(function, "__name__", "") in _FORMATTING:
            _check_form(getattr(function, "__self__", None))
        return super().call(context, function, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and abs(right) > _LARGEST_EXPONENT:
            raise SecurityError(f"a template may not compute ** {right}")
        if operator == "*":
            _check_length(_length(left) * right if _length(left) else _length(right) * left)
        if operator == "%" and isinstance(left, str):
            _check_form(left)
            _check_widths(*(right if isinstance(right, tuple) else (right,)))
        if operator == "+":
            _check_length(_length(left) + _length(right))
        return super().call_binop(context, operator, left, right)

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._step(1)
            yield item

    def _step(self, count: int) -> None:
        self._steps += count
        if self._steps > MOST_STEPS:
            raise SecurityError(f"a template may take {MOST_STEPS} steps")


class _Limited(NodeTransformer):
    """Puts every loop over ``counted`` items, and every ``~`` into ``concatenated``."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the visitor's name for it
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _COUNTED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), _CONCATENATED)


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


class _Generation(Extension):
    """``{% generation %}``, which marks for training what the assistant says, and means nothing here."""

    tags = {"generation"}  # noqa: RUF012 - the base class declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Dict:
    """``dict(...)`` without the attributes of the class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """Refuses attributes that would lead to Python's own."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, rest = args[0], args[1:]
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a template may not store {name!r} on a namespace")


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike jinja's own, escapes nothing for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _concatenated(parts: Iterable[Any]) -> str:
    texts = [str(part) for part in parts]
    _check_length(sum(map(len, texts)))
    return "".join(texts)


def _bounded(fill: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that fills a text up, with as much as a template may hold."""

    def filled(*args: Any, **kwargs: Any) -> Any:
        _check_widths(*args, *kwargs.values())
        if fill.__name__ == "do_format":
            _check_form(args[0])
        return fill(*args, **kwargs)

    return filled


def _check_widths(*values: Any) -> None:
    """Refuses numbers that are too large for the width of a text."""
    for value in values:
        if isinstance(value, int):
            _check_length(value)


def _check_form(form: Any) -> None:
    """Refuses forms such as ``%99999999d``."""
    if isinstance(form, str) and _WIDE_FORM.search(form):
        raise SecurityError(f"a template may hold {MOST_CHARACTERS} characters")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0


def _check_length(length: Any) -> None:
    if length > MOST_CHARACTERS:
        raise SecurityError(f"a template may hold {MOST_CHARACTERS} characters")
