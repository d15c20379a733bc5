"""Metrics: pure functions of arrays, unit files and waveforms; `names` has a record of each."""
