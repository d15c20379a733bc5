"""Stage 3: units back to speech, in the voice that the inverter was trained on.

Here are the names of the inverters, which bundles and the command line know them by; without torch.
"""

from typing import Literal

SpectralMethod = Literal["code2spec", "unit-means"]
"""They predict spectrograms (`zerochain.inversion.spectral`)."""
WaveformMethod = Literal["convnext", "hifigan"]
"""They predict waveforms (`zerochain.inversion.waveform`)."""
Method = SpectralMethod | WaveformMethod
SPECTRAL_METHODS: tuple[SpectralMethod, ...] = ("code2spec", "unit-means")
WAVEFORM_METHODS: tuple[WaveformMethod, ...] = ("convnext", "hifigan")
METHODS: tuple[Method, ...] = (*SPECTRAL_METHODS, *WAVEFORM_METHODS)
