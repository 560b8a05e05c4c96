"""Streams: events from a broker or from landing folders into the same bronze and silver tables as batch.

``query`` runs a stream, ``batch`` is what happens to one micro-batch of records and ``files`` to one of landed files;
``records`` parses, ``refine`` brings silver up to date, ``totals`` keeps the running totals of the online store,
``clock`` the watermark, ``progress`` the figures, ``dead_letters`` and ``produce`` write to the broker.
"""
