"""The machine speech chain: a recogniser and a synthesiser that teach each other."""
