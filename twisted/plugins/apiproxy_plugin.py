"""The two lines by which ``twistd`` and ``twist`` find apiproxy."""

from twisted.application.service import ServiceMaker

apiproxy = ServiceMaker(
    "apiproxy",
    "apiproxy.tap",
    "The credential-isolating API sidecar for AI agents.",
    "apiproxy",
)
