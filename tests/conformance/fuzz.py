"""Run as a program: cases of the Autobahn TestSuite against a server, and what came of it.

Arguments: the server's URL, how many cases at a time, and a pattern for each group of cases.
Prints a list: for each case its id, the verdicts on its behaviour and on its close, the code
and reason of the server's Close, and whether the close was clean.
"""

import asyncio
import json
import os
import sys

from kosoku import FailureError, run_fuzzingclient


async def fuzz(url: str, at_once: int, cases: list[str]) -> list[list[object]]:
    """What came of each case."""
    try:
        results = await run_fuzzingclient(url, cases, concurrency=at_once)
    except FailureError as failure:
        # Some case did not pass. Whether it should have is not asked here.
        results = failure.results
    return [
        [
            each.case_id,
            each.behavior.value,
            each.behavior_close.value,
            each.remote_close_code,
            each.remote_close_reason,
            each.was_clean,
        ]
        for each in results
    ]


if __name__ == "__main__":
    url, at_once, *cases = sys.argv[1:]
    print(json.dumps(asyncio.run(fuzz(url, int(at_once), cases))), flush=True)
    # kosoku 0.1.0 has threads that may still want Python while Python ends, and then abort it.
    os._exit(0)
