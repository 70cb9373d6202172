"""The one door to databases: values of metrics that live there, through Ibis."""
