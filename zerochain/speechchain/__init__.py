"""The machine speech chain: a recogniser and a synthesiser that teach each other.

A person who speaks also listens to what they say. Tjandra, Sakti and Nakamura (2017, 2020) close
the same circle between two models, so that speech without texts and texts without speech train
both.

`data` has what is learned from (symbols, pairs, texts and speech alone), and `sources` reads it.
`ctc` decodes and aligns, `recogniser` goes from frames to symbols and `synthesiser` back. `loop` is
one step of the circle, and `chain` the whole training, with what the loop has to beat. `stage` puts
a trained chain to work; `language_model` and `fusion` help it decode; `captions` and `caption_data`
let pictures join. Read them in this order.
"""
