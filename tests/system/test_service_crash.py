"""kill -9 in the middle of everything, again and again over one data folder, against what was acknowledged.

Writers, replacements, deletes and jobs run at once, over a collection of documents and one of points that
is large enough for a graph. Each kill comes after another number of answers. kill -9 does not show a missing
fsync; ``test_fsync.py`` does.
"""

import random

import pytest
from crash_victim import Victim, make_victim
from real_service import Launcher

KILLS = 8  # bench/durability.py has a thousand
POINTS_OF_A_STORED_GRAPH = 12_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def victim(shared_services: Launcher, times: dict[str, list[float]]) -> Victim:
    return make_victim(shared_services, times)


@pytest.mark.parametrize("kill", range(KILLS))
async def test_a_kill_in_the_middle_of_writing_breaks_no_promise(victim: Victim, kill: int) -> None:
    await victim.write_until_killed(random.Random(kill))
    victim.restart()
    victim.check()


async def test_a_kill_in_the_middle_of_recovery_breaks_no_promise(victim: Victim) -> None:
    await victim.write_until_killed(random.Random("recovery"))
    victim.service = victim.launcher.launch(data=victim.service.data)
    victim.service.wait_until_started()  # jobs are resumed and the graph is rebuilt behind this
    victim.kill()
    victim.restart()
    victim.check()


@pytest.mark.thorough
async def test_kills_beside_a_stored_graph_break_no_promise_and_it_answers_again(victim: Victim) -> None:
    victim.seed_points(POINTS_OF_A_STORED_GRAPH)
    victim.wait_for_stored_graph()
    await victim.write_until_killed(random.Random("graph"))
    victim.restart()
    victim.wait_for_graph()
    victim.check(everything=True)
