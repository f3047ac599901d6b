"""The list of what the image is made of."""

import re
import runpy
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit.running import ROOT


class SbomTests(SynchronousTestCase):
    """``make sbom``."""

    def test_it_has_every_package_of_the_lock(self) -> None:
        """With version and hashes, and the same each time."""
        document: Any = runpy.run_path(str(ROOT / "scripts" / "sbom.py"))["document"]
        lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
        made = document(lock, "1.0")
        self.assertEqual(made, document(lock, "1.0"))
        pinned = re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^\s;\\]+)", lock, re.MULTILINE)
        listed = [(each["name"], each["version"]) for each in made["components"]]
        self.assertEqual(listed, pinned)
        self.assertGreater(len(pinned), 8)
        for each in made["components"]:
            (reference,) = each["externalReferences"]
            self.assertTrue(reference["hashes"], each["name"])
        self.assertEqual((made["bomFormat"], made["specVersion"]), ("CycloneDX", "1.6"))
