"""What every test shares: tests run offline; those that try things at random try more of them with
``--hypothesis-profile=thorough --timeout=0``.
"""

from hypothesis import settings

settings.register_profile("thorough", max_examples=5_000, stateful_step_count=100, deadline=None)
