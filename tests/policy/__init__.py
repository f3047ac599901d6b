"""What may pass, and what it has cost."""
