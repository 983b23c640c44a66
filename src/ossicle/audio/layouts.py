"""Which channel is which loudspeaker, and how channels become one.

Knows channel counts and speaker names; does not know files. The weights are those of ITU-R BS.775 for one output
channel, divided by their sum so that nothing clips: front left and right 0.7071, centre 1, every surround 0.5. The
low-frequency channel is dropped: people do not hear words in it, so the model shall not either.
Source: ITU-R BS.775-3, annex 4, table 2; channel orders from the WAVE, FLAC and Vorbis specifications.
"""

import numpy as np

MAX_CHANNELS = 8

_WEIGHTS = {"FC": 1.0, "FL": 0.7071, "FR": 0.7071, "FLC": 0.7071, "FRC": 0.7071, "LFE": 0.0, "LFE2": 0.0}
_SURROUND = 0.5

_WAV_ORDERS = {
    1: ("FC",),
    2: ("FL", "FR"),
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
_VORBIS_ORDERS = _WAV_ORDERS | {
    3: ("FL", "FC", "FR"),
    5: ("FL", "FC", "FR", "BL", "BR"),
    6: ("FL", "FC", "FR", "BL", "BR", "LFE"),
    7: ("FL", "FC", "FR", "SL", "SR", "BC", "LFE"),
    8: ("FL", "FC", "FR", "SL", "SR", "BL", "BR", "LFE"),
}
_MASK_BITS = ("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR")


def wav_layout(channels: int, mask: int = 0) -> tuple[str, ...]:
    """Speakers of a WAV or FLAC file; a mask that names another number of speakers is not used."""
    named = tuple(name for bit, name in enumerate(_MASK_BITS) if mask >> bit & 1)
    return named if len(named) == channels else _WAV_ORDERS[channels]


def vorbis_layout(channels: int) -> tuple[str, ...]:
    """Speakers of a Vorbis or Opus stream in Ogg."""
    return _VORBIS_ORDERS[channels]


def weights(layout: tuple[str, ...]) -> np.ndarray:
    """Share of each channel in the one that is kept: shape (C,), float32, sum 1 (0 for LFE alone)."""
    raw = np.array([_WEIGHTS.get(name, _SURROUND) for name in layout], np.float32)
    return np.asarray(raw / raw.sum() if raw.any() else raw)


def downmix(block: np.ndarray, layout: tuple[str, ...]) -> np.ndarray:
    """(n, C) float32 to (n,) float32 by the weights of ``layout``."""
    if block.shape[1] == 1:
        return block[:, 0]
    return np.asarray(block @ weights(layout))
