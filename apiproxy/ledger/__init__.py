"""Where budgets are written down: in memory, in SQLite, in Redis."""
