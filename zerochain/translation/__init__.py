"""Stage 4: from the speech of one language, as features or units, to the units of another.

Textless speech-to-speech translation in the manner of Tjandra et al. (2020) and Lee et al. (2022):
a sequence-to-sequence network is trained on pairs of utterances that are translations of each
other; an inverter speaks the units that it predicts. `stage` has the functions from files to files,
`task` the training, `translator` the trained model, `decoding` its search. What helps where pairs
are few: `pretraining` on units alone, `pseudo` pairs, a `normaliser` of the target's voices; and
`baselines`, without any training, are what a translator has to beat.
"""
