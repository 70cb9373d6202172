"""The pass as a whole: what arrived, what is missing, who is notified."""
