"""Where budgets are written down."""
