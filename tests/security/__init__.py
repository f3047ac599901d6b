"""The pitfalls that proxies of this kind have fallen into, one class of tests for each.

They are in the order of the table in ``SECURITY.md``, in four files, and each is tried over
HTTP and over WebSocket and on every port where that makes sense.
"""
