"""LEARN: from gold tables to a promoted model version.

``data`` reads the tables, ``evaluation`` splits and judges, ``recommend`` holds the models, ``train`` runs it all and
registers a version, ``gate`` decides who is served, ``export`` and ``saved`` write and read SavedModels.
"""
