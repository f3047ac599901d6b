"""Where live secrets come from."""
