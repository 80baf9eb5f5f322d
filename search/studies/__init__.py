"""The questions that are ready to be asked; each is one file and one line here."""

from search.open_study import OPEN_STUDIES, OpenStudy, register_open
from search.studies.attention import ATTENTION
from search.studies.cutmix import CUTMIX
from search.studies.early_stop import EARLY_STOP
from search.studies.frequency import FREQUENCY
from search.studies.gamma import GAMMA
from search.studies.joint import JOINT
from search.studies.latent import LATENT
from search.studies.sampler import SAMPLER
from search.studies.terminal import TERMINAL
from search.studies.weighting import WEIGHTING
from search.study import STUDIES, Study, register
from search.study_file import find_question, find_study

__all__ = ["OPEN_STUDIES", "STUDIES", "OpenStudy", "Study", "find_question", "find_study"]

for _study in (GAMMA, FREQUENCY, CUTMIX, EARLY_STOP, TERMINAL, LATENT, ATTENTION, WEIGHTING, SAMPLER):
    register(_study)
register_open(JOINT)
