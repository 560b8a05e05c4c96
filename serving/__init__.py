"""ANSWER: the online path, from an exported model version to a recommendation with its reasons.

`model_server` (a stand-in for TensorFlow Serving), `client`, `config` and `process` (the server seen from outside),
`publish` and `verify` (a version's way to the users), `recommend` (an answer for a person). Imports stay light:
TensorFlow is loaded by the first call that needs it.
"""
