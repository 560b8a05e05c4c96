"""Materialises the table of the tests until it is killed. Arguments: the settings as JSON, and whole or changes."""

from __future__ import annotations

import sys

from taste import VIEW

from lakehouse.online.materialise import materialise
from lakehouse.online.store import open_store
from lakehouse.settings import Settings


def main() -> None:
    settings, whole = Settings.model_validate_json(sys.argv[1]), sys.argv[2] == "whole"
    with open_store(settings) as store:
        print("ready", flush=True)
        while True:
            print(materialise(settings, store, VIEW, whole).way, flush=True)


if __name__ == "__main__":
    main()
