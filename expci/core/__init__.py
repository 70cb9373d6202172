"""The functional core: values in, values out. No I/O, no clock, no unseeded randomness."""
