"""The demonstration: a provider, a tunnel and three conversations on this machine."""
