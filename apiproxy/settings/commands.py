"""Settings that name a program: ``X_COMMAND``, split as a shell would, and run without one."""

import shlex


def split_command(text: str) -> tuple[str, ...]:
    """The program and its arguments.

    Raises:
        ValueError: the rest of a sentence that begins with the setting's name. The text is
            not repeated: a key may stand in it.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("must be a command with its quotes closed") from None
    if not words or not words[0].startswith("/") or "\0" in text:
        raise ValueError("must be the absolute path of a program, then its arguments")
    return tuple(words)
