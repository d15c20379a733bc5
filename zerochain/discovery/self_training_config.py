"""Settings of self-trained units."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zerochain.features.augmentation import AugmentationOptions
from zerochain.modules.encoder import Encoder, EncoderConfig, Tail, check_tail


class SelfTrainingConfig(BaseModel):
    """The classifier, its teachers and how many rounds there are."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    width: int = Field(128, ge=1, le=65_536)
    n_blocks: int = Field(4, ge=0, le=256)
    tail: Tail = "none"
    instance_norm: bool = False
    dim: int = Field(64, ge=1, le=65_536)
    """Of the bottleneck, in which units are found."""
    n_targets: int | None = Field(None, ge=2)
    """Units of the first teacher; None is as many as the model's."""
    teacher_context: int = Field(4, ge=0)
    """Frames on each side that the first teacher, K-Means, sees."""
    teacher_components: int = Field(40, ge=1)
    teacher_penalty: float = Field(1.0, ge=0)
    """Of the teachers' segmentation, in mean distortions: labels that change less often."""
    rounds: int = Field(1, ge=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    augmentation: AugmentationOptions | None = AugmentationOptions(tilt_db=1.5)
    n_frames: int = Field(128, ge=1)
    """Length of a training segment."""

    @model_validator(mode="after")
    def _check_tail(self) -> Self:
        check_tail(self.tail, self.width)
        return self

    def encoder_of(self, n_in: int, stride: int) -> Encoder:
        """An encoder of features of `n_in` dimensions."""
        return Encoder(
            EncoderConfig(
                n_in=n_in,
                width=self.width,
                n_blocks=self.n_blocks,
                dim=self.dim,
                stride=stride,
                tail=self.tail,
                instance_norm=self.instance_norm,
            )
        )
