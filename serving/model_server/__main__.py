"""`python -m serving.model_server`: flags named as those of `tensorflow_model_server`."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path

LOGGER = logging.getLogger("serving.model_server")
READY = "soundlake model server ready"


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


def _mount(text: str) -> tuple[str, str]:
    prefix, separator, folder = text.partition("=")
    if not (prefix and separator and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form SERVER_PREFIX=LOCAL_FOLDER")
    return prefix, folder


def parser() -> argparse.ArgumentParser:
    """The command line."""
    flags = argparse.ArgumentParser(prog="python -m serving.model_server", description=__doc__)
    flags.add_argument("--model_config_file", type=Path, required=True, help="ModelServerConfig in text format")
    flags.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    flags.add_argument("--port", type=int, default=8500, help="gRPC port; 0: choose a free one")
    flags.add_argument("--rest_api_port", type=int, default=8501, help="REST port; 0: choose a free one")
    flags.add_argument("--file_system_poll_wait_seconds", type=float, default=1.0, help="0 or less: no polling")
    flags.add_argument(
        "--allow_version_labels_for_unavailable_models",
        type=_boolean,
        nargs="?",
        const=True,
        default=False,
        help="accept new labels for versions still to be loaded; needed to start with labels in the configuration",
    )
    flags.add_argument("--tensorflow_intra_op_parallelism", type=int, default=1, help="threads inside one operation")
    flags.add_argument(
        "--tensorflow_inter_op_parallelism",
        type=int,
        default=0,
        help="operations of a request run at once while requests come one at a time; 0: one a core; below 0: one",
    )
    flags.add_argument(
        "--optimize_graphs",
        type=_boolean,
        nargs="?",
        const=True,
        default=False,
        help="let TensorFlow rewrite graphs when a version is loaded: twice the work, for answers no sooner here",
    )
    flags.add_argument(
        "--enable_batching", type=_boolean, nargs="?", const=True, default=False, help="run requests together"
    )
    flags.add_argument("--batching_parameters_file", type=Path, help="BatchingParameters in text format")
    flags.add_argument("--grpc_workers", type=int, default=8, help="gRPC requests taken at once")
    flags.add_argument(
        "--requests_at_once", type=int, default=0, help="of those, the ones whose graphs run at a time; 0: one a core"
    )
    flags.add_argument(
        "--mount",
        type=_mount,
        action="append",
        default=[],
        metavar="PREFIX=FOLDER",
        help="serve base paths that start with PREFIX from FOLDER (as a container's volume)",
    )
    flags.add_argument("--stop_with_parent", action="store_true", help="stop when the starting process has gone")
    return flags


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.stop_with_parent:
        threading.Thread(target=_watch_parent, args=(os.getppid(), stop), daemon=True).start()

    # Serving needs no Keras, and importing it doubles the time to start: TensorFlow goes on without.
    sys.modules.setdefault("keras", None)
    from serving.config import ConfigError
    from serving.model_server.batching import BatchingError
    from serving.model_server.errors import ServingError

    # Threads that share the interpreter take turns; a turn of 5 ms, the default, is half of an answer's time.
    sys.setswitchinterval(0.0005)
    try:
        return _run(options, stop)
    except (ServingError, ConfigError, BatchingError, OSError, RuntimeError) as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr, flush=True)
        return 1


def _run(options: argparse.Namespace, stop: threading.Event) -> int:
    from serving.config import load_server_config
    from serving.model_server.batching import Batcher, parameters_of
    from serving.model_server.c_api import start_threads
    from serving.model_server.crowd import Crowd
    from serving.model_server.manager import ModelManager, loader
    from serving.model_server.servable import session_config

    parameters = parameters_of(options.enable_batching, options.batching_parameters_file)
    config = session_config(
        options.tensorflow_intra_op_parallelism, options.tensorflow_inter_op_parallelism, options.optimize_graphs
    )
    start_threads(config)
    at_once = options.requests_at_once if options.requests_at_once > 0 else os.cpu_count() or 1
    crowd = Crowd(at_once, options.tensorflow_inter_op_parallelism >= 0)
    batcher = Batcher(parameters) if parameters else None
    manager = ModelManager(
        options.file_system_poll_wait_seconds,
        options.allow_version_labels_for_unavailable_models,
        dict(options.mount),
        loader(config, crowd),
        batcher,
    )
    try:
        manager.reload(load_server_config(options.model_config_file), lambda: not stop.is_set(), starting=True)
        return _serve(options, manager, stop)
    finally:
        manager.close()
        if batcher is not None:
            batcher.close()


def _serve(options: argparse.Namespace, manager, stop: threading.Event) -> int:
    from serving.model_server.grpc_api import start_grpc
    from serving.model_server.metrics import Metrics
    from serving.model_server.rest_api import start_rest

    metrics = Metrics()
    rest, rest_port = start_rest(manager, metrics, options.host, options.rest_api_port)
    server, port = start_grpc(manager, metrics, options.host, options.port, options.grpc_workers)
    gc.collect()
    gc.freeze()  # what was imported stays; a collection that looked through it would hold requests up
    print(f"{READY} grpc={options.host}:{port} rest={options.host}:{rest_port}", flush=True)
    stop.wait()
    LOGGER.info("stopping")
    rest.shutdown()
    rest.server_close()
    server.stop(grace=2).wait()
    return 0


def _watch_parent(parent: int, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        if os.getppid() != parent:
            stop.set()


if __name__ == "__main__":
    # Without the interpreter's tear-down: TensorFlow's threads may outlive it and crash.
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
