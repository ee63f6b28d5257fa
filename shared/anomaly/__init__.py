"""From maps to masks: thresholds, components and the baselines every method is held against."""
