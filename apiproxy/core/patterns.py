"""Patterns of names, such as ``gpt-5*``.

Those of the standard library have brackets and question marks, which names of models have
as well, and it keeps the last 32,768 that it was given, compiled: whoever may send patterns,
as in a token that he has narrowed himself, would fill our memory with them.
"""


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern, in which ``*`` is anything, fits a whole name, in any case.

    In time that grows with their lengths only, whatever the pattern is.
    """
    first, *rest = pattern.lower().split("*")
    name = name.lower()
    if not rest:
        return first == name
    *middle, last = rest
    if not name.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(name) - at >= len(last) and name.endswith(last)
