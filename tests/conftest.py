"""What every test shares: tests run offline; those that try things at random try more of them with
``--hypothesis-profile=thorough --timeout=0``.
"""

import os

import pytest
from hypothesis import settings

settings.register_profile("thorough", max_examples=5_000, stateful_step_count=100, deadline=None)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.upper().startswith("EMBEDD_")]:
        monkeypatch.delenv(name)
