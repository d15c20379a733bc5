"""Stage 3: units back to speech, in the voice that the inverter was trained on."""
