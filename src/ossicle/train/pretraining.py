"""How a conformer is pre-trained: what a recipe may say of it.

Knows numbers; does not know conformers.
"""

from dataclasses import dataclass
from typing import Literal

Targets = Literal["learned", "random_projection"]


@dataclass(frozen=True)
class PretrainSettings:
    """How a conformer is pre-trained.

    Args:
        targets: where the codes come from.
        probability: of a frame to begin a hidden span.
        span: frames of one; spans may overlap.
        layer: whose frames are contrasted, counted from 1; 0 takes the middle one.
        groups, n_codes: of the quantiser.
        code_width: E of its vectors.
        n_negatives: other hidden places of the clip that a hidden place is told from, drawn with replacement.
        contrast_weight, guess_weight, unused_weight: of the contrast, the masked prediction, and unused codes.
        hot, cold: temperature of the quantiser's choices at the first step, and from step ``cooled`` on.
    """

    targets: Targets = "learned"
    probability: float = 0.065
    span: int = 10
    layer: int = 0
    groups: int = 2
    n_codes: int = 64
    code_width: int = 64
    n_negatives: int = 50
    contrast_weight: float = 1.0
    guess_weight: float = 1.0
    unused_weight: float = 0.1
    hot: float = 2.0
    cold: float = 0.5
    cooled: int = 2000

    def temperature(self, steps: float) -> float:
        """Of the quantiser's choices after so many steps: a geometric way from ``hot`` to ``cold``."""
        share = min(1.0, steps / max(self.cooled, 1))
        return float(self.hot * (self.cold / self.hot) ** share)
