"""GET /metrics: the counts of all models for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request, Response

from llmserver.api.keys import require_key
from llmserver.metrics import Metrics, Now

if TYPE_CHECKING:
    from llmserver.engine.pool import Pool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def router_of(metrics: Metrics) -> APIRouter:
    """The route over these counts."""
    router = APIRouter(dependencies=[Depends(require_key)], tags=["Server"])

    @router.get("/metrics", summary="Metrics", response_class=Response)
    async def show(request: Request) -> Response:
        """Tell counters, histograms and gauges as Prometheus text. Never waits for an engine."""
        pool: Pool = request.app.state.pool
        now = [
            Now(
                held.known.name,
                held.size_bytes,
                held.service.stats() if held.service is not None else None,
                held.known.info.placement if held.known.info else None,
            )
            for held in pool.held()
        ]
        return Response(metrics.render(now), media_type=CONTENT_TYPE)

    return router
