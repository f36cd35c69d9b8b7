"""A language model without weights, for tests of what surrounds one: ``--generator fake-llm``.

Its tokens are bytes, so every character but the plainest takes several; its template is in the shape of
Qwen's. What it says is in ``fake_worker``: it does as it is told.
"""

import json

FAKE_CONTEXT = 4096

_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MARKS = ("<tool_call>", "</tool_call>")

FAKE_TEMPLATE = """\
{%- if tools %}
    {{- "<|im_start|>system\\n# Tools\\n" }}
    {%- for tool in tools %}
        {{- tool | tojson + "\\n" }}
    {%- endfor %}
    {{- "Call them as <tool_call>{...}</tool_call><|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role not in ["system", "user", "assistant", "tool"] %}
        {{- raise_exception("unknown role " + message.role) }}
    {%- endif %}
    {{- "<|im_start|>" + message.role + "\\n" + message.content }}
    {%- for call in message.tool_calls %}
        {{- "<tool_call>" + call.function | tojson + "</tool_call>" }}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{ "<|im_start|>assistant\\n" }}{% endif %}"""


def fake_tokenizer() -> str:
    """Its tokenizer.json: the bytes by GPT-2's characters for them, then the marks."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable}
    characters |= {byte: chr(256 + place) for place, byte in enumerate(others)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    vocabulary = {character: byte for byte, character in sorted(characters.items())}
    return json.dumps(
        {
            "version": "1.0",
            "added_tokens": [_added(256 + place, token) for place, token in enumerate((*_SPECIAL, *_MARKS))],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
        }
    )


def _added(id: int, token: str) -> dict[str, object]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": token, "special": token in _SPECIAL, **flags}


END_OF_TURN = 256 + _SPECIAL.index("<|im_end|>")
FAKE_VOCABULARY_SIZE = 256 + len(_SPECIAL) + len(_MARKS)
