"""Which version answers a request: an assignment by hash that holds still while a rollout goes on. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

ALL = 1 << 64
"""How many hashes there are."""

Key = str | bytes
"""What is assigned as a whole, such as a user's id."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the requests for a model are split.

    `percentage`, 0 to 100, is how many of the keys get the candidate. `salt`, 0 to 2^64 - 1, is another one in each
    deployment, so that it is not always the same keys that get a candidate first. In a `shadow`, all keys get the
    champion; the candidate answers too, and nobody is shown its answer. A candidate that is in the champion's place,
    for want of room for both, is named as both.
    """

    model: str
    champion: str
    candidate: str | None = None
    percentage: float = 0.0
    salt: int = 0
    deployment_id: int | None = None
    shadow: bool = False

    @property
    def alone(self) -> bool:
        """Return whether the candidate is in the champion's place."""
        return self.champion == self.candidate


def limit(percentage: float) -> int:
    """Return below which hash a key gets the candidate: 0 for 0 %, 2^64 for 100 %.

    Raises:
        ValueError: it is not from 0 to 100.
    """
    if not 0 <= percentage <= 100:
        raise ValueError(f"{percentage!r} % is not from 0 to 100")
    return int(percentage / 100 * ALL)


def share(split: Split) -> float:
    """Return which percentage of the keys is shown the candidate's answers now."""
    return 0.0 if split.candidate is None or split.shadow else split.percentage


def chosen(split: Split, key: Key) -> str:
    """Return the version that answers this key.

    It is the candidate where XXH3(key, seed = salt) is below the limit: a key that has the candidate keeps it while the
    percentage grows, and which keys have it in one deployment says nothing about the next one. A text is hashed as
    UTF-8, half of a surrogate pair like any other character.

    Raises:
        TypeError: the key is neither text nor bytes, whether it would matter or not.
    """
    return chooser(split)(key)


def chooser(split: Split) -> Callable[[Key], str]:
    """Return `chosen` for this split, with all that does not depend on the key done beforehand."""
    champion, candidate, salt = split.champion, split.candidate, split.salt
    below = limit(share(split))
    # Bound here, and given by place: this is called for each request.
    digest = xxh3_64_intdigest

    def same(key: Key) -> str:
        if isinstance(key, str | bytes):
            return champion
        raise TypeError(f"key: {key!r} is neither text nor bytes")

    if candidate is None or not below:
        return same

    def choose(key: Key) -> str:
        data = key.encode(errors="surrogatepass") if isinstance(key, str) else key
        return candidate if digest(data, salt) < below else champion

    return choose
