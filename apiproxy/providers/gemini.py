"""Google's Gemini API."""

from apiproxy.providers.google import google

BLUEPRINT = google(
    "gemini",
    "Gemini",
    10003,
    "generativelanguage.googleapis.com",
    "GEMINI_API_KEY",
    b"/v1beta/models",
)
