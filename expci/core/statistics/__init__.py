"""Estimates and evidence. Numbers in, numbers out; every formula names its source."""

from expci.core.statistics import lazy_numpy as lazy_numpy
