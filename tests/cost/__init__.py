"""What the data path costs, counted in calls: a guard that no slow machine can fool."""
