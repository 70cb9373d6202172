"""What a user writes, read and judged: `experiment.yml`, the defaults, the variants."""
