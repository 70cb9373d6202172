"""Pull requests that propose experiments, and what people write in them."""
