"""A publisher that kills itself before a given step: run in a process of its own."""

from __future__ import annotations

import os
import signal
from functools import partial

from serving.client import ModelClient
from serving.publish import Publisher
from serving.retire import retire


def publish_and_die(address, config_file, base, name, operation, arguments, step) -> None:
    """Run `operation` of a publisher (or `retire`), and die by SIGKILL when it announces `step`."""

    def on_step(announced: str) -> None:
        if announced == step:
            os.kill(os.getpid(), signal.SIGKILL)

    publisher = Publisher(ModelClient(address), config_file, base, None, name, on_step=on_step, notice_s=0)
    call = partial(retire, publisher) if operation == "retire" else getattr(publisher, operation)
    call(*arguments)
