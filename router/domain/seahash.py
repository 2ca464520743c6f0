"""SeaHash, a hash that is not cryptographic: ChRIS names the folders of series by it. Pure.

After the reference description of the algorithm (https://docs.rs/seahash, module ``reference``).
"""

from __future__ import annotations

_MASK = 2**64 - 1
_PRIME = 0x6EED0E9DA4D94A4F
_SEED = (0x16F11FE89B0D677C, 0xB480A793D8E6C86C, 0x6FE2E5AAF078EBC9, 0x14F994A4C5259381)


def seahash(data: bytes) -> int:
    """The hash of some bytes, 64 bits."""
    lanes = list(_SEED)
    for start in range(0, len(data), 8):
        block = int.from_bytes(data[start : start + 8], "little")
        lanes.append(_diffuse(lanes.pop(0) ^ block))
    first, second, third, fourth = lanes
    return _diffuse(first ^ second ^ third ^ fourth ^ len(data))


def _diffuse(value: int) -> int:
    value = value * _PRIME & _MASK
    value ^= (value >> 32) >> (value >> 60)
    return value * _PRIME & _MASK
