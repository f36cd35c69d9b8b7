"""GET /metrics, for Prometheus."""

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from api.http.routing import Call
from api.schemas import NoQuery


async def expose(call: Call[None, NoQuery]) -> web.Response:
    """Metrics in Prometheus' text format."""
    page = generate_latest(call.services.metrics)
    return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
