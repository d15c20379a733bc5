"""Networks that are trained to judge speech: a recogniser of characters and a speaker encoder.

Scores use them to measure how intelligible synthesised speech is and how similar its voice is to
the target; inverters are conditioned on the speaker encoder's vectors.
"""
