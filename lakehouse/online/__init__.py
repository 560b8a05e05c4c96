"""The online store: one row a key, read in microseconds, as a NumPy vector.

``rows`` says what a row is, ``codec`` how it lies in bytes, ``store`` what every store does, ``lmdb_store`` and
``redis_store`` do it, ``views`` names what is served and ``materialise`` brings Delta tables into the store.
"""
