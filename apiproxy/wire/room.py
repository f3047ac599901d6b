"""Room for bytes that are held in memory, as far as there is any for all together."""


class Room:
    """So many bytes may be held at once, by all who share it.

    Attributes:
        left: bytes that nobody has taken.
    """

    def __init__(self, size: int) -> None:
        """All of it is free.

        Args:
            size: bytes.
        """
        self.left = size

    def take(self, size: int) -> bool:
        """Whether there is room for so many bytes, which are then taken."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def give(self, size: int) -> None:
        """Give bytes back."""
        self.left += size

    def __repr__(self) -> str:
        return f"<Room for {self.left} bytes>"
