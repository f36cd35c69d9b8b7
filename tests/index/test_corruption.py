"""Whatever becomes of the files beside ``truth.db``, answers are right: twenty of the bench's trials."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.corruption import NAME, Patient, make_patient, trial
from index import planner

TRIALS = 20

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    before = planner.ROWS_PER_COMPARED
    yield asyncio.run(make_patient(tmp_path_factory.mktemp("patient")))
    planner.ROWS_PER_COMPARED = before


def test_the_patient_has_every_cache(patient: Patient) -> None:
    names = {path.name.partition("-")[0] for path in (patient.folder / "collections" / NAME).glob("*-*")}
    assert {"graph", "vectors"} <= names


@pytest.mark.parametrize("seed", range(TRIALS))
async def test_a_spoiled_cache_changes_no_answer_and_is_made_anew(
    patient: Patient, tmp_path: Path, seed: int
) -> None:
    assert await trial(patient, tmp_path / "scratch", random.Random(seed))
