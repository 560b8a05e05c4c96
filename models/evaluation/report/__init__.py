"""Models side by side: tidy tables, Markdown for a model card, plots as PNG bytes, and one page with all of it.

:func:`files` makes everything at once, to be attached to an MLflow run or an asset.
"""

from models.evaluation.report.bars import comparison_plot, segment_plot
from models.evaluation.report.bundle import files
from models.evaluation.report.curves import learning_curve_plot, learning_curves_plot
from models.evaluation.report.matrix import matrix_plot
from models.evaluation.report.page import data_uri
from models.evaluation.report.reliability import reliability_plot
from models.evaluation.report.tables import HEADLINE, differences, evaluate_all, markdown, table
from models.evaluation.report.tradeoff import tradeoff_plot

__all__ = [
    "HEADLINE",
    "comparison_plot",
    "data_uri",
    "differences",
    "evaluate_all",
    "files",
    "learning_curve_plot",
    "learning_curves_plot",
    "markdown",
    "matrix_plot",
    "reliability_plot",
    "segment_plot",
    "table",
    "tradeoff_plot",
]
