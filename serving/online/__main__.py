"""`python -m serving.online`: the API in this process, for what starts it as a service."""

from __future__ import annotations

import argparse
import gc
import logging
import sys

from lakehouse.settings import Settings, get_settings

KEEP_ALIVE_S = 75
"""How long an idle connection stays open: longer than a load balancer in front keeps its own (often 60 s), or a request
would now and then meet one that is just being closed."""

YOUNG = 20_000
"""New objects that make Python look for cycles among them. A request makes some thousands, nearly all of which are gone
when it ends."""


def run(settings: Settings, model_server: str | None, host: str, port: int) -> None:
    """Answer on ``host:port`` until SIGINT or SIGTERM; requests that are under way are answered first."""
    # The protocol's classes bring TensorFlow, which needs no Keras here: the start takes half the time.
    sys.modules.setdefault("keras", None)
    import uvicorn

    from serving.api import create_app

    gc.set_threshold(YOUNG)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = create_app(settings, model_server)
    uvicorn.run(
        app, host=host, port=port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=10, timeout_keep_alive=KEEP_ALIVE_S,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    flags = argparse.ArgumentParser(prog="python -m serving.online", description=__doc__)
    flags.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    flags.add_argument("--port", type=int, default=None, help="default: SOUNDLAKE_API_PORT")
    flags.add_argument("--model-server", default=None, help="host:port (gRPC); default: that of the settings")
    options = flags.parse_args(arguments)
    settings = get_settings()
    run(settings, options.model_server, options.host, options.port or settings.api_port)


if __name__ == "__main__":
    main()
