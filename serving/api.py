"""The recommendation API: an app for uvicorn, see docs/api.md.

>>> app = create_app(get_settings())            # soundlake serve
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from lakehouse.settings import Settings
from serving.online.guard import Guard
from serving.online.openapi import document
from serving.online.routes import refusals, router
from serving.online.service import Service


def create_app(settings: Settings, model_server: str | None = None) -> FastAPI:
    """The app of one lake.

    Args:
        model_server: host:port (gRPC); by default that of the settings, or of a running `soundlake dev`. Without one
            every answer is a degraded one.
    """
    service = Service(settings, model_server or settings.model_server)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    app = FastAPIOffline(
        redoc_url=None,
        title="soundlake recommendations",
        version="1",
        description="Recommendations with reasons, events, and what is known of a listener.",
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(router)
    app.openapi = lambda: document(app)
    refusals(app)

    def refused(path: str, status: int) -> None:
        service.metrics.requests.labels(path if path.startswith("/v1/") else "other", str(status), "").inc()

    app.add_middleware(Guard, settings=settings, refused=refused)
    return app
