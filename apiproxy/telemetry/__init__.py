"""What we tell of an exchange: log lines and counters."""
