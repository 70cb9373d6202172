"""The stage on which workflows really run."""

from actions.conftest import bench, stage, template

__all__ = ["bench", "stage", "template"]
