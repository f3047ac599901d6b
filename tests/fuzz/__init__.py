"""Fuzzing: a target for each parser of ours, and bytes of all kinds at every port.

``make fuzz`` runs it for as long as one likes; ``make test`` runs a little of it.
"""
