"""Sequential recommenders: what comes next, given everything a listener played before, in order."""

from models.recommend.sequence.config import GRU4RecConfig, SequenceConfig, SessionConfig, TransformerConfig
from models.recommend.sequence.recommenders import GRU4Rec, SequenceRecommender, Transformer
from models.recommend.sequence.session_model import SessionModel

__all__ = [
    "GRU4Rec",
    "GRU4RecConfig",
    "SequenceConfig",
    "SequenceRecommender",
    "SessionConfig",
    "SessionModel",
    "Transformer",
    "TransformerConfig",
]
