"""The direction of metrics, checked on two systems of which one is known to be better."""

from zerochain.metrics.names import METRICS, metric
from zerochain.scoring.common import Scored


def assert_better(better: Scored, worse: Scored) -> None:
    """Every metric is in the registry, and by each that has a direction one system is better."""
    others = {score.metric: score.value for score in worse.scores}
    for score in better.scores:
        one = metric(score.metric)
        assert one in METRICS
        if one.direction == "higher":
            assert score.value > others[score.metric], one.key
        elif one.direction == "lower":
            assert score.value < others[score.metric], one.key
