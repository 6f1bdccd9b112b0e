"""All that a relation head of your own needs; see docs/heads.md."""

from .batches import EntityBatch, PairBatch, SpanBatch
from .errors import check_choice, check_number
from .layers.chunking import chunks, cut_chunks, in_chunks
from .layers.contextual_bilinear import ContextualBilinear
from .layers.encoded import EncodedBatch
from .layers.evidence import SentenceShares, explain_by_attention
from .layers.feedforward import FeedForward, SplitLinear, with_rare_bias
from .layers.grouped_bilinear import GroupedBilinear
from .layers.local_context import lay_out_rows, local_context
from .layers.mention_pooling import pool_mentions
from .layers.pairs import (
    list_mention_pairs,
    mention_bounds,
    sentence_distance,
    share_out,
    token_distance,
    unordered_pairs,
)
from .layers.segments import expand_ranges, range_max, segment_logsumexp, segment_max, segment_mean, segment_sum
from .models.relation_head import (
    Explains,
    Explanation,
    PhaseLengths,
    RelationHead,
    RelationLoss,
    TrainedByEM,
    TrainsEncoders,
)
