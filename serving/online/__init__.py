"""The online path: one request from the listener's features to a logged list, and what it needs around it.

``requests`` says what may be asked, ``path`` answers it from ``known`` (online store), ``model`` (model server),
``catalogue`` (names and popular tracks); ``landing`` makes events durable, ``shown`` logs what was answered.
"""
