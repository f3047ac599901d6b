"""What responses have used, read from a copy of what the providers send."""
