"""The questions that are ready to be asked; each is one file and one line here."""

from search.studies.cutmix import CUTMIX
from search.studies.early_stop import EARLY_STOP
from search.studies.frequency import FREQUENCY
from search.studies.gamma import GAMMA
from search.studies.terminal import TERMINAL
from search.study import STUDIES, Study, find_study, register

__all__ = ["STUDIES", "Study", "find_study"]

for _study in (GAMMA, FREQUENCY, CUTMIX, EARLY_STOP, TERMINAL):
    register(_study)
