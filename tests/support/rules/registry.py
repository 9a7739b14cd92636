"""The checkers by the name of the policy that they bind."""

from collections.abc import Mapping

from tests.support.rules.base import CheckerFactory
from tests.support.rules.continuous import ContinuousRules
from tests.support.rules.spyre_chunked import SpyreChunkedRules
from tests.support.rules.spyre_continuous import SpyreContinuousRules
from tests.support.rules.static import StaticRules

CHECKERS: Mapping[str, CheckerFactory] = {
    "continuous": ContinuousRules,
    "spyre_chunked": SpyreChunkedRules,
    "spyre_continuous": SpyreContinuousRules,
    "static": StaticRules,
}
