"""Run as a program: fuzz one target, guided by coverage (atheris), for a bounded time.

``python -m tests.fuzz TARGET FOLDER SECONDS``; what it learns is kept in the folder, and an
input that breaks a promise is left there as ``crash-…``.
"""

import sys
from pathlib import Path


def main() -> None:
    """Fuzz, and end with 0 if nothing was found."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    name, folder, seconds = sys.argv[1:]
    with atheris.instrument_imports(include=["apiproxy"]):
        from tests.fuzz.targets import SEEDS, TARGETS
    corpus = Path(folder) / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=5",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        "-verbosity=0",
        f"-artifact_prefix={folder}/{name}-",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
