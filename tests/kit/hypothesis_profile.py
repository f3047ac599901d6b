"""How properties are tried: the same examples every time, and few of them."""

from hypothesis import settings

STEADY = settings(derandomize=True, deadline=None, max_examples=50)
