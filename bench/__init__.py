"""The benchmark: apiproxy and its peers, in one run, on this machine."""
