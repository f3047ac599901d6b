"""Where settings are found and how their values are read; ``apiproxy.config`` is the sum."""
