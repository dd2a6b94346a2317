"""Which requests the challenger answers."""

from hashlib import blake2b

from pipeline.service.answered import Arm


def arm_of(key: bytes, share: float) -> Arm:
    """Return the arm of a request; the same key has the same arm in every process, at any time.

    Parameters
    ----------
    key : bytes
        What the client sends as X-Request-Key, such as a customer's number; without one the body.
    share : float
        Of the keys, those that the challenger answers, from 0 to 1.
    """
    place = int.from_bytes(blake2b(key, digest_size=8).digest()) / 2**64
    return "challenger" if place < share else "production"
