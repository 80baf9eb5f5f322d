"""From files to slices: sources, preparation, and the split by patient."""

from sbldm.data.contact_sheet import contact_sheet
from sbldm.data.prepare import PrepareSpec, PrepareStep, prepare_data, prepare_steps
from sbldm.data.slices import PreparedData, SliceSet
from sbldm.data.sources import SOURCES, AnySource, FolderSpec, NiftiSpec, PhantomSpec, Shown, SourceSpec
from sbldm.data.split import PARTS, Split, SplitSpec, split_subjects
from sbldm.data.store import load_prepared, save_prepared
from sbldm.data.subject import Subject
from sbldm.data.volume import Volume

__all__ = [
    "PARTS",
    "SOURCES",
    "AnySource",
    "FolderSpec",
    "NiftiSpec",
    "PhantomSpec",
    "PrepareSpec",
    "PrepareStep",
    "PreparedData",
    "Shown",
    "SliceSet",
    "SourceSpec",
    "Split",
    "SplitSpec",
    "Subject",
    "Volume",
    "contact_sheet",
    "load_prepared",
    "prepare_data",
    "prepare_steps",
    "save_prepared",
    "split_subjects",
]
