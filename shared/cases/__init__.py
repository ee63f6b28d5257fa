"""Which files are the cases of a run: datalists, folders, the sequences of a case."""
