"""The software-defined assets, one module per stage of the flow; they call lakehouse, models and serving."""
