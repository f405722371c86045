"""Which of some things belong together, where all that is known is which two do."""


class Clusters:
    """The numbers from 0 on, joined (union-find with path halving); the least of a cluster stands for it."""

    def __init__(self, count: int) -> None:
        self._towards = list(range(count))

    def first(self, number: int) -> int:
        """Return the least number of a cluster."""
        towards = self._towards
        while towards[number] != number:
            towards[number] = number = towards[towards[number]]
        return number

    def join(self, left: int, right: int) -> None:
        """Make one cluster of those of two numbers."""
        first, second = sorted((self.first(left), self.first(right)))
        self._towards[second] = first
