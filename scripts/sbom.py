"""Write what the image is made of as a CycloneDX document, from the lock file alone.

The lock file has every package with its version and the hashes of its files, so nothing has to
be asked for. The result is the same each time, but for nothing: it has no time and no chance
in it.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

ROOT = Path(__file__).parent.parent
_PACKAGE = re.compile(
    r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)(.*?)(?=^\S|\Z)", re.M | re.S
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> Iterator[dict[str, Any]]:
    """The packages of a lock file."""
    for name, version, rest in _PACKAGE.findall(lock):
        purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": f"https://pypi.org/project/{name}/{version}/",
                    "hashes": [
                        {"alg": "SHA-256", "content": each}
                        for each in _HASH.findall(rest)
                    ],
                }
            ],
        }


def document(lock: str, version: str) -> dict[str, Any]:
    """The whole document (CycloneDX 1.6).

    Args:
        lock: text of ``requirements.lock``.
        version: of apiproxy.
    """
    found = list(components(lock))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid5(NAMESPACE_URL, version + lock).urn,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": f"pkg:pypi/apiproxy@{version}",
                "name": "apiproxy",
                "version": version,
            }
        },
        "components": found,
        "dependencies": [
            {
                "ref": f"pkg:pypi/apiproxy@{version}",
                "dependsOn": [each["bom-ref"] for each in found],
            }
        ],
    }


def main() -> None:
    """Write it to the file that is named."""
    sys.path.insert(0, str(ROOT))
    from apiproxy import __version__

    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    text = json.dumps(document(lock, __version__), indent=2) + "\n"
    Path(sys.argv[1]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
