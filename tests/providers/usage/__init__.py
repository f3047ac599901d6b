"""Tests of what is read of answers."""
