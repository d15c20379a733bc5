"""Other people's formats, in and out: alignments, TextGrids, Kaldi, submissions, units as text."""
