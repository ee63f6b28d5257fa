"""CacheDataset: a `Compose` of deterministic transforms inside a `Compose` counts as random, so nothing is cached.

`Compose` is a `Randomizable`, whatever it holds, and caching stops before the first one that is.
Expected: the transform runs once for each item. Found in 1.6.1: again at each access.
"""

from monai.data import CacheDataset
from monai.transforms import Compose, Lambda

calls = []
once = Lambda(lambda value: calls.append(value) or value)
for transform in (Compose([once]), Compose([Compose([once])])):
    calls.clear()
    dataset = CacheDataset([1], transform, progress=False)
    dataset[0], dataset[0]
    print("calls:", len(calls))
raise SystemExit("FAULT: a nested Compose is not cached" if len(calls) > 1 else 0)
