"""A process that collects garbage again and again until it is killed.

    python -m tests.support.collect_driver LOCATION [keeping]

Nothing old is kept: what is not named any more goes as soon as it can; `keeping`, all the past is
kept that is by default. It writes a line of JSON after each collection.
"""

from __future__ import annotations

import json
import sys

import cas

PRESENT_ONLY = cas.VersionPolicy(versions=1, states=cas.Retention())


def main() -> None:
    policy = cas.VersionPolicy() if "keeping" in sys.argv[2:] else PRESENT_ONLY
    with cas.open(sys.argv[1]) as repository:
        while True:
            repository.engine.chunks.open_packs.seal_current()
            report = cas.collect_garbage(repository, policy, grace_seconds=0)
            sys.stdout.write(json.dumps({"removed": report.removed_packs}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
