"""A/B assignment: which requests go to the challenger."""

from hashlib import blake2b

from pipeline.service.records import Arm


def choose_arm(key: bytes, share: float) -> Arm:
    """Return the arm of a request: the same key always gets the same arm, in every process.

    Parameters
    ----------
    key : bytes
        The X-Request-Key header, such as a customer number; without the header, the request body.
    share : float
        The share of keys that goes to the challenger, from 0 to 1.

    Examples
    --------
    >>> choose_arm(b"customer 7", share=0.5) == choose_arm(b"customer 7", share=0.5)
    True
    >>> {choose_arm(bytes([number]), share=0.2) for number in range(100)} == {"production", "challenger"}
    True
    """
    position = int.from_bytes(blake2b(key, digest_size=8).digest()) / 2**64
    return "challenger" if position < share else "production"
