"""What tests are made of: repositories, stages, samples, and a small GitHub."""
