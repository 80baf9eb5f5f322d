from sbldm.data.sources import phantom
from sbldm.data.sources.base import SOURCES, AnySource, SourceSpec
from sbldm.data.sources.phantom import PhantomSpec

__all__ = ["SOURCES", "AnySource", "PhantomSpec", "SourceSpec", "phantom"]
