"""A differential grid: raw requests through apiproxy to real servers."""
