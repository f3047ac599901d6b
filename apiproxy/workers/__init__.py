"""Several processes that serve as one: a front that accepts, and workers that it hands on to.

``front`` is the process that was started: it binds every port, accepts, gives each connection
to the worker with the fewest (``doors``, ``handover``), and asks all of them for their figures
when one is asked (``roll``). ``worker`` is a ``Proxy`` that listens on nothing. ``place`` is
where a worker runs and is replaced; ``messages`` and ``line`` are how the two talk, and
``shares`` is where all of them count what is under way.
"""
