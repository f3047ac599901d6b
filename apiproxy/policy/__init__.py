"""What may pass, and what it has cost: pure decisions, no Twisted."""
