"""The direction of metrics, checked on systems of which one is known to be better."""

from zerochain.metrics.names import METRICS, metric
from zerochain.scoring.common import Scored


def assert_better(better: Scored, *worse: Scored) -> None:
    """By every metric with a direction a system is at least as good as others, and better than one.

    Every metric is in the registry as well.
    """
    others = [{score.metric: score.value for score in one.scores} for one in worse]
    for score in better.scores:
        one = metric(score.metric)
        assert one in METRICS
        if one.direction:
            sign = 1 if one.direction == "higher" else -1
            gains = [sign * (score.value - values[score.metric]) for values in others]
            assert min(gains) >= 0, one.key
            assert max(gains) > 0, one.key
