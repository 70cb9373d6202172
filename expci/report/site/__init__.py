"""The page: a portfolio and one page for each experiment, as static HTML without scripts."""
