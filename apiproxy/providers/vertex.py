"""Google's Vertex AI, with a key (express mode)."""

from apiproxy.providers.google import google

BLUEPRINT = google(
    "vertex",
    "Vertex AI",
    10005,
    "aiplatform.googleapis.com",
    "GOOGLE_API_KEY",
    b"/v1/projects",
)
