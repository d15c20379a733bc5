"""How a translator is trained, beside what the training loop is told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TranslationConfig(BaseModel):
    """Losses and augmentation. 0 leaves an augmentation out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    label_smoothing: float = Field(0.2, ge=0, lt=1)
    """Of the units that are said one after the other; CTC has none."""
    auxiliary_weight: float = Field(8.0, ge=0)
    """Of the loss that predicts the source's own units (Lee et al. 2022: 8)."""
    concatenated: float = Field(0.25, ge=0, le=1)
    """Part of the pairs that are followed by another one."""
    warp: float = Field(0.1, ge=0, lt=1)
    """Frequencies are multiplied by up to 1 + this, or divided by it (log-mel and MFCC)."""
    tilt_db: float = Field(1.5, ge=0)
    """Standard deviation of an utterance's gain, and of its top band over its lowest."""
    n_time_masks: int = Field(2, ge=0)
    time_mask: int = Field(20, ge=1)
    """The most frames that one of them hides."""
    n_band_masks: int = Field(2, ge=0)
    band_mask: int = Field(12, ge=1)
    """The most bands that one of them hides (log-mel alone)."""
    hidden_units: float = Field(0.1, ge=0, lt=1)
    """Part of the source units that are hidden, where it listens to units."""
    longest_s: float = Field(60.0, gt=0)
    """Longer utterances are refused, in training and after it: attention takes memory."""
    validation: float = Field(0.05, gt=0, lt=1)
    """Part of the pairs that is held out to see when to stop."""
