"""What passes is metered, and limits and budgets hold: through the whole proxy."""
