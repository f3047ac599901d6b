"""What can be asked of a running proxy: health, reflect, metrics."""
