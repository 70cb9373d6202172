"""Whole documents: comments, analyses, bodies, the portfolio."""
