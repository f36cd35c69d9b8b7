"""What /openapi.json says is so: half a minute of requests by it, of which `make fuzz` tries for longer."""

import pytest
from contract_fuzzing import fuzz, start_described
from real_service import Launcher


@pytest.mark.slow
def test_no_request_makes_the_service_fail_or_answer_otherwise_than_described(services: Launcher) -> None:
    service = start_described(services)
    done = fuzz(service, "--phases", "fuzzing", "--max-examples", "6")
    assert done.returncode == 0, done.stdout
    assert "Fuzzing" in done.stdout
    assert not service.events("request_failed")
