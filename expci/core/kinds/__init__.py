"""What each kind of metric is: its values, its scale, its estimates and evidence."""
