"""What every run needs, whatever it computes: errors, files, weights, records of cases, the lock, the command line."""
