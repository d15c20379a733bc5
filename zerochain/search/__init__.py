"""Search in recordings that nobody has transcribed: where something is said again.

`find` is query by example: an example of a word in, the places where it is said out. `terms` finds
what is said again without a query, `lexicon` divides all speech into words.
"""
