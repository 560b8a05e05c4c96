"""The routes: each decodes, asks the service, encodes. Errors are answered in one form, see ``openapi.Error``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from serving.online import metrics
from serving.online.answers import Reply, Taken
from serving.online.events import parse_events
from serving.online.landing import LandingFailed
from serving.online.openapi import Events, describe
from serving.online.options import options
from serving.online.requests import MAX_TEXT, Ask, Refused, parse_ask
from serving.online.service import Service
from serving.online.users import User, find_user

PAGE = Path(__file__).parent / "page"
_json = msgspec.json.Encoder()
router = APIRouter()


@router.post(
    "/v1/recommendations",
    openapi_extra=describe("a list, best first; `degraded` says why it is not the model's", Reply, Ask),
)
async def recommendations(request: Request) -> Response:
    """Tracks for a listener at this moment, and why each was chosen."""
    service: Service = request.app.state.service
    ask = parse_ask(await request.body())
    answer = await service.path.answer(ask)
    service.metrics.requests.labels("/v1/recommendations", "200", answer.reply.label).inc()
    service.shown.put(answer)
    return _answer(answer.reply)


@router.post(
    "/v1/events",
    status_code=202,
    openapi_extra=describe("the events are durable where `durable` says", Taken, Events, 202),
)
async def events(request: Request) -> Response:
    """Take events of the contract: all or none, acknowledged when they are durable."""
    service: Service = request.app.state.service
    try:
        found = parse_events(await request.body())
    except Refused:
        service.metrics.events.labels("refused").inc()
        raise
    try:
        places = await service.landing.append(found)
    except LandingFailed as error:
        service.metrics.events.labels("not_durable").inc(len(found))
        raise Refused(503, f"the events could not be made durable, send them again: {error}", "events") from None
    service.metrics.events.labels("taken").inc(len(found))
    service.metrics.requests.labels("/v1/events", "202", "").inc()
    return _answer(Taken(len(found), ", ".join(places)), 202)


@router.get(
    "/v1/users/{user_id:path}",
    openapi_extra=describe("what is known; nothing of an unknown user", User),
    responses={404: {"description": "no path: an id with a line break can not stand in one"}},
)
async def user(request: Request, user_id: str) -> Response:
    """What is known of a listener: features, history, profile, lists shown."""
    service: Service = request.app.state.service
    if not 0 < len(user_id) <= MAX_TEXT:
        raise Refused(422, f"has {len(user_id)} characters; 1 to {MAX_TEXT} are possible", "user_id", user_id)
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(None, find_user, service.settings, service.listeners, service.shown, user_id)
    service.metrics.requests.labels("/v1/users", "200", "").inc()
    return _answer(found)


@router.get("/health")
async def health() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/ready", responses={503: {"description": "not yet: each part says what it waits for"}})
async def ready(request: Request) -> Response:
    """Green once the model was asked, the store opened and the catalogue read."""
    state = request.app.state.service.ready
    body = {"ready": state.ok, "model": state.model, "store": state.store, "catalogue": state.catalogue}
    return _answer(body, 200 if state.ok else 503)


@router.get("/metrics", include_in_schema=False)
async def prometheus(request: Request) -> Response:
    return Response(request.app.state.service.metrics.render(), media_type=metrics.CONTENT_TYPE)


@router.get("/", include_in_schema=False)
async def page() -> Response:
    return FileResponse(PAGE / "index.html")


@router.get("/v1/page/options", include_in_schema=False)
async def choices(request: Request) -> Response:
    """What the page offers to choose from."""
    loop = asyncio.get_running_loop()
    return _answer(await loop.run_in_executor(None, options, request.app.state.service.settings))


@router.get("/page/{name}", include_in_schema=False)
async def part(name: str) -> Response:
    if name not in ("page.js", "page.css"):
        raise HTTPException(404, f"no file {name[:MAX_TEXT]!r}")
    return FileResponse(PAGE / name)


def _answer(body, status: int = 200) -> Response:
    return Response(_json.encode(body), status, media_type="application/json")


def refusals(app: FastAPI) -> None:
    """Every error as ``{"error": {field, value, message}}``."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        _counted(request, error.status)
        return _answer(error.body(), error.status)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        _counted(request, error.status_code)
        response = _answer(Refused(error.status_code, str(error.detail), "path", request.url.path).body())
        response.status_code = error.status_code
        response.headers.update(error.headers or {})
        return response


def _counted(request: Request, status: int) -> None:
    route = request.scope.get("route")
    path = getattr(route, "path", "other").removesuffix("/{user_id:path}")
    request.app.state.service.metrics.requests.labels(path, str(status), "").inc()
