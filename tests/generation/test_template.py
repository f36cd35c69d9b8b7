"""Chat templates: the same text as transformers makes, and nothing beyond what a template may do."""

import json
from pathlib import Path
from typing import Any

import chat_templates
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from embedd.conversation import Tool, ToolCall, Turn
from embedd.errors import InvalidInput, ModelLoadError
from embedd.generation.template import ChatTemplate, read_template

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TIDE = Tool(
    "tide", "When the tide comes & <how> high", {"type": "object", "properties": {"port": {"type": "string"}}}
)
PLAIN = (Turn("user", " When is flood in Kiel? "), Turn("assistant", "At six."), Turn("user", "Größe? 🌊"))
CALLING = (
    Turn("user", "When is flood?"),
    Turn("assistant", "", (ToolCall("call_0001", "tide", '{"port": "Kiel", "day": 3}'),)),
    Turn("tool", '{"at": "06:00"}', tool_call_id="call_0001"),
)
SYSTEM = (Turn("system", "Be brief."), *PLAIN)


def by_transformers(source: str, turns: tuple[Turn, ...], tools: tuple[Tool, ...] = ()) -> str:
    messages = [as_message(turn) for turn in turns]
    offered: Any = [as_function(tool) for tool in tools] or None
    rendered, _ = render_jinja_template(
        [messages], tools=offered, chat_template=source, add_generation_prompt=True, **SPECIAL
    )
    return str(rendered[0])


def as_message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in turn.tool_calls
        ]
    if turn.tool_call_id:
        message["tool_call_id"] = turn.tool_call_id
    return message


def as_function(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def template(source: str) -> ChatTemplate:
    return ChatTemplate({"default": source}, SPECIAL)


@pytest.mark.parametrize("name", chat_templates.ALL)
def test_a_conversation_becomes_the_text_that_transformers_makes(name: str) -> None:
    source = chat_templates.ALL[name]
    assert template(source).render(PLAIN) == by_transformers(source, PLAIN)


@pytest.mark.parametrize("name", ["chatml", "qwen", "llama3", "mistral"])
def test_a_system_turn_becomes_the_text_that_transformers_makes(name: str) -> None:
    source = chat_templates.ALL[name]
    assert template(source).render(SYSTEM) == by_transformers(source, SYSTEM)


@pytest.mark.parametrize("name", ["qwen", "llama3", "mistral"])
@pytest.mark.parametrize("turns", [PLAIN, CALLING], ids=["plain", "calling"])
def test_tools_and_their_calls_become_the_text_that_transformers_makes(
    name: str, turns: tuple[Turn, ...]
) -> None:
    source = chat_templates.ALL[name]
    assert template(source).render(turns, (TIDE,)) == by_transformers(source, turns, (TIDE,))


def test_options_are_given_to_the_template_and_replace_nothing_of_its_own() -> None:
    source = "{{ enable_thinking }} {{ messages[0].content }}"
    options = {"enable_thinking": False, "messages": "forged", "bos_token": "forged"}
    assert template(source).render(PLAIN[1:], options=options) == "False At six."


def test_what_a_template_refuses_is_told_in_its_own_words() -> None:
    with pytest.raises(InvalidInput, match="roles must alternate"):
        template(chat_templates.GEMMA).render((Turn("assistant", "At six."), Turn("user", "?")))
    with pytest.raises(InvalidInput, match="System role not supported"):
        template(chat_templates.GEMMA).render(SYSTEM)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(90) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(90) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{{ 'ab' * 10 ** 12 }}",
        "{{ 2 ** 10000000 }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(64) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% set ns = namespace(__class__=1) %}",
        "{% for a in range(100000) %}{{ 'x' * 10000 }}{% endfor %}",
        "{{ 'x' | center(10 ** 9) }}",
        "{{ 'x' | indent(10 ** 9, first=true) }}",
        "{{ 'x'.ljust(10 ** 9) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{:>999999999}'.format('x') }}",
        "{{ '{:{}}'.format('x', 999999999) }}",
        "{{ messages[7].content.strip() }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_that_does_what_it_may_not_ends_soon_and_is_the_requests_error(source: str) -> None:
    with pytest.raises(InvalidInput, match="chat template"):
        template(source).render(PLAIN)


def test_what_looks_like_a_form_in_a_message_is_none() -> None:
    said = [Turn("user", "call :12345678 or %12345678 {:12345678}")]
    assert template("{{ messages[0].content.strip() | trim }}").render(said) == said[0].content


def test_a_template_that_is_not_valid_is_the_models_error() -> None:
    with pytest.raises(ModelLoadError, match="not valid"):
        template("{% for %}")
    with pytest.raises(ModelLoadError, match="bytes"):
        template("x" * (2**20 + 1))


def test_loops_know_their_length_and_their_neighbours_as_in_transformers() -> None:
    source = (
        "{% for m in messages %}{{ loop.length }}{{ loop.revindex }}{{ loop.previtem is defined }}"
        "{{ loop.last }}{{ m.role ~ loop.index }}{% else %}none{% endfor %}"
        "{% for k, v in {'a': 1, 'b': [2]}.items() recursive %}{{ k }}{{ v }}{% endfor %}"
        "{% for x in missing %}{{ x }}{% endfor %}{{ {'ä': '<&>'} | tojson(indent=1) }}"
    )
    assert template(source).render(PLAIN) == by_transformers(source, PLAIN)


class TestFolders:
    def test_a_folder_without_a_template_has_none(self, tmp_path: Path) -> None:
        (tmp_path / "tokenizer_config.json").write_text("{}")
        assert read_template(tmp_path) is None

    def test_a_configured_template_stands_in_for_a_missing_one_only(self, tmp_path: Path) -> None:
        fallback = tmp_path / "fallback"
        fallback.write_text("fallback")
        model = tmp_path / "model"
        model.mkdir()
        assert render(model, fallback) == "fallback"
        (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": "own"}))
        assert render(model, fallback) == "own"

    def test_a_file_is_stronger_than_the_tokenizers_config(self, tmp_path: Path) -> None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "config"}))
        (tmp_path / "chat_template.jinja").write_text("file {{ eos_token }}")
        assert render(tmp_path) == "file "
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "</s>"}}))
        assert render(tmp_path) == "file </s>"

    def test_tools_have_a_template_of_their_own_where_there_is_one(self, tmp_path: Path) -> None:
        named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
        found = read_template(tmp_path)
        assert found is not None
        assert (found.render(PLAIN), found.render(PLAIN, (TIDE,))) == ("plain", "tools")

    @pytest.mark.parametrize(("content", "problem"), [("{", "cannot be read"), ("[1]", "no JSON object")])
    def test_a_broken_file_is_named(self, tmp_path: Path, content: str, problem: str) -> None:
        (tmp_path / "tokenizer_config.json").write_text(content)
        with pytest.raises(ModelLoadError, match=rf"tokenizer_config\.json.*{problem}"):
            read_template(tmp_path)


def render(folder: Path, fallback: Path | None = None) -> str:
    found = read_template(folder, fallback)
    assert found is not None
    return found.render(PLAIN)
