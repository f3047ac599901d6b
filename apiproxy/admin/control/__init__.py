"""The control socket: an operator sees all that goes on, and changes it."""
