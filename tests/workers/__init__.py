"""Tests of ``apiproxy.workers``."""
