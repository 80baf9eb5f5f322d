"""The family of sources; each is one file and one line here."""

from sbldm.data.sources.base import SOURCES, AnySource, Shown, SourceSpec
from sbldm.data.sources.folder import FolderSpec
from sbldm.data.sources.nifti import NiftiSpec
from sbldm.data.sources.phantom import PhantomSpec

__all__ = ["SOURCES", "AnySource", "FolderSpec", "NiftiSpec", "PhantomSpec", "Shown", "SourceSpec"]
