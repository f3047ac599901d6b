"""Providers of models that never were: enough of each for the programs people run."""
