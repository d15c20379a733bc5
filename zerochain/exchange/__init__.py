"""Other people's formats, in and out: alignments, Kaldi, units and features, submissions."""
